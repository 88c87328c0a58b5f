"""`sign`, on real openssl."""

from __future__ import annotations

from pathlib import Path

from tools.support import WRONG_PASSPHRASES, MakeRequest, done, openssl, snapshot, tool

AIKEN = "aiken.example.net"


def test_signs_a_request_from_certreqs(ca: Path, environment: dict[str, str], make_request: MakeRequest) -> None:
    make_request(AIKEN, to=ca / "certreqs")
    signed = done("sign", AIKEN, "--yes", "--json", directory=ca, environment=environment).document["signed"]
    assert [(one["name"], one["serial"], one["certificate"]) for one in signed] == [
        (AIKEN, "01", f"certs/{AIKEN}.cert.pem")
    ]
    verified = openssl(
        *("verify", "-x509_strict", "-crl_check", "-CAfile", "database-ca.cert.pem"),
        *("-CRLfile", "crl/database-ca.crl", "-verify_hostname", AIKEN, f"certs/{AIKEN}.cert.pem"),
        directory=ca,
    )
    assert verified == f"certs/{AIKEN}.cert.pem: OK\n"


def test_signs_a_file_and_keeps_a_copy_of_it(ca: Path, environment: dict[str, str], make_request: MakeRequest) -> None:
    request = make_request(AIKEN)
    done("sign", request, "--yes", directory=ca, environment=environment)
    assert (ca / f"certreqs/{AIKEN}.req.pem").read_bytes() == request.read_bytes()


def test_signs_several_in_one_go(ca: Path, environment: dict[str, str], make_request: MakeRequest) -> None:
    names = [f"host{number}.example.net" for number in range(5)]
    for name in names:
        make_request(name, to=ca / "certreqs")
    done("sign", *names, "--yes", directory=ca, environment=environment)
    for number, name in enumerate(names, 1):
        assert (ca / f"certs/{name}.cert.pem").read_bytes() == (ca / f"newcerts/{number:02X}.pem").read_bytes()
        done("verify", name, "--host", name, directory=ca)


def test_a_name_is_valid_once(ca: Path, environment: dict[str, str], make_request: MakeRequest) -> None:
    make_request(AIKEN, to=ca / "certreqs")
    done("sign", AIKEN, "--yes", directory=ca, environment=environment)
    before = snapshot(ca)
    refused = tool("sign", AIKEN, "--yes", directory=ca, environment=environment)
    assert refused.code == 1
    assert refused.messages.splitlines()[-2].startswith(
        f"dbca-openssl: {AIKEN} has a valid certificate already: serial 01"
    )
    assert snapshot(ca) == before


def test_a_wrong_passphrase_changes_nothing(ca: Path, tmp_path: Path, make_request: MakeRequest) -> None:
    make_request(AIKEN, to=ca / "certreqs")
    wrong = tmp_path / "wrong"
    wrong.write_text(f"{WRONG_PASSPHRASES[0]}\n")
    wrong.chmod(0o600)
    before = snapshot(ca, without=(".lock",))
    refused = tool("sign", AIKEN, "--yes", "--passphrase-file", wrong, directory=ca)
    assert refused.code == 1
    assert refused.messages.splitlines()[-2] == "dbca-openssl: the pass phrase is wrong"
    assert snapshot(ca, without=(".lock",)) == before


def test_a_broken_signature_is_refused(ca: Path, environment: dict[str, str], make_request: MakeRequest) -> None:
    import base64

    lines = make_request(AIKEN).read_text().splitlines()
    der = bytearray(base64.b64decode("".join(lines[1:-1])))
    der[-1] ^= 1
    (ca / f"certreqs/{AIKEN}.req.pem").write_text(f"{lines[0]}\n{base64.encodebytes(bytes(der)).decode()}{lines[-1]}\n")
    before = snapshot(ca, without=(".lock",))
    refused = tool("sign", AIKEN, "--yes", directory=ca, environment=environment)
    assert refused.code == 1
    assert "dbca-openssl: the signature of the request does not match its key" in refused.messages
    assert snapshot(ca, without=(".lock",)) == before
