"""The certificate that openssl made is looked at before it counts: until when, whose, and what it may do."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tools.support import MakeRequest, done, openssl, snapshot, tool
from tools.workshop import AIKEN, Workshop

DISCARDED = f"dbca-openssl: the certificate that openssl made for {AIKEN} is not what was asked for, and is discarded\n"


def _wrapper(directory: Path, before: str) -> Path:
    """An openssl that does something else first, when it is to sign; `$home` is where the data files are staged."""
    path = directory / "wrapped-openssl"
    path.write_text(
        f'#!/bin/sh\n[ "$1" != ca ] || {{ home=$CA_HOME\n{before}\n}}\nexec {shutil.which("openssl")} "$@"\n'
    )
    path.chmod(0o755)
    return path


def _edited(expression: str) -> str:
    """Shell that has openssl read a changed configuration."""
    return f"sed -e '{expression}' database-ca.cnf > $home/edited.cnf; export OPENSSL_CONF=$home/edited.cnf"


def _swapped(workshop: Workshop) -> bytes:
    return workshop.req(key=workshop.host_key)


def _renamed(workshop: Workshop) -> bytes:
    return workshop.req(subject="/CN=evil.example.net")


def _with_alternative_name(workshop: Workshop) -> bytes:
    return workshop.req(ext="subjectAltName = DNS:evil.example.net")


@pytest.mark.parametrize("make", [_swapped, _with_alternative_name])
def test_a_certificate_for_another_request_is_discarded(
    make: Callable[[Workshop], bytes], workshop: Workshop, ca: Path, tmp_path: Path, environment: dict[str, str]
) -> None:
    (tmp_path / "other.pem").write_bytes(make(workshop))
    (ca / f"certreqs/{AIKEN}.req.pem").write_bytes(workshop.good())
    wrapper = _wrapper(tmp_path, f"cat {tmp_path}/other.pem > $home/certreqs/{AIKEN}.req.pem")
    before = snapshot(ca, without=(".lock",))
    refused = tool("sign", AIKEN, "--yes", "--openssl", wrapper, directory=ca, environment=environment)
    assert refused.code == 1
    assert DISCARDED in refused.messages
    assert snapshot(ca, without=(".lock",)) == before
    done("sign", AIKEN, "--yes", directory=ca, environment=environment)


def test_a_certificate_for_another_name_is_discarded(
    workshop: Workshop, ca: Path, tmp_path: Path, environment: dict[str, str]
) -> None:
    (tmp_path / "other.pem").write_bytes(_renamed(workshop))
    (ca / f"certreqs/{AIKEN}.req.pem").write_bytes(workshop.good())
    wrapper = _wrapper(tmp_path, f"cat {tmp_path}/other.pem > $home/certreqs/{AIKEN}.req.pem")
    before = snapshot(ca, without=(".lock",))
    refused = tool("sign", AIKEN, "--yes", "--openssl", wrapper, directory=ca, environment=environment)
    assert refused.code == 1
    assert f"dbca-openssl: openssl did not sign the request: {AIKEN}\n" in refused.messages
    assert snapshot(ca, without=(".lock",)) == before


@pytest.mark.parametrize(
    "expression",
    [
        "/ cert_ext /,$ s/CA:FALSE/CA:TRUE/",
        "/ cert_ext /,$ s/^basicConstraints.*//",
        "/ cert_ext /,$ s/digitalSignature, keyEncipherment/keyCertSign/",
        "/ cert_ext /,$ s/digitalSignature, keyEncipherment/digitalSignature, cRLSign/",
        "/ cert_ext /,$ s/^basicConstraints.*/&\\nsubjectAltName = DNS:evil.example.net/",
        "/ cert_policy /,$ s/^commonName/organizationName = optional\\n&/",
        "s/^default_md .*/default_md = md5/",
        "s/^default_md .*/default_md = sha1/",
        "/ cert_ext /,$ s/serverAuth, clientAuth/&, codeSigning/",
        "/ cert_ext /,$ s/serverAuth, clientAuth/&, anyExtendedKeyUsage/",
        "/ cert_ext /,$ s/serverAuth, clientAuth/OCSPSigning/",
        "/ cert_ext /,$ s/^basicConstraints.*/&\\nnsCertType = server, sslCA/",
        "/ cert_ext /,$ s/^basicConstraints.*/&\\nnsCertType = objCA/",
        "/ cert_ext /,$ s/^basicConstraints.*/&\\nnsCertType = client, objsign/",
    ],
    ids=[
        *("CA:TRUE", "no basicConstraints", "keyCertSign", "cRLSign", "an alternative name", "an organisation"),
        *("MD5", "SHA-1", "codeSigning", "any usage", "OCSPSigning", "sslCA", "objCA", "objsign"),
    ],
)
def test_a_certificate_by_a_dangerous_configuration_is_discarded(
    expression: str, workshop: Workshop, ca: Path, tmp_path: Path, environment: dict[str, str]
) -> None:
    (ca / f"certreqs/{AIKEN}.req.pem").write_bytes(workshop.req(subject=f"/O=example.net/CN={AIKEN}"))
    wrapper = _wrapper(tmp_path, _edited(expression))
    before = snapshot(ca, without=(".lock",))
    refused = tool("sign", AIKEN, "--yes", "--openssl", wrapper, directory=ca, environment=environment)
    assert refused.code == 1
    assert DISCARDED in refused.messages
    assert "hint: see default_md, [ cert_ext ] and [ cert_policy ] in database-ca.cnf" in refused.messages
    assert snapshot(ca, without=(".lock",)) == before


@pytest.mark.parametrize(
    "expression",
    [
        "s/^default_md .*/default_md = sha384/",
        "s/^default_md .*/default_md = sha3-256/",
        "/ cert_ext /,$ s/serverAuth, clientAuth/clientAuth/",
        "/ cert_ext /,$ s/^extendedKeyUsage.*//",
        "/ cert_ext /,$ s/^basicConstraints.*/&\\nnsCertType = server, client/",
        "/ cert_ext /,$ s/^basicConstraints.*/&\\ncrlDistributionPoints = URI:http:\\/\\/x.example.net\\/x.crl/",
    ],
)
def test_a_configuration_of_ones_own_may_be_harmless(
    expression: str, workshop: Workshop, ca: Path, tmp_path: Path, environment: dict[str, str]
) -> None:
    (ca / f"certreqs/{AIKEN}.req.pem").write_bytes(workshop.good())
    done(
        "sign",
        AIKEN,
        "--yes",
        "--openssl",
        _wrapper(tmp_path, _edited(expression)),
        directory=ca,
        environment=environment,
    )


def test_the_wrapper_alone_does_no_harm(
    workshop: Workshop, ca: Path, tmp_path: Path, environment: dict[str, str]
) -> None:
    (ca / f"certreqs/{AIKEN}.req.pem").write_bytes(workshop.good())
    done("sign", AIKEN, "--yes", "--openssl", _wrapper(tmp_path, ":"), directory=ca, environment=environment)


def test_openssl_reads_what_was_vetted_and_the_file_is_kept_as_it_came(
    workshop: Workshop, ca: Path, tmp_path: Path, environment: dict[str, str]
) -> None:
    request = b"a letter to the administrator\r\n" + workshop.good().replace(b"\n", b"\r\n") + b"regards\n"
    (tmp_path / "request.pem").write_bytes(request)
    wrapper = _wrapper(tmp_path, f"cat $home/certreqs/{AIKEN}.req.pem > {tmp_path}/seen.pem")
    done("sign", "../request.pem", "--yes", "--openssl", wrapper, directory=ca, environment=environment)
    seen = (tmp_path / "seen.pem").read_bytes()
    assert seen.startswith(b"-----BEGIN CERTIFICATE REQUEST-----\n") and b"letter" not in seen
    assert (ca / f"certreqs/{AIKEN}.req.pem").read_bytes() == request


def test_a_certificate_must_not_outlive_the_authority(
    make_request: MakeRequest, ca: Path, environment: dict[str, str]
) -> None:
    make_request(AIKEN, to=ca / "certreqs")
    before = snapshot(ca)
    refused = tool("sign", AIKEN, "--yes", "--days", "2000", directory=ca, environment=environment)
    assert refused.code == 1
    complaint, hint = refused.messages.splitlines()
    assert (
        complaint.startswith("dbca-openssl: the certificate would be valid until 20")
        and ", the CA certificate only until" in complaint
    )
    assert hint == "hint: --cap shortens it to the CA's; --days N gives another period"
    assert snapshot(ca) == before


def test_cap_ends_it_with_the_authority(make_request: MakeRequest, ca: Path, environment: dict[str, str]) -> None:
    make_request(AIKEN, to=ca / "certreqs")
    done("sign", AIKEN, "--yes", "--days", "2000", "--cap", directory=ca, environment=environment)
    assert _end(ca, f"certs/{AIKEN}.cert.pem") == _end(ca, "database-ca.cert.pem")


def test_cap_changes_nothing_where_nothing_is_to_be_shortened(
    make_request: MakeRequest, ca: Path, environment: dict[str, str]
) -> None:
    make_request(AIKEN, to=ca / "certreqs")
    signed = done("sign", AIKEN, "--yes", "--days", "10", "--cap", "--json", directory=ca, environment=environment)
    assert done("show", AIKEN, "--json", directory=ca).document["days_left"] in (9, 10)
    assert signed.document["signed"][0]["not_after"] < done("--json", directory=ca).document["not_after"]


def test_the_configuration_of_the_authority_is_believed_by_its_result(
    make_request: MakeRequest, ca: Path, environment: dict[str, str]
) -> None:
    """An end that no reader of the text would expect is seen in the certificate itself."""
    make_request(AIKEN, to=ca / "certreqs")
    with (ca / "database-ca.cnf").open("a") as file:
        file.write("[ database_ca ]\ndefault_days = 9000\n")
    before = snapshot(ca, without=(".lock",))
    refused = tool("sign", AIKEN, "--yes", directory=ca, environment=environment)
    assert refused.code == 1
    assert "the certificate would be valid until 20" in refused.messages
    assert snapshot(ca, without=(".lock",)) == before


def _end(ca: Path, certificate: str) -> str:
    return openssl("x509", "-in", certificate, "-noout", "-enddate", directory=ca)
