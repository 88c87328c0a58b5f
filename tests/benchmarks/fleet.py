"""Many hosts at once, by a stand-in for ssh that takes as long as a host does for a connection, and answers as one."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator

from measuring import Cost, Line, cost, ratio
from places import PROGRAM, Place, host, quiet

CONNECTIONS = {"enroll": 2, "deploy": 1, "rotate": 3}
"""The verbs that reach hosts, and how often they connect to each: `rotate` looks, and brings certificate and CRL."""

SECONDS, JOBS = 2, 30
"""What a host takes for a connection, and how many are reached at once, where time on the clock is compared."""

FILES, MEGABYTES = 512, 120
"""Open files and memory that are allowed, for as many hosts as there may be."""

STAND_IN = """\
#!/bin/sh
while [ "$1" != -- ]; do shift; done
read -r _
read -r _ title
cat > /dev/null
echo "$2" >> {log}
sleep {seconds}
case $title in
A\\ key*) echo dbca state waiting; cat {requests}/"$2".req.pem ;;
The\\ files*) echo dbca key {key} ;;
esac
echo dbca end
"""
"""A host has its key and no file of the CA, and its server is not asked."""


class Crowd:
    """So many hosts of a CA, each of which takes `seconds` for every connection."""

    def __init__(self, place: Place, count: int, seconds: float) -> None:
        self.place, self.count = place, count
        place.need_requests(count)
        self.directory = place.root / "crowd-programs"
        self.directory.mkdir(exist_ok=True)
        self.log = self.directory / "connections"
        public = ("openssl", "pkey", "-in", place.host_key, "-pubout", "-outform", "DER", "-out", "public.der")
        quiet(*public, directory=self.directory)
        key = quiet("openssl", "dgst", "-sha256", "-r", "public.der", directory=self.directory).split()[0]
        ssh = self.directory / "ssh"
        ssh.write_text(STAND_IN.format(log=self.log, seconds=seconds, requests=place.root / "requests", key=key))
        ssh.chmod(0o755)

    def run(self, verb: str) -> Cost:
        """Run a verb for all of them; but for `enroll`, all have a certificate that expires soon."""
        authority = self.place.fresh("crowd", 0 if verb == "enroll" else self.count)
        names = [host(number) for number in range(self.count)]
        lines = "".join(f"{name} dbca_reload=never\n" for name in names)
        (authority / "database-ca.hosts").write_text(f"[databases]\n{lines}")
        secret = ("--passphrase-file", self.place.phrase)
        if verb != "enroll":
            sign = ("sign", "--all", "--yes", "--days", "20", *secret, "--ca", authority)
            quiet(PROGRAM, *sign, directory=self.place.root)
        self.log.write_text("")
        command = (PROGRAM, verb, "--all", "--yes", "--jobs", str(JOBS), *(() if verb == "deploy" else secret))
        took = cost(
            ("prlimit", f"--nofile={FILES}", *command, "--ca", authority),
            self.place.root,
            {"PATH": f"{self.directory}:{os.environ['PATH']}"},
        )
        assert Counter(self.log.read_text().split()) == dict.fromkeys(names, CONNECTIONS[verb])
        return took


def at_once(place: Place) -> Iterator[Line]:
    """Thirty hosts at once, against what one of them takes."""
    crowd = Crowd(place, JOBS, SECONDS)
    for verb, connections in CONNECTIONS.items():
        alone = Cost(0, connections * SECONDS, 0)
        what = f"`{verb}` of {JOBS} hosts at once, against one host's own work, {connections} times {SECONDS} s"
        yield ratio(what, crowd.run(verb), alone, 1.4)


def curve(place: Place, most: int) -> Iterator[Line]:
    """From ten hosts to `most`, what each of them costs, against each of a tenth as many."""
    for verb in CONNECTIONS:
        before, count = Cost(0, 0, 0), 10
        while count <= most:
            took = Crowd(place, count, 0.1).run(verb)
            each = Cost(took.cpu / count, took.wall / count, took.megabytes)
            if before.cpu:
                what = f"`{verb}` of {count:,} hosts, each, against each of {count // 10}"
                yield ratio(what, each, before, 1.5, cpu=True, megabytes=MEGABYTES)
            before, count = each, count * 10
