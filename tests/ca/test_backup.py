"""`backup`: the whole CA in one file, which is believed only after it was read; `--check` extracts nothing."""

from __future__ import annotations

import gzip
import io
import os
import shutil
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from dbca_openssl.ca import backup as backups
from dbca_openssl.ca.layout import Authority
from tools.support import HOSTS, done, openssl, plain_request, refusal, run, shell, snapshot, tool

AIKEN = HOSTS[0]
KEPT = (".lock", "database-ca.backup")
KEY = "private/database-ca.key.pem"


def made(ca: Path, name: str = "b.tar.gz", *options: str) -> Path:
    done("backup", ca.parent / name, *options, directory=ca)
    return ca.parent / name


def findings(file: Path, directory: Path, *options: str) -> tuple[str, set[str]]:
    document = tool("backup", "--check", file, "--json", *options, directory=directory).document
    return document["status"], {one["code"] for one in document["findings"]}


@pytest.mark.parametrize("name", ["b.tar", "b.tar.gz", "b.tgz"])
def test_what_tar_restores_is_the_ca(fleet: Path, environment: dict[str, str], name: str) -> None:
    (fleet / "certs/link.pem").symlink_to(f"{AIKEN}.cert.pem")
    file = made(fleet, name)
    assert file.stat().st_mode & 0o777 == 0o600
    assert [path.name for path in fleet.parent.iterdir() if "part" in path.name] == []
    before = snapshot(fleet, without=KEPT)
    before["certs/link.pem"] = before[f"certs/{AIKEN}.cert.pem"]
    other = fleet.parent / "other"
    other.mkdir()
    assert run("tar", "-xpf", file, directory=other).code == 0
    assert snapshot(other / "database-ca", without=KEPT) == before
    assert not (other / "database-ca/.lock").exists()
    assert run("sha256sum", "--check", "--quiet", "database-ca.backup", directory=other / "database-ca").code == 0
    assert tool("check", "--deep", directory=other / "database-ca").output == "OK: 0 findings\n"
    done("crl", directory=other / "database-ca", environment=environment)


def test_a_backup_is_whole_and_says_of_when_it_is(fleet: Path) -> None:
    before = snapshot(fleet, without=KEPT)
    file = made(fleet)
    assert snapshot(fleet, without=KEPT) == before
    kept = snapshot(fleet.parent)
    shown = tool("backup", "--check", file, directory=fleet)
    assert shown.code == 0
    assert f", next serial {(fleet / 'database-ca.serial').read_text().strip()}" in shown.output
    assert findings(file, fleet) == ("OK", {"backup"})
    assert snapshot(fleet.parent) == kept
    day = (fleet / "database-ca.backup").read_text().split()[2]
    assert done("--json", directory=fleet).document["last_backup"] == day
    assert "backup" in done(directory=fleet).output


def test_check_warns_once_the_ca_is_ahead_of_its_last_backup(
    fleet: Path, environment: dict[str, str], keys: Path
) -> None:
    assert tool("check", directory=fleet).code == 0  # no backup was ever made
    assert done("--json", directory=fleet).document["last_backup"] is None
    file = made(fleet)
    assert tool("check", directory=fleet).code == 0
    plain_request(fleet, "new.example.net", keys / "host.key.pem")
    done("crl", "--canary", directory=fleet, environment=environment)
    assert tool("check", directory=fleet).code == 0
    assert "backup" not in str(done("--json", directory=fleet).document["next"]), "a canary is not worth one"
    done("sign", "new.example.net", "--yes", directory=fleet, environment=environment)
    done("revoke", AIKEN, "--yes", directory=fleet, environment=environment)
    checked = tool("check", "--json", directory=fleet).document["findings"]
    [finding] = checked
    assert (finding["level"], finding["code"], finding["fix"]) == ("WARNING", "backup", "dbca-openssl backup FILE")
    assert finding["text"].startswith("1 signed and 1 revoked since the backup of ")
    assert "dbca-openssl backup FILE.tar.gz" in done("--json", directory=fleet).document["next"]
    assert findings(file, fleet) == ("WARNING", {"backup", "behind"})
    newer = made(fleet, "newer.tar")
    assert done("--json", directory=fleet).document["next"] == ["dbca-openssl list"]
    assert tool("check", directory=fleet).code == 0
    other = fleet.parent / "other"
    other.mkdir()
    assert run("tar", "-xpf", file, directory=other).code == 0
    assert findings(newer, other / "database-ca") == ("CRITICAL", {"backup", "ahead"})


def test_of_another_ca_it_says_so(ca: Path, tmp_path: Path) -> None:
    file = made(ca)
    done("init", "-o", "Lab", "--no-passphrase", "--bits", "2048", "--ca", tmp_path / "lab", directory=tmp_path)
    assert findings(file, tmp_path, "--ca", str(tmp_path / "lab")) == ("CRITICAL", {"backup", "other"})
    empty = tmp_path / "empty"
    empty.mkdir()
    assert findings(file, empty) == ("OK", {"backup"})


def test_what_cannot_be_is_refused_and_nothing_is_changed(ca: Path, keys: Path) -> None:
    outside = ca.parent
    (outside / "there.tar").write_text("mine")
    (outside / "dangling.tar").symlink_to(outside / "nowhere")
    os.mkfifo(ca / "certs/fifo")
    cases: tuple[tuple[Path, str, Callable[[], object]], ...] = (
        (outside / "fifo.tar", "cannot write the backup", lambda: None),
        (outside / "there.tar", "exists already, and nothing is overwritten", (ca / "certs/fifo").unlink),
        (outside / "dangling.tar", "exists already, and nothing is overwritten", lambda: None),
        (outside / "b.zip", "is not a name for a backup", lambda: None),
        (ca / "certs/b.tar", "is in the CA itself", lambda: None),
        (outside / "none/b.tar", "cannot write the backup", lambda: None),
        (
            outside / "plain.tar",
            "the CA key is not encrypted, and whoever reads the backup would have it",
            lambda: shutil.copy(keys / "plain-ca.key.pem", ca / KEY),
        ),
    )
    for file, why, prepare in cases:
        prepare()
        before = snapshot(outside, without=(".lock",))
        assert why in refusal(tool("backup", file, directory=ca))
        assert snapshot(outside, without=(".lock",)) == before
    made(ca, "plain.tar", "--unencrypted-key")
    assert findings(outside / "plain.tar", ca) == ("WARNING", {"backup", "key"})


def test_a_plain_openssl_meanwhile_is_noticed(
    fleet: Path, environment: dict[str, str], keys: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain_request(fleet, "new.example.net", keys / "host.key.pem")
    original = backups.read

    def read(path: Path) -> backups.Content:
        content = original(path)
        signed = shell(
            "export OPENSSL_CONF=./database-ca.cnf; openssl ca -batch -passin file:$DBCA_PASSPHRASE_FILE "
            "-in certreqs/new.example.net.req.pem -extensions cert_ext -policy cert_policy -notext -out signed.pem",
            fleet,
            environment,
        )
        assert signed.code == 0, signed.messages
        return content

    monkeypatch.setattr(backups, "read", read)
    with pytest.raises(Exception, match="another program changed the CA meanwhile"):
        backups.write(Authority(fleet), fleet.parent / "b.tar")
    assert list(fleet.parent.glob("*b.tar*")) == []
    assert not (fleet / "database-ca.backup").exists()
    assert not list(fleet.glob(".stage*"))


# --- files that are no backup ------------------------------------------------------------------------------------


def rewritten(file: Path, change: Callable[[tarfile.TarInfo, bytes], tuple[tarfile.TarInfo, bytes] | None]) -> bytes:
    """The same tar file with each member as `change` makes it."""
    output = io.BytesIO()
    with tarfile.open(file) as old, tarfile.open(fileobj=output, mode="w", format=tarfile.GNU_FORMAT) as new:
        for info in old:
            member = old.extractfile(info) if info.isreg() else None
            changed = change(info, member.read() if member else b"")
            if changed:
                new.addfile(changed[0], io.BytesIO(changed[1]))
    return output.getvalue()


def added(file: Path, name: str, kind: bytes = tarfile.REGTYPE, size: int = 0) -> bytes:
    """The same with a header in front of it, whatever follows it."""
    info = tarfile.TarInfo(name)
    info.type, info.size, info.linkname = kind, size, "/etc/passwd" if kind in b"12" else ""
    return info.tobuf(tarfile.GNU_FORMAT) + file.read_bytes()


def without(name: str) -> Callable[[tarfile.TarInfo, bytes], tuple[tarfile.TarInfo, bytes] | None]:
    return lambda info, data: None if info.name == f"database-ca/{name}" else (info, data)


def flipped(file: Path, what: bytes) -> bytes:
    data = bytearray(file.read_bytes())
    data[data.index(what) + 40] ^= 1
    return bytes(data)


HOSTILE: dict[str, Callable[[Path], bytes]] = {
    "empty": lambda file: b"",
    "no tar": lambda file: b"nonsense" * 1000,
    "cut off": lambda file: file.read_bytes()[:-11_000],
    "cut off gzip": lambda file: gzip.compress(file.read_bytes())[:-100],
    "flipped": lambda file: flipped(file, b"-----BEGIN CERTIFICATE-----"),
    "flipped header": lambda file: flipped(file, b"database-ca/newcerts"),
    "no index": lambda file: rewritten(file, without("database-ca.index")),
    "no sums": lambda file: rewritten(file, without("database-ca.backup")),
    "symbolic link": lambda file: added(file, "database-ca/certs/x", tarfile.SYMTYPE),
    "hard link": lambda file: added(file, "database-ca/certs/x", tarfile.LNKTYPE),
    "device": lambda file: added(file, "database-ca/certs/x", tarfile.CHRTYPE),
    "fifo": lambda file: added(file, "database-ca/certs/x", tarfile.FIFOTYPE),
    "outside": lambda file: added(file, "database-ca/../../x"),
    "absolute": lambda file: added(file, "/etc/x"),
    "twice": lambda file: added(file, "database-ca/certs", tarfile.DIRTYPE),
    "endless name": lambda file: added(file, "x", tarfile.GNUTYPE_LONGNAME, 1 << 40),
    "endless header": lambda file: added(file, "x", tarfile.XHDTYPE, 1 << 40),
    "sparse": lambda file: added(file, "database-ca/certs/x", tarfile.GNUTYPE_SPARSE),
    "huge": lambda file: added(file, "database-ca/certs/x", size=1 << 50),
    "huge index": lambda file: added(file, "database-ca/database-ca.index", size=1 << 31),
    "negative": lambda file: added(file, "database-ca/certs/x", size=-512),
    "more behind it": lambda file: file.read_bytes() + b"x",
}


@pytest.mark.parametrize("name", HOSTILE)
def test_what_is_no_whole_backup_is_critical_and_nothing_is_extracted(
    name: str, pristine_tar: Path, tmp_path: Path
) -> None:
    file = tmp_path / "hostile.tar"
    file.write_bytes(HOSTILE[name](pristine_tar))
    before = snapshot(tmp_path)
    finished = tool("backup", "--check", file, directory=tmp_path)
    assert finished.code == 2, finished.output + finished.messages
    assert finished.output.startswith("CRITICAL: 1 finding: backup: ")
    assert snapshot(tmp_path) == before


@pytest.fixture(scope="module")
def pristine_tar(pristine: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    copy = tmp_path_factory.mktemp("backup") / "database-ca"
    shutil.copytree(pristine, copy)
    return made(copy, "b.tar")


def test_no_more_is_read_than_a_backup_has(pristine_tar: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    bomb = tmp_path / "bomb.tar.gz"
    zeros = added(pristine_tar, "database-ca/certs/x", size=1 << 24)[:512] + bytes(1 << 24) + pristine_tar.read_bytes()
    bomb.write_bytes(gzip.compress(zeros + bytes(1 << 24)))
    monkeypatch.setattr(backups, "LARGEST", 1 << 23)
    with pytest.raises(Exception, match="it is too large for a backup"):
        backups.read(bomb)
    bomb.write_bytes(gzip.compress(pristine_tar.read_bytes() + bytes(1 << 24)))
    with pytest.raises(Exception, match="something follows it"):
        backups.read(bomb)


def test_where_there_is_no_file_monitoring_is_told_unknown(ca: Path) -> None:
    finished = tool("backup", "--check", ca.parent / "none.tar", directory=ca)
    assert (finished.code, finished.output.split(":")[0]) == (3, "UNKNOWN")
    os.mkfifo(ca.parent / "fifo")
    assert tool("backup", "--check", ca.parent / "fifo", directory=ca).code == 2


def test_an_index_that_does_not_fit_is_critical(fleet: Path) -> None:
    serial = openssl("x509", "-in", f"certs/{AIKEN}.cert.pem", "-noout", "-serial", directory=fleet).strip()[7:]
    (fleet / f"newcerts/{serial}.pem").unlink()
    file = made(fleet)
    assert findings(file, fleet) == ("CRITICAL", {"backup", "index"})
