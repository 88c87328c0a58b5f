"""Requests that may be signed are, and their certificates have what was asked for and nothing else."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from dbca_openssl.cli.main import run as run_tool
from tools import request_builder as der
from tools.request_builder import asking_for, dns, extension, utf8
from tools.support import openssl, run
from tools.workshop import AIKEN, Workshop

LONGEST = "a" * 64
LONG_HOST = ".".join(("a" * 60, "b" * 60, "example.net"))


@dataclass(frozen=True)
class Good:
    """A request that may be signed; `names` are the alternative names that its certificate must have."""

    title: str
    make: Callable[[Workshop], bytes]
    name: str = AIKEN
    names: str = ""
    allowed: tuple[str, ...] = ()

    def __str__(self) -> str:
        return self.title


def _key(title: str, algorithm: str, *options: str) -> Good:
    return Good(title, lambda w: w.req(key=w.key(algorithm, *options)))


def _extension(title: str, lines: str, names: str = "", *allowed: str) -> Good:
    return Good(title, lambda w: w.req(ext=lines), AIKEN, names, allowed)


def _named(title: str, name: str) -> Good:
    return Good(title, lambda w: w.req(subject=f"/CN={name}"), name)


def _attributes(title: str, *attributes: bytes) -> Good:
    return Good(title, lambda w: w.surgery(None, *attributes))


def _gnutls(workshop: Workshop) -> bytes:
    template = workshop.directory / "template"
    usages = "tls_www_server\ntls_www_client\nsigning_key\nencryption_key\n"
    template.write_text(f"cn = {AIKEN}\ndns_name = {AIKEN}\n{usages}")
    made = run(
        *("certtool", "--generate-request", "--load-privkey", workshop.host_key, "--template", template),
        directory=workshop.directory,
    )
    assert made.code == 0, made.messages
    return made.output.encode()


def _subject(title: str, *parts: tuple[bytes, bytes]) -> Good:
    return Good(title, lambda w: w.surgery(der.name(*parts)))


_CN = (der.COMMON_NAME, utf8(AIKEN))
_PRINTABLE_KEY_IDENTIFIER = b"\x04\x14\n  0:d=0  hl=2 l=  5"
_CHALLENGE = der.attribute(der.CHALLENGE_PASSWORD, utf8("a word"))
_UNSTRUCTURED = der.attribute(bytes.fromhex("2A864886F70D010902"), der.der(0x16, b"a name"))

GOOD = (
    Good("RSA of 2048 bits", lambda w: w.req(key=w.host_key)),
    _key("RSA of 3072 bits", "RSA", "rsa_keygen_bits:3072"),
    Good("RSA of 4096 bits", lambda w: w.req(key=w.host_key.with_name("plain-ca.key.pem"))),
    _key("P-256", "EC", "ec_paramgen_curve:P-256"),
    _key("P-384", "EC", "ec_paramgen_curve:P-384"),
    _key("P-521", "EC", "ec_paramgen_curve:P-521"),
    _key("Ed25519", "ED25519"),
    Good("SHA-384", lambda w: w.req("-sha384", key=w.host_key)),
    Good("SHA-512", lambda w: w.req("-sha512")),
    _extension("its own name", f"subjectAltName = DNS:{AIKEN}", f"DNS:{AIKEN}"),
    _extension(
        "allowed names",
        f"subjectAltName = DNS:{AIKEN}, DNS:db.example.net, IP:192.0.2.7, IP:2001:db8::7, DNS:*.db.example.net",
        f"DNS:{AIKEN}, DNS:db.example.net, IP Address:192.0.2.7, IP Address:2001:DB8:0:0:0:0:0:7, DNS:*.db.example.net",
        *("db.example.net", "192.0.2.7", "IP:2001:DB8::7", "DNS:*.db.example.net"),
    ),
    _extension("a long name", f"subjectAltName = DNS:{LONG_HOST}", f"DNS:{LONG_HOST}", LONG_HOST),
    _extension("critical names", f"subjectAltName = critical, DNS:{AIKEN}", f"DNS:{AIKEN}"),
    Good("text before and behind it", lambda w: w.req("-text") + b"-- \nregards\n"),
    Good("line ends of DOS", lambda w: w.good().replace(b"\n", b"\r\n")),
    Good("the older label", lambda w: w.req("-newhdr")),
    _extension("less of the key usage", "keyUsage = digitalSignature"),
    _extension("critical usages", "keyUsage = critical, keyEncipherment\nextendedKeyUsage = critical, clientAuth"),
    _extension("usages in another order", "extendedKeyUsage = clientAuth, serverAuth"),
    _extension("no authority", "basicConstraints = CA:FALSE\nsubjectKeyIdentifier = hash"),
    _attributes(
        "no authority, in so many words", asking_for(extension(der.BASIC_CONSTRAINTS, bytes.fromhex("3003010100")))
    ),
    _attributes("no extensions"),
    Good("no field of attributes", lambda w: w.surgery(without=True)),
    Good(
        "other attributes",
        lambda w: w.surgery(None, _CHALLENGE, _UNSTRUCTURED, asking_for(der.alternative_names(dns("db.example.net")))),
        names="DNS:db.example.net",
        allowed=("db.example.net",),
    ),
    _attributes(
        "a key identifier like asn1parse", asking_for(extension(der.SUBJECT_KEY_IDENTIFIER, _PRINTABLE_KEY_IDENTIFIER))
    ),
    _attributes("a password like asn1parse", der.attribute(der.CHALLENGE_PASSWORD, utf8(der.FAKE_LINES))),
    _subject("an organisation", (der.ORGANIZATION, utf8("Exämple & Söhne")), _CN),
    _subject("an organisation like asn1parse", (der.ORGANIZATION, utf8(der.FAKE_LINES)), _CN),
    _subject("an organisation behind the name", _CN, (der.ORGANIZATION, utf8("example.net"))),
    _subject("PrintableString", (der.COMMON_NAME, der.der(0x13, AIKEN.encode()))),
    _named("a client", "Alice"),
    _named("a client with an @", "backup@margaret"),
    _named("an address", "192.0.2.7"),
    _named("64 characters", LONGEST),
    Good("GnuTLS", _gnutls, AIKEN, f"DNS:{AIKEN}"),
)


@pytest.mark.parametrize("good", GOOD, ids=str)
def test_signs(
    good: Good,
    workshop: Workshop,
    ca: Path,
    environment: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    data = good.make(workshop)
    request = ca / f"certreqs/{good.name}.req.pem"
    request.write_bytes(data)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    options = [word for name in good.allowed for word in ("--allow-alt-name", name)]
    assert run_tool(["sign", good.name, "--yes", "--ca", str(ca), *options]) == 0, capsys.readouterr().err
    certificate = ca / f"certs/{good.name}.cert.pem"

    def certified(*what: str) -> str:
        return openssl("x509", "-in", certificate, "-noout", *what, directory=ca)

    assert certified("-subject", "-nameopt", "RFC2253") == f"subject=CN={good.name}\n"
    assert certified("-pubkey") == openssl("req", "-in", request, "-noout", "-pubkey", directory=ca)
    text = certified("-text", "-nameopt", "RFC2253")
    critical = "critical" if good.title == "critical names" else ""
    assert re.findall(r"^            (X509v3 [\w ]+): ?(critical)?$", text, re.MULTILINE) == [
        ("X509v3 Basic Constraints", ""),
        ("X509v3 Key Usage", "critical"),
        ("X509v3 Extended Key Usage", "critical"),
        ("X509v3 Subject Key Identifier", ""),
        ("X509v3 Authority Key Identifier", ""),
        *([("X509v3 Subject Alternative Name", critical)] if good.names else []),
    ]
    if good.names:
        assert f"                {good.names}\n" in text
    verified = openssl("verify", "-x509_strict", "-CAfile", "database-ca.cert.pem", certificate, directory=ca)
    assert verified == f"{certificate}: OK\n"
    assert request.read_bytes() == data
