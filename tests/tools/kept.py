"""What must hold in a CA, a backup and on a host, whatever was killed, by plain openssl alone."""

from __future__ import annotations

import hashlib
import shutil
import stat
import tarfile
from pathlib import Path

from tools.support import openssl, run

NAMES = ("aiken.example.net", "margaret.example.net", "gannibal.example.net")


def check_authority(root: Path) -> list[str]:
    """What is wrong with an authority, by its files and by plain openssl alone."""
    ca, wrong = root / "database-ca", []
    lines = [line.split("\t") for line in (ca / "database-ca.index").read_text().splitlines()]
    serials = [line[3] for line in lines]
    valid = [line[5] for line in lines if line[0] == "V"]
    if len(set(serials)) != len(serials):
        wrong.append(f"a serial is used twice: {serials}")
    if len(set(valid)) != len(valid):
        wrong.append(f"a name is valid twice: {valid}")
    if int((ca / "database-ca.serial").read_text(), 16) <= max(int(serial, 16) for serial in serials):
        wrong.append("the serial file would give a serial again")
    issued = {path.stem: path for path in (ca / "newcerts").iterdir()}
    if set(issued) != set(serials):
        wrong.append(f"newcerts/ has {sorted(issued)}, the index {sorted(serials)}")
    for serial, path in issued.items():
        text = openssl("x509", "-in", path, "-noout", "-serial", "-subject", "-nameopt", "compat", directory=root)
        row = next((line for line in lines if line[3] == serial), None)
        if row is None or text.splitlines() != [f"serial={serial}", f"subject={row[5]}"]:
            wrong.append(f"newcerts/{serial}.pem is not what its row says")
    for path in (ca / "certs").iterdir():
        copies = [serial for serial, one in issued.items() if one.read_bytes() == path.read_bytes()]
        if len(copies) != 1 or serials.count(copies[0]) != 1:
            wrong.append(f"certs/{path.name} is not one certificate of the index")
    crl = run("openssl", "crl", "-in", "crl/database-ca.crl", "-CAfile", "database-ca.cert.pem", directory=ca)
    if "verify OK" not in crl.messages:
        wrong.append("the revocation list is not valid")
    return wrong


def check_list(root: Path) -> list[str]:
    """What is wrong with an authority, or with its list of hosts, after `sign` as `enroll` does it."""
    path = root / "database-ca/database-ca.hosts"
    lines = path.read_text().splitlines() if path.exists() else []
    wrong = [] if lines.count("aiken.example.net dbca_owner=mysql") == 1 else [f"the list is {lines}"]
    return wrong + check_authority(root)


def check_key(root: Path) -> list[str]:
    """What is wrong with the authority's key: nobody may lose or change it."""
    key, known = root / "database-ca/private/database-ca.key.pem", root / "keys/ca.key.pem"
    if not key.exists() or key.read_bytes() != known.read_bytes():
        return ["the key of the authority is lost"]
    return [] if stat.S_IMODE(key.stat().st_mode) == 0o600 else ["others can read the key of the authority"]


def check_passphrase(root: Path) -> list[str]:
    """What is wrong with an authority whose pass phrase was to be changed, by `check_authority` and plain openssl."""
    follow_passphrase(root)
    return check_authority(root) + check_key(root)


def follow_passphrase(root: Path) -> None:
    """Where the key of the authority opens with the new pass phrase, have that be the one that is known."""
    key, new = root / "database-ca/private/database-ca.key.pem", root / "keys/new-phrase"
    command = ("openssl", "pkey", "-in", key, "-pubout", "-passin", f"file:{new}")
    public = openssl("x509", "-in", root / "database-ca/database-ca.cert.pem", "-noout", "-pubkey", directory=root)
    if run(*command, directory=root).output == public:
        shutil.copy(new, root / "keys/phrase")
        shutil.copy(key, root / "keys/ca.key.pem")


def check_backup(root: Path) -> list[str]:
    """What is wrong with an authority, or with its backup, which is whole as soon as it is there."""
    try:
        with tarfile.open(root / "database-ca.tar") as backup:
            data = {one.name.partition("/")[2]: backup.extractfile(one) for one in backup if one.isfile()}
            found = {name: file.read() for name, file in data.items() if file}
    except (OSError, tarfile.TarError) as error:
        return [f"the backup is not whole: {error}", *check_authority(root)]
    sums = [line.split("  ", 1) for line in found.pop("database-ca.backup").decode().splitlines()[1:]]
    expected = {name: hashlib.sha256(data).hexdigest() for name, data in found.items()}
    return ([] if {name: digest for digest, name in sums} == expected else ["the backup is damaged"]) + check_authority(
        root
    )


def check_host(root: Path) -> list[str]:
    """What is wrong with key and request on a host."""
    key, request = root / f"ssl/private/{NAMES[0]}.key.pem", root / f"ssl/{NAMES[0]}.req.pem"
    if not (key.exists() and request.exists() and (root / "ssl/openssl.cnf").exists()):
        return ["not all files of the request are there"]
    public = openssl("pkey", "-in", key, "-pubout", directory=root)
    if openssl("req", "-in", request, "-noout", "-pubkey", directory=root) != public:
        return ["key and request are of two pairs"]
    modes = [stat.S_IMODE(path.stat().st_mode) for path in (key, request, key.parent, root / "ssl")]
    return [] if modes == [0o600, 0o644, 0o700, 0o755] else [f"the modes are {list(map(oct, modes))}"]
