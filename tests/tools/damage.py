"""Every documented state of damage of an authority: how it comes about, what `check` finds, and whether it mends."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from dbca_openssl.ca import check as checking
from dbca_openssl.ca.check import Limits
from dbca_openssl.ca.layout import Authority
from dbca_openssl.finding import CRITICAL, WARNING, Level
from tools.request_builder import pem, unpem
from tools.support import BARE, HOSTS, openssl

AIKEN, MARGARET, GANNIBAL = HOSTS
NEW = "new.example.net"

SERIAL, INDEX, ATTRIBUTES, CRL_NUMBER = (f"database-ca.{name}" for name in ("serial", "index", "index.attr", "crlnum"))
CRL = "crl/database-ca.crl"

Found = set[tuple[Level, str]]


@dataclass(frozen=True)
class World:
    """What a state of damage is made of: the authority, and others made once."""

    ca: Path
    signed: Path
    """The same authority after a plain openssl has signed for NEW, serial 04."""
    twin: Path
    """Another authority of the same name, with a certificate 01 of aiken."""
    phrase: Path

    def path(self, name: str) -> Path:
        return self.ca / name

    def put(self, name: str, content: bytes | str) -> None:
        path = self.path(name)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())

    def change(self, name: str, before: str, after: str) -> None:
        text = self.path(name).read_text()
        assert before in text
        self.put(name, text.replace(before, after))

    def openssl(self, *arguments: str | Path) -> None:
        plain_openssl(self.ca, self.phrase, *arguments)


def check(ca: Path, **limits: int | bool) -> Found:
    """The levels and codes of what `check` finds in a CA."""
    return {(one.level, one.code) for one in checking.check(Authority(ca), Limits(**limits)).findings}  # type: ignore[arg-type]


def plain_openssl(ca: Path, phrase: Path, *arguments: str | Path) -> None:
    """`openssl ca` as the guide types it."""
    openssl(
        *("ca", "-batch", *arguments, "-passin", f"file:{phrase}"),
        directory=ca,
        environment={"OPENSSL_CONF": "./database-ca.cnf"},
    )


def sign_plainly(ca: Path, phrase: Path, name: str) -> None:
    """The guide's command for signing."""
    plain_openssl(
        *(ca, phrase, "-in", f"certreqs/{name}.req.pem", "-out", f"certs/{name}.cert.pem"),
        *("-extensions", "cert_ext", "-policy", "cert_policy"),
    )


def killed(renamed: int) -> Callable[[World], None]:
    """A plain openssl that signed for NEW and was killed after so many of its six renames (reliability of ca(1))."""

    def damage(world: World) -> None:
        for name in (f"certreqs/{NEW}.req.pem", f"certs/{NEW}.cert.pem", "newcerts/04.pem"):
            shutil.copy(world.signed / name, world.path(name))
        steps = []
        for name in (SERIAL, INDEX, ATTRIBUTES):
            shutil.copy(world.signed / name, world.path(f"{name}.new"))
            steps += [(name, f"{name}.old"), (f"{name}.new", name)]
        for source, target in steps[:renamed]:
            world.path(source).rename(world.path(target))

    return damage


def killed_at_the_list(world: World) -> None:
    """openssl truncates the list before it has a new one."""
    world.put(CRL, "")
    world.put(f"{CRL_NUMBER}.new", "02\n")


def crl_number_moved_away(world: World) -> None:
    world.path(CRL_NUMBER).rename(world.path(f"{CRL_NUMBER}.old"))
    world.put(f"{CRL_NUMBER}.new", "02\n")


def lost_revocation(world: World) -> None:
    """The index of before a revocation, the list of after it."""
    before = world.path(INDEX).read_bytes()
    world.openssl("-revoke", "newcerts/01.pem")
    world.openssl("-gencrl", "-out", CRL)
    world.put(INDEX, before)


def emptied_by_a_full_disk(world: World) -> None:
    world.put(f"{INDEX}.old", world.path(INDEX).read_bytes().rpartition(b"V\t")[0])
    for name in (INDEX, ATTRIBUTES, SERIAL, f"certs/{GANNIBAL}.cert.pem"):
        world.put(name, "")


def two_valid_rows(world: World) -> None:
    world.put(ATTRIBUTES, "unique_subject = no\n")
    sign_plainly(world.ca, world.phrase, AIKEN)
    world.put(ATTRIBUTES, "unique_subject = yes\n")


def second_serial(world: World) -> None:
    """Two openssl at the same time: one serial, two rows."""
    row = world.path(INDEX).read_text().splitlines()[-1]
    world.put(INDEX, world.path(INDEX).read_text() + row.replace(GANNIBAL, "other.example.net") + "\n")


def unindexed_second_generation(world: World) -> None:
    """A certificate that is not in the index, of a name that has a valid one there."""
    rows = world.path(INDEX).read_bytes()
    world.put(ATTRIBUTES, "unique_subject = no\n")
    sign_plainly(world.ca, world.phrase, AIKEN)
    world.put(ATTRIBUTES, "unique_subject = yes\n")
    world.put(INDEX, rows)
    shutil.copy(world.path("newcerts/01.pem"), world.path(f"certs/{AIKEN}.cert.pem"))


def not_in_the_list(world: World) -> None:
    world.openssl("-revoke", "newcerts/02.pem")


def bad_name(world: World) -> None:
    openssl(
        *("req", "-new", "-key", world.phrase.parent / "host.key.pem", "-subj", "/CN=a b"),
        *("-out", world.path("certreqs/bad.req.pem")),
        directory=world.ca,
        environment={"OPENSSL_CONF": str(BARE)},
    )
    sign_plainly(world.ca, world.phrase, "bad")


def stale_delivery(world: World) -> None:
    shutil.copy(world.path("newcerts/02.pem"), world.path(f"certs/{AIKEN}.cert.pem"))


def other_blocks(change: Callable[[str, str], str], name: str = "newcerts/04.pem") -> Callable[[World], None]:
    """A file that is not in the index, made of two texts: the certificate 04 as openssl wrote it, and a forged one."""

    def damage(world: World) -> None:
        real = openssl("x509", "-in", world.signed / "newcerts/04.pem", directory=world.ca)
        encoded = unpem(real.encode()).replace(NEW.encode(), b"evil.example.ne")
        world.put(name, change(real, pem(encoded, "CERTIFICATE").decode()))

    return damage


def trusted(real: str, forged: str) -> str:
    """openssl reads the first block, whoever looks for the label CERTIFICATE the second."""
    return real.replace(" CERTIFICATE", " TRUSTED CERTIFICATE") + forged


def swapped(world: World) -> None:
    """In the index two names have each other's serial."""
    rows = world.path(INDEX).read_text()
    for before, after in ((MARGARET, "m"), (GANNIBAL, MARGARET), ("=m\n", f"={GANNIBAL}\n")):
        rows = rows.replace(before, after)
    world.put(INDEX, rows)


def no_certificate_left(world: World) -> None:
    world.path("database-ca.cert.pem").unlink()


def copy_from_twin(target: str) -> Callable[[World], None]:
    return lambda world: world.put(target, (world.twin / "newcerts/01.pem").read_bytes())


def removed(*names: str) -> Callable[[World], None]:
    def damage(world: World) -> None:
        for name in names:
            path = world.path(name)
            shutil.rmtree(path) if path.is_dir() else path.unlink()

    return damage


def written(name: str, content: str) -> Callable[[World], None]:
    return lambda world: world.put(name, content)


def renamed(name: str, other: str) -> Callable[[World], None]:
    def damage(world: World) -> None:
        world.path(name).rename(world.path(other))

    return damage


def without_final_newline(world: World) -> None:
    world.put(INDEX, world.path(INDEX).read_bytes().rstrip(b"\n"))


def cut_last_line(world: World) -> None:
    world.put(INDEX, world.path(INDEX).read_bytes()[:-6])


def blank_line(world: World) -> None:
    world.put(INDEX, world.path(INDEX).read_bytes().replace(b"\nV", b"\n\nV", 1))


def dated(date: str, revoked: str | None = None) -> Callable[[World], None]:
    """In the index the certificate 02 expires on a date, or was revoked on one."""

    def damage(world: World) -> None:
        rows = [line.split("\t") for line in world.path(INDEX).read_text().splitlines()]
        for row in rows:
            if row[3] == "02":
                row[:3] = ["R", row[1], revoked] if revoked else [row[0], date, row[2]]
        world.put(INDEX, "".join("\t".join(row) + "\n" for row in rows))

    return damage


def two_blocks_in_both(world: World) -> None:
    """What openssl reads of the file is the first block of it, so nothing else may be in it."""
    for name in ("newcerts/01.pem", f"certs/{AIKEN}.cert.pem"):
        world.put(name, world.path(name).read_bytes() + world.path("newcerts/02.pem").read_bytes())


def mode(name: str, bits: int) -> Callable[[World], None]:
    return lambda world: world.path(name).chmod(bits)


def stage(world: World) -> None:
    world.path(".stage.0badcafe/certs").mkdir(parents=True)


def empty_commit(world: World) -> None:
    world.path(".commit").mkdir()


def interrupted(world: World) -> None:
    """All of it is in place, but for the removal of the record."""
    world.path(".commit").mkdir()
    world.put(".commit/manifest", "")


@dataclass(frozen=True)
class State:
    """A state of damage: how it comes about, what `check` says, what is left to people after `repair`."""

    damage: Callable[[World], None]
    found: Found
    left: Found


def mended(damage: Callable[[World], None], *found: tuple[Level, str]) -> State:
    return State(damage, set(found), set())


def explained(damage: Callable[[World], None], *found: tuple[Level, str]) -> State:
    return State(damage, set(found), set(found))


W, C = WARNING, CRITICAL

_NOT_ENTERED = {(C, "not-in-index"), (C, "serial")}, {(C, "not-in-index")}

STATES = {
    # a plain openssl that was killed
    "killed before the first rename": mended(killed(0), (W, "leftover"), (C, "not-in-index"), (C, "serial")),
    "killed, no serial": mended(killed(1), (C, "leftover"), (W, "leftover"), (C, "not-in-index")),
    "killed, serial done": mended(killed(2), (W, "leftover"), (C, "not-in-index")),
    "killed, no index": mended(killed(3), (C, "leftover"), (W, "leftover")),
    "killed, index done": mended(killed(4), (W, "leftover")),
    "killed, no attributes": mended(killed(5), (C, "leftover"), (W, "attributes")),
    "killed at the list": State(killed_at_the_list, {(C, "crl"), (W, "leftover")}, {(C, "crl")}),
    "killed, no crlnum": mended(crl_number_moved_away, (C, "leftover")),
    "only .old is left": mended(
        renamed(SERIAL, f"{SERIAL}.old"), (C, "leftover")
    ),
    # the index
    "no final newline": mended(without_final_newline, (C, "index")),
    "a cut last line": explained(cut_last_line, (C, "index")),
    "a blank line": mended(blank_line, (C, "index")),
    "a line of something else": explained(written(INDEX, "V\tnonsense\n"), (C, "index")),
    "30 February": explained(dated("270230000000Z"), (C, "index")),
    "29 February of no leap year": explained(dated("20270229000000Z"), (C, "index")),
    "the year 0": explained(dated("00000101000000Z"), (C, "index")),
    "revoked on 31 February": explained(dated("", "270231000000Z,superseded"), (C, "index")),
    "a date that is none": explained(
        lambda world: world.change(INDEX, "Z\t\t02", "Z\t991399000000Z\t02"), (C, "index")
    ),
    "emptied by a full disk": mended(
        emptied_by_a_full_disk, (C, "index"), (W, "attributes"), (C, "serial"), (C, "not-in-index")
    ),
    "no index at all": State(
        removed(INDEX, f"{INDEX}.old"), {(C, "missing")}, {(W, "rebuilt")}
    ),
    "a serial twice": explained(second_serial, (C, "duplicate-serial"), (C, "copy")),
    "a name valid twice": explained(two_valid_rows, (C, "duplicate-name")),
    "a name of no host": explained(bad_name, (W, "bad-name")),
    # serial and number of the list
    "serial too low": mended(written(SERIAL, "02\n"), (C, "serial")),
    "serial with an odd number of digits": mended(written(SERIAL, "4\n"), (C, "serial")),
    "serial empty": mended(written(SERIAL, ""), (C, "serial")),
    "serial missing": mended(removed(SERIAL, f"{SERIAL}.old"), (C, "missing")),
    "serial without line end": mended(written(SERIAL, "04"), (W, "serial")),
    "crlnum too low": mended(written(CRL_NUMBER, "00\n"), (C, "crl-number")),
    "crlnum damaged": mended(written(CRL_NUMBER, "one\n"), (C, "crl-number")),
    "crlnum without line end": mended(written(CRL_NUMBER, "01"), (W, "crl-number")),
    "crlnum missing": mended(removed(CRL_NUMBER, f"{CRL_NUMBER}.old"), (C, "missing")),
    "crlnum and list missing": explained(
        removed(CRL_NUMBER, f"{CRL_NUMBER}.old", CRL), (C, "missing"), (C, "crl")
    ),
    # attributes
    "no attributes": mended(removed(ATTRIBUTES, f"{ATTRIBUTES}.old"), (W, "attributes")),
    "empty attributes": mended(written(ATTRIBUTES, ""), (W, "attributes")),
    "unique_subject = no": explained(written(ATTRIBUTES, "unique_subject = no\n"), (W, "attributes")),
    # modes, directories, names
    "private is open": mended(mode("private", 0o755), (W, "mode")),
    "the key is open": mended(mode("private/database-ca.key.pem", 0o644), (C, "mode")),
    "no directories": mended(removed("certreqs", "certs"), (C, "missing"), (W, "certs")),
    "the guide's database_ca.cnf": mended(renamed("database-ca.cnf", "database_ca.cnf"), (C, "name")),
    "the guide's mariadatabase-ca.key.pem": mended(
        renamed("private/database-ca.key.pem", "private/mariadatabase-ca.key.pem"), (C, "name")
    ),
    "no configuration": explained(removed("database-ca.cnf"), (C, "missing")),
    "an empty key": explained(written("private/database-ca.key.pem", ""), (C, "missing")),
    "no certificate of its own": explained(no_certificate_left, (C, "authority")),
    "an empty certificate of its own": explained(written("database-ca.cert.pem", ""), (C, "authority")),
    # certificate files
    "certs/NAME is not the newest": explained(stale_delivery, (W, "certs")),
    "certs/NAME is empty": mended(written(f"certs/{AIKEN}.cert.pem", ""), (W, "certs")),
    "newcerts has a foreign one": explained(copy_from_twin("newcerts/01.pem"), (C, "copy"), (W, "certs")),
    "newcerts has an empty one": explained(written("newcerts/02.pem", ""), (C, "copy"), (W, "certs")),
    "newcerts has another one of ours": explained(
        lambda world: world.put("newcerts/02.pem", world.path("newcerts/03.pem").read_bytes()),
        (C, "copy"), (W, "certs"),
    ),
    "newcerts has swapped two": explained(swapped, (C, "copy"), (W, "certs")),
    "newcerts lacks one": explained(removed("newcerts/02.pem"), (W, "no-copy")),
    "newcerts has a foreign one more": State(
        copy_from_twin("newcerts/1F.pem"), {(C, "not-in-index"), (C, "serial")}, {(C, "not-in-index")}
    ),
    "newcerts has something more": State(
        written("newcerts/1F.pem", "?"), {(C, "not-in-index"), (C, "serial")}, {(C, "not-in-index")}
    ),
    "newcerts has one more of another label": State(
        other_blocks(lambda real, forged: real.replace(" CERTIFICATE", " TRUSTED CERTIFICATE")), *_NOT_ENTERED
    ),
    "newcerts has a trusted and a forged one": State(other_blocks(trusted), *_NOT_ENTERED),
    "newcerts has two in a file": State(other_blocks(lambda real, forged: real + forged), *_NOT_ENTERED),
    "newcerts has a certificate and a key": State(
        other_blocks(lambda real, forged: real + forged.replace(" CERTIFICATE", " EC PRIVATE KEY")), *_NOT_ENTERED
    ),
    "an indexed one has two blocks": explained(two_blocks_in_both, (C, "copy")),
    "a second one that is not in the index": explained(unindexed_second_generation, (C, "not-in-index")),
    # our own leftovers
    "a stage": mended(stage, (W, "leftover")),
    "an empty commit": mended(empty_commit, (W, "leftover")),
    "an interrupted change": mended(interrupted, (C, "interrupted")),
    # the revocation list
    "no list": explained(removed(CRL), (C, "crl")),
    "an empty list": explained(written(CRL, ""), (C, "crl")),
    "a list of another authority": explained(
        lambda world: world.put(CRL, (world.twin / CRL).read_bytes()), (C, "crl")
    ),
    "the list does not name a revoked one": explained(not_in_the_list, (C, "crl")),
    "the index has lost a revocation": explained(lost_revocation, (C, "lost-revocation")),
}  # fmt: skip

STILL_WORKS = {
    "unique_subject = no", "a name of no host", "certs/NAME is not the newest", "newcerts has a foreign one",
    "newcerts has an empty one", "newcerts has another one of ours", "newcerts lacks one", "no list", "an empty list",
    "newcerts has a foreign one more", "newcerts has something more", "a list of another authority",
    "the list does not name a revoked one", "the index has lost a revocation", "killed at the list",
    "a second one that is not in the index", "newcerts has swapped two", "an indexed one has two blocks",
}  # fmt: skip
"""States that are only explained, in which a plain openssl can sign all the same."""
