"""`check --ssl-dir`, and the script of `check --print`, which finds the same with openssl alone."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tools.support import HOSTS, ORGANIZATION, Finished, done, frozen_openssl, run, snapshot, tool

AIKEN, MARGARET, GANNIBAL = HOSTS
CA, CRL, OWN, KEY = "database-ca.cert.pem", "database-ca.crl", f"{AIKEN}.cert.pem", f"private/{AIKEN}.key.pem"

Found = set[tuple[str, str]]
C, W, U = "CRITICAL", "WARNING", "UNKNOWN"


class Host:
    """The files of aiken, and of the CA that has signed for it."""

    def __init__(self, ca: Path, keys: Path, ssl: Path) -> None:
        self.ca, self.keys, self.ssl = ca, keys, ssl
        (ssl / "private").mkdir(parents=True, mode=0o700)
        self.copy(ca / CA, ca / f"crl/{CRL}", ca / f"certs/{AIKEN}.cert.pem")
        shutil.copy(keys / "host.key.pem", ssl / KEY)
        (ssl / KEY).chmod(0o600)

    def copy(self, *files: Path) -> None:
        for file in files:
            (self.ssl / file.name).write_bytes(file.read_bytes())
            (self.ssl / file.name).chmod(0o644)

    def second_ca(self, days: int = 60) -> Path:
        """Another CA, whose CRL has two days left if it is valid for 30, beside the first in both files."""
        clock = f"{datetime.now(UTC) - timedelta(days=28, hours=-1):%Y-%m-%d %H:%M:%S}"
        program, second = frozen_openssl(self.ca.parent, clock), self.ca.parent / "second"
        done(
            *("init", "-o", ORGANIZATION, "--common-name", "Second CA", "--key", self.keys / "host.key.pem"),
            *("--no-passphrase", "--crl-days", str(days), "--ca", second, "--openssl", program),
            directory=self.ca.parent,
        )
        for name in (CA, CRL):
            both = self.ssl / name
            both.write_bytes(both.read_bytes() + (second / ("crl" if name == CRL else ".") / name).read_bytes())
        return second

    def script(self, *options: str, clock: str = "") -> Finished:
        """Run the printed script, which must say nothing else, maybe while it is always `clock`.

        The tool itself cannot run so: the module `sh` waits for a clock that goes on.
        """
        script = self.ca.parent / "check.sh"
        script.write_text(done("check", "--print", *options, directory=self.ca).output)
        frozen = ("faketime", "-f", clock) if clock else ()
        finished = run(*frozen, "dash", script, self.ssl, directory=self.ca, environment={"TZ": "UTC"})
        assert finished.messages == ""
        return finished

    def found(self) -> Found:
        """What both find, which must be the same, with the same exit code, and nothing changed."""
        before = snapshot(self.ssl)
        by_tool = tool("check", "--ssl-dir", self.ssl, "--json", directory=self.ca)
        by_script = self.script()
        found = {(one["level"], one["code"]) for one in by_tool.document["findings"]}
        assert _findings(by_script) == found
        assert by_script.output.startswith(f"{by_tool.document['status']}: {len(by_tool.document['findings'])} finding")
        assert (by_tool.code, snapshot(self.ssl)) == (by_script.code, before)
        assert all(one["fix"] for one in by_tool.document["findings"])
        return found


def _findings(finished: Finished) -> Found:
    lines = [line.split() for line in finished.output.splitlines()[1:] if not line.startswith(" ")]
    return {(level, code.rstrip(":")) for level, code, *_ in lines}


@pytest.fixture
def host(pristine_fleet: Path, keys: Path, tmp_path: Path) -> Host:
    return Host(Path(shutil.copytree(pristine_fleet, tmp_path / "database-ca")), keys, tmp_path / "ssl")


def test_a_host_in_order(host: Host, tmp_path: Path) -> None:
    assert host.found() == set()
    done("check", "--ca", host.ssl, directory=tmp_path)
    checked = done("check", "--ssl-dir", host.ssl, "--format", "prometheus", directory=tmp_path).output
    families = {one.name: one.samples for one in text_string_to_metric_families(checked)}
    ends = {name: {sample.value for sample in samples} for name, samples in families.items()}
    of_ca = done("check", "--ca", host.ca, "--format", "prometheus", directory=tmp_path).output
    for family in text_string_to_metric_families(of_ca):
        if family.name != "dbca_certificates":
            assert ends[family.name] <= {sample.value for sample in family.samples}
    assert [one.labels for one in families["dbca_certificate_not_after_seconds"]] == [{"name": AIKEN, "serial": "01"}]


def _foreign_owner(host: Host) -> None:
    os.chown(host.ssl / OWN, 4242, -1)


def _other_key(host: Host) -> None:
    run("openssl", "genrsa", "-out", host.ssl / KEY, "2048", directory=host.ssl)


def _encrypted_key(host: Host) -> None:
    shutil.copy(host.ca / "private/database-ca.key.pem", host.ssl / KEY)


def _other_ca(host: Host) -> None:
    host.copy(host.second_ca() / CA)


def _second_without_crl(host: Host) -> None:
    host.second_ca()
    host.copy(host.ca / f"crl/{CRL}")


def _revoked(host: Host) -> None:
    environment = {"DBCA_PASSPHRASE_FILE": str(host.keys / "phrase")}
    done("revoke", AIKEN, "--yes", "--ca", host.ca, directory=host.ca, environment=environment)
    host.copy(host.ca / f"crl/{CRL}")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("damage", "found"),
    [
        (lambda host: (host.ssl / CA).unlink(), {(C, "missing"), (C, "crl")}),
        (lambda host: (host.ssl / CRL).write_text(""), {(C, "missing")}),
        (lambda host: (host.ssl / CRL).write_text("no CRL\n"), {(C, "crl")}),
        (lambda host: (host.ssl / CA).write_text("no certificate\n"), {(C, "authority"), (C, "crl")}),
        (lambda host: (host.ssl / OWN).write_text("no certificate\n"), {(C, "certificate")}),
        (lambda host: (host.ssl / KEY).unlink(), {(C, "key")}),
        (_other_key, {(C, "key")}),
        (_encrypted_key, {(C, "key")}),
        (lambda host: (host.ssl / KEY).chmod(0o644), {(C, "mode")}),
        (lambda host: (host.ssl / CRL).chmod(0o600), {(W, "mode")}),
        (lambda host: (host.ssl / OWN).chmod(0o666), {(C, "writable")}),
        (lambda host: (host.ssl / "private").chmod(0o777), {(C, "writable")}),
        (_foreign_owner, {(C, "owner")}),
        (_other_ca, {(C, "chain"), (C, "crl")}),
        (_second_without_crl, {(C, "crl")}),
        (_revoked, {(C, "revoked")}),
        (lambda host: host.second_ca(60), set()),
        (lambda host: shutil.rmtree(host.ssl), {(U, "host")}),
    ],
)  # fmt: skip
def test_what_is_wrong_on_a_host(damage: Callable[[Host], object], found: Found, host: Host) -> None:
    damage(host)
    assert host.found() == found


@pytest.mark.parametrize(
    ("days", "found"),
    [(44, set()), (46, {(W, "crl")}), (54, {(C, "crl")}), (61, {(C, "crl")}), (400, {(C, "crl"), (C, "certificate")})],
)
def test_time_passes(days: int, found: Found, host: Host) -> None:
    """The CRL is valid for 60 days: a warning a quarter of them before, critical an eighth before."""
    clock = f"{datetime.now(UTC) + timedelta(days=days, hours=-1):%Y-%m-%d %H:%M:%S}"
    assert _findings(host.script(clock=clock)) == found


def test_the_second_crl_with_two_days_left_is_critical(host: Host) -> None:
    host.second_ca(30)
    assert host.found() == {(C, "crl")}


def test_a_lapse_turns_the_exit_code_in_the_second_in_which_it_happens(host: Host) -> None:
    said = run("openssl", "crl", "-in", host.ssl / CRL, "-noout", "-nextupdate", directory=host.ssl).output
    end = datetime.strptime(said.strip(), "nextUpdate=%b %d %H:%M:%S %Y GMT").replace(tzinfo=UTC)
    texts = []
    for moment in (end - timedelta(seconds=1), end):
        checked = host.script("--warn-days", "0", "--critical-days", "0", clock=f"{moment:%Y-%m-%d %H:%M:%S}")
        texts.append((checked.code, "expired on" in checked.output))
    assert texts == [(0, False), (2, True)]
