"""`--algorithm`: keys of other kinds than the guide's RSA, in CAs and on hosts, with the guide's configurations."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from dbca_openssl.algorithm import NEW_KEYS
from dbca_openssl.openssl import OpenSSL
from dbca_openssl.render import host_configuration
from tools.support import done, openssl, refusal, shell, snapshot, tool

AIKEN = "aiken.example.net"
SHOWN = {"ec:P-256": "prime256v1", "ec:P-384": "secp384r1", "ed25519": "ED25519", "rsa:2048": "2048 bit"}
SHOWN |= {"ml-dsa-44": "ML-DSA-44", "ml-dsa-65": "ML-DSA-65"}
HAS_ML_DSA = tuple(map(int, re.findall(r"\d+", OpenSSL().version)[:2])) >= (3, 5)
KINDS = [kind for kind in SHOWN if HAS_ML_DSA or not kind.startswith("ml")]


@pytest.mark.parametrize("kind", KINDS)
def test_a_ca_and_a_host_with_such_keys(kind: str, tmp_path: Path, keys: Path) -> None:
    phrase = ("--passphrase-file", keys / "phrase")
    done("init", "-o", "Lab", "--algorithm", kind, *phrase, directory=tmp_path)
    ca = tmp_path / "database-ca"
    done("request", AIKEN, "--algorithm", kind, "--ssl-dir", "ssl", directory=tmp_path)
    (ca / f"certreqs/{AIKEN}.req.pem").write_bytes((tmp_path / f"ssl/{AIKEN}.req.pem").read_bytes())
    done("sign", AIKEN, "--yes", *phrase, directory=ca)
    for certificate in ("database-ca.cert.pem", f"certs/{AIKEN}.cert.pem"):
        assert SHOWN[kind] in openssl("x509", "-in", certificate, "-noout", "-text", directory=ca)
    assert "ENCRYPTED" in (ca / "private/database-ca.key.pem").read_text()
    done("verify", AIKEN, directory=ca)
    assert done("check", directory=ca).output.startswith("OK")
    if not kind.startswith("rsa"):  # its configurations are the guide's
        assert (tmp_path / "ssl/openssl.cnf").read_text() == host_configuration()
        assert "\ndefault_bits            = 4096\n" in (ca / "database-ca.cnf").read_text()


def test_the_printed_scripts_and_the_kit_make_it_too(tmp_path: Path) -> None:
    kind = ("--algorithm", "ec:P-384")
    init = done("init", "-o", "Lab", "--no-passphrase", *kind, "--print", directory=tmp_path).output
    request = done("request", AIKEN, *kind, "--ssl-dir", tmp_path / "one", "--print", directory=tmp_path).output
    kit = done("request", AIKEN, *kind, "--ssl-dir", tmp_path / "two", "--kit", directory=tmp_path).output
    for script in (init, request, kit):
        ran = shell(script, tmp_path)
        assert ran.code == 0, ran.messages
    for made in ("database-ca/database-ca.req.pem", f"one/{AIKEN}.req.pem", f"two/{AIKEN}.req.pem"):
        assert "secp384r1" in openssl("req", "-in", made, "-noout", "-text", "-verify", directory=tmp_path)


@pytest.mark.parametrize(
    "kind", ["rsa", "rsa:1024", "1024", "rsa:16384", "rsa:02048", "ec:P-521", "EC:P-256", "dsa", ""]
)
def test_other_kinds_are_refused(kind: str, tmp_path: Path) -> None:
    for words in (("init", "-o", "Lab", "--no-passphrase"), ("request", AIKEN, "--ssl-dir", tmp_path / "ssl")):
        refused = tool(*words, "--algorithm", kind, directory=tmp_path)
        assert refused.code == 2
        assert "--algorithm takes RSA of 2048 to 8192 bits" in refused.messages
        assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("kind", [kind for kind in NEW_KEYS if kind.startswith("ml")])
def test_an_older_openssl_makes_no_ml_dsa(kind: str, tmp_path: Path) -> None:
    older = tmp_path / "older-openssl"
    older.write_text(
        '#!/bin/sh\ncase $1 in req) echo "Unknown algorithm ML-DSA-44" >&2; exit 1 ;; esac\nexec openssl "$@"\n'
    )
    older.chmod(0o755)
    before = snapshot(tmp_path)
    options = ("--algorithm", kind, *(("--openssl", older) if HAS_ML_DSA else ()))
    for words in (("init", "-o", "Lab", "--no-passphrase"), ("request", AIKEN, "--ssl-dir", "ssl")):
        assert refusal(tool(*words, *options, directory=tmp_path)) == "this openssl cannot make ML-DSA keys"
        assert snapshot(tmp_path) == before
