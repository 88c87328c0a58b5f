"""Attacks by directories: a CA in which somebody else decides is refused by every verb before anything in it is used.

A configuration can have openssl load code, so `cd` into another user's directory must not be enough to run it.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from dbca_openssl import ownership
from dbca_openssl.ca import layout
from dbca_openssl.cli.main import VERBS, build_one
from tools.support import ROOT, Finished, recording_openssl, refusal, run, snapshot

AS_ROOT = ROOT / "tests/tools/as_root"
SOMEBODY, GROUP = "4242", "4343"
FOREIGN, OPEN = "belongs to another user", "may be written by everyone"

HOST = "aiken.example.net"
INPUTS = {
    **dict.fromkeys(("enroll", "fetch", "sign", "renew", "revoke", "deploy", "verify", "server probe"), (HOST,)),
    **dict.fromkeys(("server reload", "server check"), (HOST,)),
    "init": ("-o", "example.net"),
    "show": ("01",),
    "backup": ("backup.tar",),
    "report": ("--output", "page.html"),
    "rollover": ("database-ca",),
    "export": ("--public", "copy"),
    "request": (HOST, "--ca", "database-ca"),
    "server accounts": ("--all",),
    **dict.fromkeys(("server settings", "client settings"), (HOST, "--ca", "database-ca")),
    "server require": ("app@%", "--certificate", HOST),
    "server replication": ("--source", HOST, "--replica", HOST),
}
NO_CA = {"render", "guide", "completion", "playbook"}
"""Verbs that use no CA directory."""


def tool(*arguments: str | Path, there: Path, environment: dict[str, str], prepare: str = "") -> Finished:
    """Run it as a user would beside the directory `database-ca`; `prepare` is Python that is run before it."""
    program = f"{prepare}\nfrom dbca_openssl.cli.main import main\nmain()"
    return run(sys.executable, "-c", program, *arguments, directory=there.parent, environment=environment)


def attack(script: str, ca: Path) -> None:
    """Run a shell script in the CA directory, with the rights of another user and of its owner."""
    finished = run("sh", AS_ROOT, "sh", "-c", script, directory=ca)
    assert finished.code == 0, finished.messages


@pytest.fixture
def there(ca: Path) -> Iterator[Path]:
    """A CA directory that may be given away, and comes back."""
    yield ca
    attack("chown -R 0:0 .", ca.parent)
    ca.parent.chmod(0o700)


@dataclass(frozen=True)
class Attack:
    """What another user, or the carelessness of the owner, does to the CA directory, and the reason that is given."""

    script: str
    reason: str


def owned(name: str) -> Attack:
    return Attack(f"chown -h {SOMEBODY} {name}", FOREIGN)


def opened(name: str) -> Attack:
    return Attack(f"chmod o+w {name}", OPEN)


CONFIGURATION = "database-ca.cnf"
PRESENT = [name for name in ownership.JUDGED if name != layout.MISNAMED_CONFIGURATION]
ATTACKS = {
    **{f"another user's {name or 'directory'}": owned(name or ".") for name in PRESENT},
    **{f"everyone may write {name or 'it'}": opened(name or ".") for name in PRESENT},
    "another user's directory above": owned(".."),
    "everyone may write the directory above": opened(".."),
    "all of it another user's": Attack(f"chown -R {SOMEBODY} .", FOREIGN),
    "everyone may write all of it": Attack("chmod -R a+rwX .", OPEN),
    "a configuration behind another user's link": Attack(
        f"mv {CONFIGURATION} x.cnf && ln -s x.cnf {CONFIGURATION} && chown -h {SOMEBODY} {CONFIGURATION}", FOREIGN
    ),
    "our link to another user's configuration": Attack(
        f"mv {CONFIGURATION} x.cnf && ln -s x.cnf {CONFIGURATION} && chown {SOMEBODY} x.cnf", FOREIGN
    ),
    "a directory behind another user's link": Attack(
        f"cd .. && mv database-ca x && ln -s x database-ca && chown -h {SOMEBODY} database-ca", FOREIGN
    ),
    "the guide's wrong name, another user's": Attack(
        f"mv {CONFIGURATION} database_ca.cnf && chown {SOMEBODY} database_ca.cnf", FOREIGN
    ),
    "a group's file without a group's directory": Attack(
        f"chgrp {GROUP} . {CONFIGURATION} && chmod 770 . && chown {SOMEBODY} {CONFIGURATION}", FOREIGN
    ),
    "another group's file in a group's directory": Attack(
        f"chgrp {GROUP} . && chmod 2770 . && chown {SOMEBODY} {CONFIGURATION}", FOREIGN
    ),
    "a group's directory that another user made": Attack(
        f"chown -R {SOMEBODY}:{GROUP} . && chmod 2770 .", FOREIGN
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", ATTACKS)
def test_where_somebody_else_decides_nothing_is_used(name: str, there: Path, environment: dict[str, str]) -> None:
    openssl, record = recording_openssl(there.parent)
    attack(ATTACKS[name].script, there)
    before = snapshot(there.parent)
    given = environment | {"DBCA_OPENSSL": str(openssl)}
    for arguments in (("crl",), ("list", "--ca", there)):
        refused = tool(*arguments, there=there, environment=given)
        assert refused.code == 1 and ATTACKS[name].reason in refused.messages.splitlines()[0], refused
        assert f"--trust-directory {there}" in refused.messages
        assert not refused.output
    assert snapshot(there.parent) == before
    assert record.read_text() == "", "openssl was started"


@pytest.mark.parametrize("verb", sorted(set(VERBS) - NO_CA))
def test_every_verb_refuses(verb: str, there: Path, environment: dict[str, str]) -> None:
    attack(f"chown {SOMEBODY} {CONFIGURATION}", there)
    before = snapshot(there.parent)
    refused = tool(*verb.split(), *INPUTS.get(verb, ()), there=there, environment=environment)
    assert refused.code == (3 if verb in ("check", "server check", "server probe") else 1), refused
    assert f"{there}/{CONFIGURATION} {FOREIGN}" in refused.output + refused.messages
    assert snapshot(there.parent) == before


def test_the_bare_command_refuses(there: Path, environment: dict[str, str]) -> None:
    attack(f"chown {SOMEBODY} {CONFIGURATION}", there)
    assert FOREIGN in refusal(tool(there=there, environment=environment))


def test_the_verbs_without_a_ca_are_those_that_take_none() -> None:
    import typer

    given = {verb: typer.main.get_command(build_one(verb)).params for verb in VERBS}
    assert {verb for verb, options in given.items() if "ca" not in {one.name for one in options}} == NO_CA


def test_what_is_judged_has_every_file_that_decides() -> None:
    files = (layout.CONFIGURATION, layout.MISNAMED_CONFIGURATION, layout.KEY, layout.CERTIFICATE, *layout.DATA_FILES)
    assert set(ownership.JUDGED) == {"", *layout.DIRECTORIES, *files}


COMPLETED = ("__complete", "fish", "show", "")


@pytest.mark.parametrize("script", [f"chown {SOMEBODY} .", "chmod o+w database-ca.index", f"chown {SOMEBODY} certs"])
def test_completion_does_not_read_it(script: str, there: Path) -> None:
    (there / "certs" / f"{HOST}.cert.pem").touch()
    assert HOST in tool(*COMPLETED, there=there, environment={}).output
    attack(script, there)
    assert HOST not in tool(*COMPLETED, there=there, environment={}).output
    assert HOST in tool(*COMPLETED, there=there, environment={"DBCA_TRUST_DIRECTORY": str(there)}).output
    trusting = ("__complete", "fish", "show", "--trust-directory", "database-ca", "")
    assert HOST in tool(*trusting, there=there, environment={}).output


ON_FAT = "from dbca_openssl import ownership; ownership.is_fat = lambda directory: True"

ACCEPTED: dict[str, tuple[str, dict[str, str], str]] = {
    "it is said that it is trusted": (f"chown -R {SOMEBODY} . && chmod -R a+rwX .", {"trust": "database-ca"}, ""),
    "it was made before sudo": (f"chown -R {SOMEBODY} .", {"SUDO_UID": SOMEBODY}, ""),
    "a group may write": (f"chgrp -R {GROUP} . && chmod -R g+rwX .", {}, ""),
    "a group of administrators": (
        f"chgrp -R {GROUP} . && chmod -R g+rwX . && chmod g+s . && chown {SOMEBODY} database-ca.index {CONFIGURATION}",
        {},
        "",
    ),
    "modes mean nothing on FAT": ("chmod -R a+rwX . ..", {}, ON_FAT),
    "a link of ours": ("cd .. && mv database-ca elsewhere && ln -s elsewhere database-ca", {}, ""),
}


@pytest.mark.parametrize("why", ACCEPTED)
def test_what_is_accepted(why: str, there: Path, environment: dict[str, str]) -> None:
    script, given, prepare = ACCEPTED[why]
    attack(script, there)
    trusted = {"DBCA_TRUST_DIRECTORY": str(there)} if "trust" in given else given
    made = tool("crl", there=there, environment=environment | trusted, prepare=prepare)
    assert made.code == 0, made.messages
    assert (there / "database-ca.crlnum").read_text() == "02\n"


@pytest.mark.parametrize("trusted", ["..", "/", "elsewhere", "./certs"])
def test_another_directory_that_is_trusted_is_not_this_one(
    trusted: str, there: Path, environment: dict[str, str]
) -> None:
    attack("chmod o+w .", there)
    assert OPEN in refusal(tool("crl", "--trust-directory", trusted, there=there, environment=environment))
    done = tool("crl", "--trust-directory", "database-ca/.", there=there, environment=environment)
    assert done.code == 0, done.messages


def test_who_became_root_by_sudo_counts_only_for_root(monkeypatch: pytest.MonkeyPatch) -> None:
    for uid, expected in ((0, 4242), (1000, None)):
        monkeypatch.setattr(os, "geteuid", lambda uid=uid: uid)
        assert ownership.sudo_user({"SUDO_UID": SOMEBODY}) == expected
    assert ownership.sudo_user({}) is ownership.sudo_user({"SUDO_UID": "x"}) is None
