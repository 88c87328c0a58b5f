"""Same key, same requests, same clock: the guide's commands typed by hand and the tool leave the same bytes and modes.

The trees are compared by the real `diff -r`. Left out are the tool's own lock and the random bytes of RANDFILE.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from dbca_openssl.ca import parallel
from dbca_openssl.ca.index import LARGE, serial_text
from tools.by_hand import CONFIGURE, REQUEST, REVOCATION_LIST, SELF_SIGN_FIXED, SIGN, new_directory, typed_well
from tools.support import HOSTS, ORGANIZATION, MakeRequest, done, frozen_openssl, frozen_tool, run, snapshot

CLOCKS = ("2026-11-24 12:34:56", "2028-02-29 00:00:00", "2049-12-31 23:59:59")
"""An ordinary day, one that is not there five years later, and the last second that an UTCTime can hold."""

LATER = "2028-03-01 09:30:15"


@dataclass(frozen=True)
class Twins:
    """Two authorities in `place`, made in the two ways: `hand/database-ca` and `tool/database-ca`."""

    place: Path
    phrase: Path

    @property
    def hand(self) -> Path:
        """The one made by hand."""
        return self.place / "hand/database-ca"

    @property
    def tool(self) -> Path:
        """The one made by the tool."""
        return self.place / "tool/database-ca"

    def at_the_terminal(self, clock: str, commands: str) -> None:
        """Type commands into sh while `openssl` and `date` live at a fixed time."""
        programs = self.place / "programs"
        programs.mkdir(exist_ok=True)
        frozen_openssl(programs, clock).rename(programs / "openssl")
        (programs / "date").write_text(f"#!/bin/sh\nexec faketime -f '{clock}' /bin/date \"$@\"\n")
        (programs / "date").chmod(0o755)
        typed_well(f"umask 022\n{commands}", self.hand, {"PATH": f"{programs}:{os.environ['PATH']}", "TZ": "UTC"})

    def by_the_tool(self, clock: str, *arguments: str | Path) -> None:
        """Run the tool at the same fixed time."""
        finished = frozen_tool(
            clock, *arguments, directory=self.tool.parent, environment={"DBCA_PASSPHRASE_FILE": str(self.phrase)}
        )
        assert finished.code == 0, finished.messages

    def request(self, make_request: MakeRequest, *names: str) -> None:
        """Put the same requests into both."""
        for name in names:
            shutil.copy(make_request(name, to=self.hand / "certreqs"), self.tool / "certreqs")

    def differences(self) -> str:
        """What `diff -r` finds, or how the modes differ."""
        compared = run("diff", "-r", "-x", ".lock", "-x", ".rnd", self.hand, self.tool, directory=self.place)
        assert compared.code < 2, compared.messages
        return compared.output or "".join(f"{name}: {mode} and {other}\n" for name, mode, other in self._other_modes())

    def _other_modes(self) -> list[tuple[str, str, str]]:
        by_hand, tool = (snapshot(place.parent, without=(".lock",)) for place in (self.hand, self.tool))
        return [(name, by_hand[name][0], tool[name][0]) for name in by_hand if by_hand[name][0] != tool[name][0]]


def make_twins(place: Path, keys: Path, clock: str, organization: str = ORGANIZATION) -> Twins:
    """Two new authorities with the session's key, up to the first revocation list."""
    twins = Twins(place, keys / "phrase")
    for directory in (twins.hand.parent, twins.tool.parent):
        directory.mkdir(parents=True)
    text = done("render", "database-ca.cnf", "--organization", organization, directory=place).output
    new_directory(twins.hand.parent, text, keys / "ca.key.pem")
    request = REQUEST.replace("-new", "-new -key private/database-ca.key.pem")
    twins.at_the_terminal(clock, "\n".join((request, SELF_SIGN_FIXED, REVOCATION_LIST)))
    twins.by_the_tool(clock, "init", "--organization", organization, "--key", keys / "ca.key.pem")
    return twins


@pytest.fixture(scope="module")
def first_twins(keys: Path, tmp_path_factory: pytest.TempPathFactory) -> Twins:
    """Two new authorities; not to be changed."""
    return make_twins(tmp_path_factory.mktemp("twins") / "first", keys, CLOCKS[1])


@pytest.fixture
def twins(first_twins: Twins, tmp_path: Path) -> Twins:
    """Two new authorities of one's own."""
    return Twins(Path(shutil.copytree(first_twins.place, tmp_path / "twins")), first_twins.phrase)


@pytest.mark.parametrize("clock", CLOCKS)
def test_init_with_a_key_leaves_the_same_bytes(clock: str, keys: Path, tmp_path: Path) -> None:
    twins = make_twins(tmp_path / "twins", keys, clock)
    assert twins.differences() == ""
    names = {str(path.relative_to(twins.hand)) for path in twins.hand.rglob("*")}
    assert names == {str(path.relative_to(twins.tool)) for path in twins.tool.rglob("*")}


def test_init_with_a_difficult_organisation_leaves_the_same_bytes(keys: Path, tmp_path: Path) -> None:
    twins = make_twins(tmp_path / "twins", keys, CLOCKS[0], 'Müller & Söhne, "Zürich" #1 $HOME\\x')
    assert twins.differences() == ""


def test_a_signature_leaves_the_same_bytes(twins: Twins, make_request: MakeRequest) -> None:
    twins.request(make_request, HOSTS[0])
    twins.at_the_terminal(LATER, SIGN.format(name=HOSTS[0]))
    assert f"Only in {twins.hand}/certs: {HOSTS[0]}.cert.pem" in twins.differences()
    twins.by_the_tool(LATER, "sign", HOSTS[0], "--yes")
    assert twins.differences() == ""


def test_one_signature_after_the_other_leaves_the_same_bytes(twins: Twins, make_request: MakeRequest) -> None:
    twins.request(make_request, *HOSTS)
    for name in HOSTS:
        twins.at_the_terminal(LATER, SIGN.format(name=name))
        twins.by_the_tool(LATER, "sign", name, "--yes")
        assert twins.differences() == ""


def test_several_signatures_at_once_leave_the_same_bytes(twins: Twins, make_request: MakeRequest) -> None:
    twins.request(make_request, *HOSTS)
    twins.at_the_terminal(LATER, f"{_infiles(HOSTS)}\n{_copies(HOSTS, 1)}")
    twins.by_the_tool(LATER, "sign", *HOSTS, "--yes")
    assert twins.differences() == ""


def test_a_signature_for_other_days_leaves_the_same_bytes(twins: Twins, make_request: MakeRequest) -> None:
    twins.request(make_request, HOSTS[0])
    twins.at_the_terminal(LATER, f"{SIGN.format(name=HOSTS[0])} -days 90")
    twins.by_the_tool(LATER, "sign", HOSTS[0], "--yes", "--days", "90")
    assert twins.differences() == ""


def test_a_revocation_list_leaves_the_same_bytes(twins: Twins) -> None:
    for options, flags in (((), ""), (("--days", "7"), " -crldays 7")):
        twins.at_the_terminal(LATER, REVOCATION_LIST + flags)
        assert "/crl/database-ca.crl" in twins.differences()
        twins.by_the_tool(LATER, "crl", *options)
        assert twins.differences() == ""


def test_many_in_shares_leave_the_same_bytes(twins: Twins, make_request: MakeRequest) -> None:
    """More than twice what a share has at least, so that on two processors two openssl sign them."""
    names = [f"host{number:02}.example.net" for number in range(2 * parallel.LEAST + 3)]
    twins.request(make_request, *names)
    twins.at_the_terminal(LATER, f"{_infiles(names)}\n{_copies(names, 1)}")
    twins.by_the_tool(LATER, "sign", *names, "--yes")
    assert twins.differences() == ""


def test_several_renewals_leave_the_same_bytes(twins: Twins, make_request: MakeRequest) -> None:
    """Where the tool's openssl sees a line of the index for each that it revokes, and the one by hand sees all."""
    twins.request(make_request, *HOSTS)
    twins.at_the_terminal(LATER, f"{_infiles(HOSTS)}\n{_copies(HOSTS, 1)}")
    twins.by_the_tool(LATER, "sign", *HOSTS, "--yes")
    revoked = "".join(f"openssl ca -revoke newcerts/0{number}.pem -crl_reason superseded\n" for number in (1, 2))
    removed = "".join(f"rm certs/{name}.cert.pem\n" for name in HOSTS[:2])
    twins.at_the_terminal(LATER, f"{CONFIGURE}\n{revoked}{removed}")
    twins.at_the_terminal(LATER, f"{_infiles(HOSTS[:2])}\n{_copies(HOSTS[:2], 4)}\n{REVOCATION_LIST}")
    twins.by_the_tool(LATER, "renew", *HOSTS[:2], "--yes")
    assert twins.differences() == ""


def test_work_on_a_large_index_leaves_the_same_bytes(twins: Twins, make_request: MakeRequest) -> None:
    """Of which the tool's openssl sees a few lines only: signing, revoking, a list, renewing, many at once."""
    former = 15_000
    rows = "".join(_former(number) for number in range(1, former))
    for directory in (twins.hand, twins.tool):
        with open(directory / "database-ca.index", "a") as index:
            index.write(rows)
        assert (directory / "database-ca.index").stat().st_size > LARGE
        (directory / "database-ca.serial").write_text(f"{serial_text(former)}\n")
    many = [f"host{number:02}.example.net" for number in range(2 * parallel.LEAST + 1)]
    twins.request(make_request, *HOSTS, *many)
    _, second, third = (f"newcerts/{serial_text(former + number)}.pem" for number in range(3))

    twins.at_the_terminal(LATER, SIGN.format(name=HOSTS[0]))
    twins.by_the_tool(LATER, "sign", HOSTS[0], "--yes")
    assert twins.differences() == ""

    twins.at_the_terminal(LATER, f"{_infiles(HOSTS[1:])}\n{_copies(HOSTS[1:], former + 1)}")
    twins.by_the_tool(LATER, "sign", *HOSTS[1:], "--yes")
    assert twins.differences() == ""

    twins.at_the_terminal(
        LATER, f"{CONFIGURE}\nopenssl ca -revoke {second} -crl_reason cessationOfOperation\n{REVOCATION_LIST}"
    )
    twins.by_the_tool(LATER, "revoke", HOSTS[1], "--reason", "cessationOfOperation", "--yes")
    assert twins.differences() == ""

    twins.at_the_terminal(LATER, REVOCATION_LIST)
    twins.by_the_tool(LATER, "crl")
    assert twins.differences() == ""
    listed = done("list", "--revoked", "--json", directory=twins.tool).document["certificates"]
    assert len(listed) == 1 + former // 1000

    renewal = f"{CONFIGURE}\nopenssl ca -revoke {third} -crl_reason superseded"
    twins.at_the_terminal(LATER, f"{renewal}\nrm certs/{HOSTS[2]}.cert.pem")
    twins.at_the_terminal(LATER, SIGN.format(name=HOSTS[2]))
    twins.at_the_terminal(LATER, REVOCATION_LIST)
    twins.by_the_tool(LATER, "renew", HOSTS[2], "--yes")
    assert twins.differences() == ""

    number = former + len(HOSTS) + 1
    twins.at_the_terminal(LATER, f"{_infiles(many)}\n{_copies(many, number)}")
    twins.by_the_tool(LATER, "sign", *many, "--yes")
    assert twins.differences() == ""


def _infiles(names: Sequence[str]) -> str:
    """Sign several requests by one openssl."""
    requests = " ".join(f"certreqs/{name}.req.pem" for name in names)
    return f"{CONFIGURE}\nopenssl ca -extensions cert_ext --policy cert_policy -infiles {requests}"


def _copies(names: Sequence[str], serial: int) -> str:
    """Put them where the guide has them."""
    return "\n".join(
        f"cp newcerts/{serial_text(number)}.pem certs/{name}.cert.pem" for number, name in enumerate(names, serial)
    )


def _former(number: int) -> str:
    """A row of a certificate that was signed long ago; one of a thousand is revoked."""
    state, revoked = ("R", "280101000000Z,superseded") if number % 1000 == 7 else ("V", "")
    subject = f"/CN=former{number}.with-a-long-name.example.net"
    return f"{state}\t331231235959Z\t{revoked}\t{serial_text(number)}\tunknown\t{subject}\n"
