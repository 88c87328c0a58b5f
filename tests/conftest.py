"""Fixtures: keys and an authority made once per session, and copied for each test."""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
from collections import Counter
from pathlib import Path

import pytest

from dbca_openssl.host.request import NewRequest
from dbca_openssl.names import alternative_name
from tools.kept import NAMES
from tools.killing import LATER, OLD, PLAIN, World
from tools.support import HOSTS, ORGANIZATION, PASSPHRASE, WRONG_PASSPHRASES, MakeRequest, done, openssl, run
from tools.workshop import Workshop


def pytest_configure() -> None:
    """A shell starts what runs in the background with Ctrl-C ignored, and so it would be for all that tests start."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session", autouse=True)
def _real_openssl() -> None:
    assert shutil.which("openssl"), "the tests need the real openssl (Debian: apt install openssl)"


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (
        *("DBCA_CA", "DBCA_OPENSSL", "DBCA_PASSPHRASE_FILE", "DBCA_TRUST_DIRECTORY"),
        "OPENSSL_CONF",
        "CA_HOME",
        "CN",
    ):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(scope="session")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with `ca.key.pem` (4096 bits, encrypted), `plain-ca.key.pem` (the same), `host.key.pem`, `phrase`.

    All workers of a run have the same one, not to be changed: a key of 4096 bits costs seconds.
    """
    own = tmp_path_factory.getbasetemp()
    directory = (own.parent if "PYTEST_XDIST_WORKER" in os.environ else own) / "keys"
    with open(f"{directory}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not directory.exists():
            work = directory.with_suffix(".new")
            work.mkdir()
            _make_keys(work)
            work.rename(directory)
    return directory


def _make_keys(directory: Path) -> None:
    (directory / "phrase").write_text(f"{PASSPHRASE}\n")
    (directory / "phrase").chmod(0o600)
    openssl("genrsa", "-out", "plain-ca.key.pem", "4096", directory=directory)
    encrypt = ("pkey", "-in", "plain-ca.key.pem", "-aes256", "-passout", "file:phrase", "-out", "ca.key.pem")
    openssl(*encrypt, directory=directory)
    while not all(_is_noticed(phrase, directory) for phrase in WRONG_PASSPHRASES):
        openssl(*encrypt, directory=directory)  # with another salt
    openssl("genrsa", "-out", "host.key.pem", "2048", directory=directory)


def _is_noticed(phrase: str, directory: Path) -> bool:
    """Whether openssl calls a pass phrase wrong: with one in 256 the key decrypts to what it takes for no key."""
    command = ("openssl", "pkey", "-in", "ca.key.pem", "-noout", "-passin", f"pass:{phrase}")
    return "bad decrypt" in run(*command, directory=directory).messages


@pytest.fixture(scope="session")
def pristine(keys: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An authority as `init` leaves it; not to be changed."""
    directory = tmp_path_factory.mktemp("pristine")
    done(
        *("init", "--organization", ORGANIZATION, "--key", keys / "ca.key.pem", "--passphrase-file", keys / "phrase"),
        directory=directory,
    )
    return directory / "database-ca"


@pytest.fixture
def ca(pristine: Path, tmp_path: Path) -> Path:
    """An authority of one's own, with an encrypted key: `tmp_path/database-ca`."""
    return Path(shutil.copytree(pristine, tmp_path / "database-ca"))


@pytest.fixture
def environment(keys: Path) -> dict[str, str]:
    """The environment of a script that has the pass phrase in a file."""
    return {"DBCA_PASSPHRASE_FILE": str(keys / "phrase")}


@pytest.fixture(scope="session")
def make_request(keys: Path, tmp_path_factory: pytest.TempPathFactory) -> MakeRequest:
    """A function that makes a request by the guide's host configuration, quickly, with the session's one host key."""
    directory = tmp_path_factory.mktemp("requests")

    def make(name: str, *alternative_names: str, to: Path | None = None) -> Path:
        others = tuple(map(alternative_name, alternative_names))
        configuration = directory / f"{name}.cnf"
        configuration.write_text(NewRequest(name, alternative_names=others).configuration())
        target = (to or directory) / f"{name}.req.pem"
        openssl(
            *("req", "-new", "-key", keys / "host.key.pem", "-out", target),
            directory=directory,
            environment={"OPENSSL_CONF": str(configuration), "CN": name},
        )
        return target

    return make


@pytest.fixture(scope="session")
def workshop(keys: Path, tmp_path_factory: pytest.TempPathFactory) -> Workshop:
    """Keys of every kind, and a place to make strange requests."""
    return Workshop(tmp_path_factory.mktemp("workshop"), keys / "host.key.pem")


@pytest.fixture(scope="session")
def world(pristine: Path, keys: Path, make_request: MakeRequest, tmp_path_factory: pytest.TempPathFactory) -> World:
    """What is killed in: an authority with one certificate and five requests; not to be changed."""
    world = World(tmp_path_factory.mktemp("world"))
    shutil.copytree(keys, world.root / "keys")
    (world.root / "keys/new-phrase").write_text("another pass phrase\n")
    (world.root / "keys/new-phrase").chmod(0o600)
    shutil.copytree(pristine, world.ca)
    (world.root / "requests").mkdir()
    for name in (*NAMES, OLD):
        make_request(name, to=world.ca / "certreqs")
    for name in (PLAIN, LATER):
        make_request(name, to=world.root / "requests")
    signed = world.tool("sign", OLD, "--yes", "--ca", world.ca)
    assert signed.code == 0, signed.messages
    return world


@pytest.fixture(scope="session")
def pristine_fleet(
    pristine: Path, keys: Path, make_request: MakeRequest, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """`pristine` with certificates 01 to 03 for the guide's three hosts; not to be changed."""
    directory = tmp_path_factory.mktemp("fleet") / "database-ca"
    shutil.copytree(pristine, directory)
    for name in HOSTS:
        make_request(name, to=directory / "certreqs")
    done("sign", *HOSTS, "--yes", "--passphrase-file", keys / "phrase", directory=directory)
    return directory


@pytest.fixture
def fleet(pristine_fleet: Path, tmp_path: Path) -> Path:
    """An authority of one's own that has signed for aiken (01), margaret (02) and gannibal (03)."""
    return Path(shutil.copytree(pristine_fleet, tmp_path / "database-ca"))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """The figures of the slow tests: how often a kill, a full disk or a fault was tried, and went wrong."""
    totals: Counter[str] = Counter()
    for outcome in ("passed", "failed"):
        for report in terminalreporter.getreports(outcome):
            totals.update(dict(getattr(report, "user_properties", ())))
    for what, name in (("kill -9", "points"), ("few free pages", "levels"), ("a call that fails", "faults")):
        if totals[name]:
            bad = totals["bad" if name == "points" else f"bad {name}"]
            terminalreporter.write_line(f"{what}: {totals[name]} {name} tried, bad: {bad}")
