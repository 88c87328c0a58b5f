"""What openssl left is looked at before it counts: an openssl that exits 0 with a wrong result changes nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from tools.kept import NAMES
from tools.killing import OLD, World
from tools.support import snapshot

AIKEN = NAMES[0]
NOT_ALL = "openssl did not write all of"

AFTER_SIGN = {
    "an empty index": (': > "$CA_HOME/database-ca.index"', "openssl did not write all of database-ca.index"),
    "a cut index": ('truncate -s -20 "$CA_HOME/database-ca.index"', "the index of the CA is damaged"),
    "a lost row": ('sed -i 2d "$CA_HOME/database-ca.index"', "the index of the CA is damaged"),
    "a changed row": ('sed -i "s/old/new/" "$CA_HOME/database-ca.index"', "the index of the CA is damaged"),
    "a row too many": (
        'tail -n 1 "$CA_HOME/database-ca.index" | sed "s/02/03/; s/aiken/nobody/" >> "$CA_HOME/database-ca.index"',
        "the index of the CA is damaged",
    ),
    "no row": ('sed -i 3d "$CA_HOME/database-ca.index"', f"openssl did not sign the request: {AIKEN}"),
    "an empty serial": (': > "$CA_HOME/database-ca.serial"', "openssl did not write all of database-ca.serial"),
    "the old serial": ('echo 02 > "$CA_HOME/database-ca.serial"', "openssl did not write all of database-ca.serial"),
    "empty attributes": (
        ': > "$CA_HOME/database-ca.index.attr"',
        "openssl did not write all of database-ca.index.attr",
    ),
    "no certificate": ('rm "$CA_HOME/newcerts/02.pem"', NOT_ALL),
    "a cut certificate": ('truncate -s -100 "$CA_HOME/newcerts/02.pem"', NOT_ALL),
    "another certificate": ('cp newcerts/01.pem "$CA_HOME/newcerts/02.pem"', "is not what was asked for"),
    "two certificates": (f'echo >> "$CA_HOME/certs/{AIKEN}.cert.pem"', NOT_ALL),
    "a cut copy": (f'truncate -s -100 "$CA_HOME/certs/{AIKEN}.cert.pem"', NOT_ALL),
}
AFTER_CRL = {
    "an empty list": (': > "$CA_HOME/crl/database-ca.crl"', NOT_ALL),
    "a cut list": ('truncate -s -100 "$CA_HOME/crl/database-ca.crl"', NOT_ALL),
    "a changed list": (
        'sed -i "3s/./A/4; 3s/./A/5; 3s/./A/6" "$CA_HOME/crl/database-ca.crl"',
        "is not a CRL of this CA",
    ),
    "an empty number": (': > "$CA_HOME/database-ca.crlnum"', "openssl did not write all of database-ca.crlnum"),
}
AFTER_REQUEST = {
    "an empty key": (f": > private/{AIKEN}.key.pem", NOT_ALL),
    "a cut key": (f"truncate -s -100 private/{AIKEN}.key.pem", NOT_ALL),
    "a cut request": (f"truncate -s -100 {AIKEN}.req.pem", NOT_ALL),
}


def test_an_init_that_cannot_read_its_list_leaves_nothing(world: World, tmp_path: Path) -> None:
    program = tmp_path / "failing-openssl"
    program.write_text('#!/bin/sh\n[ "$1" != crl ] && exec openssl "$@"\nexit 1\n')
    program.chmod(0o755)
    own = world.copy(tmp_path / "own")
    before = snapshot(own.root)
    arguments = ("init", "-o", "example.net", "--key", own.root / "keys/ca.key.pem", "--ca", own.root / "new")
    refused = own.tool(*arguments, "--openssl", program)
    assert refused.code == 1 and refused.output == ""
    assert snapshot(own.root) == before


@pytest.mark.parametrize(
    ("verb", "damage", "reason"),
    [
        *((("sign", AIKEN, "--yes"), *case) for case in AFTER_SIGN.values()),
        *((("crl",), *case) for case in AFTER_CRL.values()),
        *((("request", AIKEN, "--bits", "2048"), *case) for case in AFTER_REQUEST.values()),
    ],
    ids=[*AFTER_SIGN, *AFTER_CRL, *AFTER_REQUEST],
)
def test_a_wrong_result_with_exit_0_changes_nothing(
    verb: tuple[str, ...], damage: str, reason: str, world: World, tmp_path: Path
) -> None:
    own = world.copy(tmp_path / "own")
    program = tmp_path / "lying-openssl"
    program.write_text(f'#!/bin/sh\nopenssl "$@" || exit\ncase "$1" in ca | req)\n{damage} ;;\nesac\nexit 0\n')
    program.chmod(0o755)
    before = snapshot(own.root, without=(".lock",))
    where: tuple[str | Path, ...] = ("--ca", own.ca) if verb[0] != "request" else ("--ssl-dir", own.ssl)
    refused = own.tool(*verb, *where, "--openssl", program)
    assert refused.code == 1 and refused.output == "", refused
    [message] = [line for line in refused.messages.splitlines() if line.startswith("dbca-openssl: ")]
    assert reason in message
    assert snapshot(own.root, without=(".lock",)) == before
    assert f"/CN={OLD}\n" in (own.ca / "database-ca.index").read_text()
