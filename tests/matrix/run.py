"""Runs the tests on other versions of OpenSSL, MariaDB and MySQL, from Debian's releases, and prints what came out.

    run.py [NAME...]     a name such as openssl-3.5, or the beginning of several; by default all, one after the other

Exits 1 where a test failed, or where nothing could be run. A version that can't be had is named in the table. The
programs stay unpacked in `.matrix_cache`, with the output of each run.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

ROOT = Path(__file__).parent.parent.parent
CACHE = ROOT / ".matrix_cache"

WITH_OPENSSL = ("-m", "not slow and not wheel")
"""What `make test` runs, but for the packaging, which runs no openssl; the database server is the machine's own."""

WITH_SERVER = ("tests/database", "tests/host/test_rotate.py")

PLAIN = ("openssl", "libfaketime")
WITH_ENGINE = (*PLAIN, "p11-kit-modules", "libengine-pkcs11-openssl")
"""For a token these two versions have libp11's engine, and the newer ones have the provider."""

MARIADB = ("mariadb-server-core", "mariadb-client-core")
MARIADB_PROGRAMS = (
    "usr/sbin/mariadbd",
    "usr/bin/mariadb",
    "usr/bin/mariadb-install-db",
    "usr/bin/my_print_defaults",  # this and the next one are called by mariadb-install-db
    "usr/bin/resolveip",
)
MYSQL = ("mysql-server-core", "mysql-client-core")
MYSQL_PROGRAMS = ("usr/sbin/mysqld", "usr/bin/mysql")


@dataclass(frozen=True)
class Version:
    """A version, Debian's suites that have it, and what is taken from there; `programs[0]` says its version."""

    name: str
    suites: str
    packages: Sequence[str] = (*PLAIN, "p11-kit-modules", "pkcs11-provider")
    programs: Sequence[str] = ("usr/bin/openssl",)

    @property
    def product(self) -> str:
        """The name without the number."""
        return self.name.partition("-")[0]

    @property
    def tests(self) -> Sequence[str]:
        """What pytest is told to run."""
        if self.product != "openssl":
            return WITH_SERVER
        # Debian's pkcs11-provider is not made for the newest openssl yet, and fails there with each signature
        return (*WITH_OPENSSL, *(("--ignore=tests/ca/test_token.py",) if self.packages == PLAIN else ()))

    @property
    def directory(self) -> Path:
        """Where it is unpacked."""
        return CACHE / self.name


VERSIONS = (
    Version("openssl-1.1.1", "bullseye,bullseye-security", WITH_ENGINE),
    Version("openssl-3.0", "bookworm,bookworm-security", WITH_ENGINE),
    Version("openssl-3.5", "trixie,trixie-security"),
    Version("openssl-3.6", "sid"),
    Version("openssl-4.0", "sid,experimental", PLAIN),
    Version("mariadb-10.5", "bullseye,bullseye-security", tuple(f"{one}-10.5" for one in MARIADB), MARIADB_PROGRAMS),
    Version("mariadb-10.11", "bookworm,bookworm-security", MARIADB, MARIADB_PROGRAMS),
    Version("mariadb-11.8", "trixie,trixie-security", MARIADB, MARIADB_PROGRAMS),
    Version("mysql-9.7", "sid", MYSQL, MYSQL_PROGRAMS),
)


@dataclass(frozen=True)
class Outcome:
    """What came of one version: the exact version and the counts, or why there are none."""

    name: str
    exact: str = ""
    passed: int = 0
    failed: int = 0
    skipped: int = 0
    seconds: float = 0
    missing: str = ""


def chosen(names: Sequence[str]) -> list[Version]:
    """The versions that are meant. Exits with a message where a name means none."""
    for name in names:
        if not any(version.name.startswith(name) for version in VERSIONS):
            sys.exit(f"{name} is none of: {' '.join(version.name for version in VERSIONS)}")
    return [version for version in VERSIONS if not names or version.name.startswith(tuple(names))]


def unpacked(version: Version) -> tuple[str, str]:
    """Unpack it; its exact version, and why it can't be had."""
    unpack = Path(__file__).with_name("unpack")
    command = ["sh", unpack, version.directory, version.suites, *version.packages, "--", *version.programs]
    done = subprocess.run([*map(str, command)], capture_output=True, text=True)
    if done.returncode:
        return "", (done.stderr.strip().splitlines() or ["unpack failed"])[-1]
    program = version.directory / "bin" / Path(version.programs[0]).name
    option = "version" if program.name == "openssl" else "--version"
    banner = subprocess.run((program, option), capture_output=True, text=True).stdout
    found = re.search(r" (\d+\.\d+\.\d+\w*)", banner)
    exact = found.group(1) if found else ""
    if not exact.startswith(version.name.partition("-")[2]):
        return "", f"{version.suites} has {exact or 'nothing that runs'}"
    return exact, ""


def tested(version: Version) -> Outcome:
    """Unpack a version and run its tests on it."""
    exact, missing = unpacked(version)
    if missing:
        return Outcome(version.name, missing=missing)
    say(f"{version.name}: {exact} ...")
    environment = os.environ | {"PATH": f"{version.directory}/bin:{os.environ['PATH']}"}
    if version.product == "mysql":
        environment["DBCA_TEST_MYSQL"] = str(version.directory)
    results, log = CACHE / f"{version.name}.xml", CACHE / f"{version.name}.log"
    results.unlink(missing_ok=True)
    started = time.monotonic()
    with log.open("w") as output:
        command = (sys.executable, "-m", "pytest", "-q", *version.tests, f"--junitxml={results}")
        code = subprocess.run(command, cwd=ROOT, env=environment, stdout=output, stderr=output).returncode
    seconds = time.monotonic() - started
    outcome = counted(version.name, exact, results, code, seconds)
    say(f"{version.name}: {outcome.passed} passed, {outcome.failed} failed, {seconds:.0f} s; {log.relative_to(ROOT)}")
    for line in log.read_text(errors="replace").splitlines():
        if outcome.failed and line.startswith(("FAILED ", "ERROR ")):
            say(f"    {line}")
    return outcome


def counted(name: str, exact: str, results: Path, code: int, seconds: float) -> Outcome:
    """The counts in pytest's JUnit file. Where pytest failed and does not say at which test, that counts as one."""
    if not results.exists():
        return Outcome(name, exact, failed=1, seconds=seconds)
    total = {"tests": 0, "failures": 0, "errors": 0, "skipped": 0}
    for suite in ElementTree.parse(results).iter("testsuite"):
        for key in total:
            total[key] += int(suite.get(key, "0"))
    failed = total["failures"] + total["errors"]
    passed = total["tests"] - failed - total["skipped"]
    return Outcome(name, exact, passed, failed or int(code != 0), total["skipped"], seconds)


def table(outcomes: Sequence[Outcome]) -> str:
    """All of it as a table of Markdown, as docs/versions.md has it."""
    lines = ["| version | passed | failed | skipped | seconds |", "|---|---|---|---|---|"]
    for one in outcomes:
        if one.missing:
            lines.append(f"| {one.name} | can't be had: {one.missing} | | | |")
        else:
            product = {"openssl": "OpenSSL", "mariadb": "MariaDB", "mysql": "MySQL"}[one.name.partition("-")[0]]
            lines.append(
                f"| {product} {one.exact} | {one.passed:,} | {one.failed} | {one.skipped} | {one.seconds:.0f} |"
            )
    return "\n".join(lines)


def succeeded(outcomes: Sequence[Outcome]) -> bool:
    """Whether something was run, and nothing failed."""
    return any(one.passed for one in outcomes) and not any(one.failed for one in outcomes)


def say(line: str) -> None:
    """Say how far it is."""
    print(line, file=sys.stderr, flush=True)


def main(names: Sequence[str]) -> int:
    """Run them, and print the table."""
    outcomes = [tested(version) for version in chosen(names)]
    print(table(outcomes))
    return 0 if succeeded(outcomes) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
