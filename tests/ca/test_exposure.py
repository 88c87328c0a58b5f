"""What `check` finds where others may decide: by the modes of files, or by the configuration."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from dbca_openssl.ca import check as checking
from dbca_openssl.ca.check import Limits
from dbca_openssl.ca.layout import Authority
from dbca_openssl.finding import WARNING
from tools.damage import World, check
from tools.support import tool


@pytest.fixture
def world(fleet: Path, keys: Path, others: tuple[Path, Path]) -> World:
    return World(fleet, *others, keys / "phrase")


def test_every_file_that_others_may_write_is_named(world: World, tmp_path: Path) -> None:
    for path in world.ca.rglob("*"):
        path.chmod(0o777 if path.is_dir() else 0o666)
    world.ca.chmod(0o777)
    checked = tool("check", "--ca", world.ca, "--json", directory=tmp_path)
    assert checked.code == 2
    found = {one["text"] for one in checked.document["findings"] if one["code"] == "writable"}
    names = {str(path.relative_to(world.ca)) for path in world.ca.rglob("*")}
    assert found == {f"everyone may write {name}" for name in names | {"the directory"}}
    assert len(names) > 20


def test_a_file_that_another_user_owns_is_named(world: World) -> None:
    for name in ("certs/aiken.example.net.cert.pem", "newcerts"):
        os.chown(world.ca / name, 4242, -1)
    found = checking.check(Authority(world.ca), Limits()).findings
    assert {one.text for one in found} == {
        "certs/aiken.example.net.cert.pem belongs to another user",
        "newcerts belongs to another user",
    }


def test_a_group_of_administrators_may_write(world: World) -> None:
    for path in (world.ca, *world.ca.rglob("*")):
        if path.name != "private" and path.parent.name != "private":
            os.chown(path, -1, 4343)
            path.chmod(path.stat().st_mode | 0o020)
    assert check(world.ca) == {(WARNING, "writable")}
    world.ca.chmod(0o2770)
    assert check(world.ca) == set()


LINES = {
    "loads-code": (
        *("openssl_conf = x", "  openssl_conf=x", "x::openssl_conf = x", "openssl\\\n_conf = x", ".include /tmp/x"),
        *(".include = /tmp/x", "[ x ]\nengines = y", "[x]\nproviders = y", "[ x ]\nmodule = /tmp/x.so"),
        *("[ x ]\ndynamic_path = /tmp/x.so", "[ ca ]\noid_file = /tmp/x", "[ x ]\nSO_PATH = /tmp/x.so"),
    ),
    "weak-digest": (
        *("[ database_ca ]\ndefault_md = sha1", "[ req ]\ndefault_md = MD5", "[database_ca]\ndefault_md=ripemd160"),
        *("database_ca::default_md = sha1", '[ database_ca ]\ndefault_md = "md5" # sha256'),
    ),
    "extension": (
        *("[ cert_ext ]\nnsCertType = sslCA", "[ cert_ext ]\n1.2.3.4 = ASN1:NULL", "cert_ext::nsComment = x"),
        *("[ cert_ext ]\nextendedKeyUsage = serverAuth,codeSigning", "[ cert_ext ]\nextendedKeyUsage = 1.2.3.4"),
    ),
}


@pytest.mark.parametrize(("code", "line"), [(code, line) for code, lines in LINES.items() for line in lines])
def test_a_line_of_the_configuration_that_lets_others_decide_is_named(code: str, line: str, world: World) -> None:
    text = world.path("database-ca.cnf").read_text()
    world.put("database-ca.cnf", f"{line}\n{text}" if line[0] != "[" else f"{text}\n{line}\n")
    assert check(world.ca) == {(WARNING, code)}


@pytest.mark.parametrize(
    "line",
    [
        *("# openssl_conf = x", "[ req ]\ndefault_md = sha512", "[ cert_ext ]\ncrlDistributionPoints = URI:http://x/x"),
        *("[ cert_ext ]\nextendedKeyUsage = critical, clientAuth", "[ x ]\nnsCertType = sslCA", "x = openssl_conf"),
    ],
)
def test_a_harmless_line_of_the_configuration_is_none(line: str, world: World) -> None:
    world.put("database-ca.cnf", f"{world.path('database-ca.cnf').read_text()}\n{line}\n")
    assert check(world.ca) == set()
