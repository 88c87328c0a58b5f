"""Requests that must not be signed, each with the reason that the refusal must give.

Made by the real openssl where it lends itself to that, else put together by hand and signed by the real openssl.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable

from tools import request_builder as der
from tools.hostile_files import FILES
from tools.request_builder import asking_for, common_name, dns, extension, information, pem, sequence, utf8
from tools.support import openssl
from tools.workshop import AIKEN, UNREADABLE, Hostile, Workshop

COMMON_NAME_REASON = "which is no name of a host or a client"
SUBJECT_REASON = "has more in it than a common name and an organization"
KEY_REASON = "has a key of a kind that is not accepted"


def _subject(name: str, reason: str, *parts: tuple[bytes, bytes]) -> Hostile:
    return Hostile(name, reason, lambda w: w.surgery(der.name(*parts)))


def _name(name: str, text: str, reason: str = COMMON_NAME_REASON) -> Hostile:
    """A request whose only common name is `text`."""
    return _subject(name, reason, (der.COMMON_NAME, utf8(text)))


def _written(name: str, subject: str, reason: str = SUBJECT_REASON) -> Hostile:
    """A request with a subject as openssl's `-subj` takes it."""
    return Hostile(name, reason, lambda w: w.req(subject=subject))


def _extension(name: str, lines: str, reason: str | None = None) -> Hostile:
    """A request with extensions as a configuration file has them; the first is what it is refused for."""
    reason = reason or f"asks for the extension {lines.split()[0]} in a way that the guide's requests do not"
    return Hostile(name, reason, lambda w: w.req(ext=lines))


def _encoded_extensions(name: str, reason: str, *extensions: bytes) -> Hostile:
    return Hostile(name, reason, lambda w: w.surgery(None, asking_for(*extensions)))


def _alternative(name: str, reason: str, *names: bytes) -> Hostile:
    return _encoded_extensions(name, reason, der.alternative_names(*names))


def _attributes(name: str, reason: str, *attributes: bytes) -> Hostile:
    return Hostile(name, reason, lambda w: w.surgery(None, *attributes))


def _key(name: str, reason: str, algorithm: str, *options: str, digest: str = "-sha256") -> Hostile:
    return Hostile(name, reason, lambda w: w.req(digest, key=w.key(algorithm, *options)))


# --- keys and signatures


def _exponent_one(workshop: Workshop) -> bytes:
    modulus = secrets.randbits(2048) | 1 | 1 << 2047
    signed_part = information(common_name(AIKEN), der.rsa_key(modulus, 1))
    return pem(der.signed_by_exponent_one(signed_part, modulus))


def _large(workshop: Workshop, bits: int, exponent: int = 65537) -> bytes:
    return workshop.with_key(der.rsa_key(secrets.randbits(bits) | 1 | 1 << (bits - 1), exponent))


def _explicit_curve(workshop: Workshop) -> bytes:
    return workshop.req(key=workshop.key("EC", "ec_paramgen_curve:P-256", "ec_param_enc:explicit"))


def _unused_bits(workshop: Workshop) -> bytes:
    algorithm = sequence(der.oid(der.RSA), der.der(0x05))
    numbers = sequence(der.integer(secrets.randbits(2048) | 1 | 1 << 2047), der.integer(65537))
    return workshop.with_key(sequence(algorithm, der.bits(numbers, unused=4)))


def _ed25519(workshop: Workshop, size: int) -> bytes:
    return workshop.with_key(sequence(sequence(der.oid(bytes.fromhex("2B6570"))), der.bits(bytes(size))))


def _ed25519_with_parameters(workshop: Workshop) -> bytes:
    return workshop.with_key(sequence(sequence(der.oid(bytes.fromhex("2B6570")), der.der(0x05)), der.bits(bytes(32))))


def _ec(workshop: Workshop, change: Callable[[bytes], bytes]) -> bytes:
    """A request whose P-256 point, 65 bytes, has been changed."""
    algorithm = sequence(der.oid(bytes.fromhex("2A8648CE3D0201")), der.oid(bytes.fromhex("2A8648CE3D030107")))
    return workshop.with_key(sequence(algorithm, der.bits(change(workshop.ec_public[-65:]))))


def _not_on_its_curve(point: bytes) -> bytes:
    return point[:-1] + bytes((point[-1] ^ 1,))


def _with_padded_modulus(workshop: Workshop) -> bytes:
    modulus = der.der(0x02, bytes(2), secrets.token_bytes(256))
    algorithm = sequence(der.oid(der.RSA), der.der(0x05))
    return workshop.with_key(sequence(algorithm, der.bits(sequence(modulus, der.integer(65537)))))


def _dsa(workshop: Workshop) -> bytes:
    parameters = workshop.directory / "dsa.pem"
    openssl("genpkey", "-genparam", "-algorithm", "DSA", "-pkeyopt", "dsa_paramgen_bits:1024", "-out", parameters,
            directory=workshop.directory)  # fmt: skip
    openssl("genpkey", "-paramfile", parameters, "-out", "dsa.key.pem", directory=workshop.directory)
    return workshop.req(key=workshop.directory / "dsa.key.pem")


def _x25519(workshop: Workshop) -> bytes:
    return workshop.with_key(der.public_key(workshop.key("X25519")))


_NO_POINT = "not valid on EC P-256"
_PSS = ("-sigopt", "rsa_padding_mode:pss")

KEYS = (
    _key("RSA of 512 bits", "an RSA key of 512 bits; 2048 to 8192", "RSA", "rsa_keygen_bits:512"),
    _key("RSA of 1024 bits", "an RSA key of 1024 bits; 2048 to 8192", "RSA", "rsa_keygen_bits:1024"),
    Hostile("RSA of 2047 bits", "an RSA key of 2047 bits", lambda w: _large(w, 2047)),
    Hostile("RSA of 8193 bits", "an RSA key of 8193 bits", lambda w: _large(w, 8193)),
    Hostile("RSA of 16384 bits", "an RSA key of 16384 bits", lambda w: _large(w, 16384)),
    _key("RSA with exponent 3", "the unsafe exponent 3", "RSA", "rsa_keygen_bits:2048", "rsa_keygen_pubexp:3"),
    Hostile("RSA with exponent 1", "the unsafe exponent 1", _exponent_one),
    Hostile("RSA with an even exponent", "the unsafe exponent 65538", lambda w: _large(w, 2048, 65538)),
    Hostile("RSA with a huge exponent", "the unsafe exponent", lambda w: _large(w, 2048, 2**256 + 1)),
    Hostile(
        "RSA with a negative modulus", "has a negative number", lambda w: w.with_key(der.rsa_key(-(2**2047) - 1, 65537))
    ),
    Hostile("RSA with half a byte", UNREADABLE, _unused_bits),
    Hostile(
        "RSA that is no key",
        UNREADABLE,
        lambda w: w.with_key(sequence(sequence(der.oid(der.RSA), der.der(0x05)), der.bits(b"\x30\x01"))),
    ),
    Hostile(
        "RSA with texts for numbers",
        UNREADABLE,
        lambda w: w.with_key(
            sequence(sequence(der.oid(der.RSA), der.der(0x05)), der.bits(sequence(utf8("n"), utf8("e"))))
        ),
    ),
    _key("secp256k1", KEY_REASON, "EC", "ec_paramgen_curve:secp256k1"),
    _key("P-192", KEY_REASON, "EC", "ec_paramgen_curve:P-192"),
    Hostile("a curve of its own", KEY_REASON, _explicit_curve),
    Hostile("a point that is not on its curve", _NO_POINT, lambda w: _ec(w, _not_on_its_curve)),
    Hostile("a point that is too short", _NO_POINT, lambda w: _ec(w, lambda point: point[:-1])),
    Hostile("a point that is too long", _NO_POINT, lambda w: _ec(w, lambda point: point + b"\0")),
    Hostile("the point at infinity", _NO_POINT, lambda w: _ec(w, lambda point: b"\0")),
    Hostile("no point", _NO_POINT, lambda w: _ec(w, lambda point: b"")),
    Hostile("a compressed point beyond the field", _NO_POINT, lambda w: _ec(w, lambda point: b"\2" + b"\xff" * 32)),
    Hostile("Ed25519 of 31 bytes", "not valid on Ed25519", lambda w: _ed25519(w, 31)),
    Hostile("RSA with a longer modulus than needed", "there is no number", _with_padded_modulus),
    Hostile("DSA", KEY_REASON, _dsa),
    Hostile("Ed448", KEY_REASON, lambda w: w.req(key=w.key("ED448"))),
    Hostile("X25519", KEY_REASON, _x25519),
    Hostile("Ed25519 with parameters", KEY_REASON, _ed25519_with_parameters),
    _key("an RSA-PSS key", KEY_REASON, "RSA-PSS", "rsa_keygen_bits:2048"),
    Hostile("signed by RSA-PSS", "signed in a way that is not", lambda w: w.req("-sha256", *_PSS, key=w.host_key)),
    Hostile("signed by MD5", "is signed with MD5", lambda w: w.req("-md5", key=w.host_key)),
    Hostile("signed by SHA-1", "is signed with SHA-1", lambda w: w.req("-sha1", key=w.host_key)),
    Hostile("signed by SHA-1 and EC", "is signed with SHA-1", lambda w: w.req("-sha1")),
    Hostile("signed by SHA-224", "signed in a way that is not accepted", lambda w: w.req("-sha224", key=w.host_key)),
)


# --- subjects


def _of_kind(tag: int, text: str, encoding: str) -> tuple[bytes, bytes]:
    return der.COMMON_NAME, der.der(tag, text.encode(encoding))


_CN = (der.COMMON_NAME, utf8(AIKEN))
_O = (der.ORGANIZATION, utf8("example.net"))
_KINDS = "its subject has a"

SUBJECTS = (
    _written("no common name", "/O=example.net", "has no common name where one is needed"),
    _subject("an empty subject", "has no common name where one is needed"),
    _written("two common names", f"/CN={AIKEN}/CN=evil.example.net", "has 2 common names where one is needed"),
    Hostile(
        "two common names in one part",
        "has 2 common names",
        lambda w: w.req("-multivalue-rdn", subject=f"/CN={AIKEN}+CN=evil.example.net"),
    ),
    Hostile(
        "a part of two values",
        SUBJECT_REASON,
        lambda w: w.req("-multivalue-rdn", subject=f"/CN={AIKEN}+O=example.net"),
    ),
    Hostile("a part of no value", UNREADABLE, lambda w: w.surgery(sequence(der.set_of(), common_name(AIKEN)[2:]))),
    _written("two organisations", f"/O=example.net/O=evil/CN={AIKEN}"),
    _written("a unit", f"/OU=ops/CN={AIKEN}"),
    _written("a mail address", f"/CN={AIKEN}/emailAddress=root@example.net"),
    _written("a serial number", f"/CN={AIKEN}/serialNumber=1"),
    _written("a country", f"/C=NL/CN={AIKEN}"),
    _subject("an unknown part", SUBJECT_REASON, _CN, (der.PRIVATE_EXTENSION, utf8("x"))),
    _name("an empty name", ""),
    _name("a name of 65 characters", "a" * 65),
    _name("a name with /", "aiken/CN=evil"),
    _name("a name with +", "aiken+evil"),
    _name("a name with a blank", "aiken evil"),
    _name("a name with a line end", "aiken\nevil"),
    _name("a name with a line end behind it", f"{AIKEN}\n"),
    _name("a name with NUL", f"{AIKEN}\0.evil.example"),
    _name("a name with an escape", "aiken\x1b[2J"),
    _name("a way out", "../esc"),
    _name("an option", "-rand"),
    _name("a hidden file", ".bashrc"),
    _name("a star", "*"),
    _name("a wildcard", "*.example.net"),
    _name("a word beyond ASCII", "aikén.example.net"),
    _name("a dot that is none", "aiken.example\u2024net"),
    _name("the authority's files", "database-ca"),
    _name("the authority's files in capitals", "Database-CA"),
    _name("a tab as in the index", "aiken\tV"),
    _name("output of asn1parse", AIKEN + der.FAKE_LINES),
    _subject("BMPString", _KINDS, _of_kind(0x1E, AIKEN, "utf-16-be")),
    _subject("UniversalString", _KINDS, _of_kind(0x1C, AIKEN, "utf-32-be")),
    _subject("T61String", _KINDS, _of_kind(0x14, AIKEN, "ascii")),
    _subject("an OCTET STRING", _KINDS, _of_kind(0x04, AIKEN, "ascii")),
    _subject("UTF8String that is Latin-1", UNREADABLE, _of_kind(0x0C, "aikén", "latin-1")),
    _subject("a string in pieces", UNREADABLE, (der.COMMON_NAME, der.der(0x2C, utf8("aiken"), utf8(".example.net")))),
)


# --- extensions and attributes

_CA_TRUE = extension(der.BASIC_CONSTRAINTS, sequence(der.der(0x01, b"\xff")), critical=True)
_CA_FALSE = extension(der.BASIC_CONSTRAINTS, sequence())
_LIMITS = extension(der.NAME_CONSTRAINTS, sequence(der.der(0xA0, sequence(dns("evil.example")))), critical=True)
_TWICE = "asks for its extensions twice"
_AUTHORITY = "asks to be a CA"

EXTENSIONS = (
    _extension("CA:TRUE", "basicConstraints = CA:TRUE", _AUTHORITY),
    _extension("critical CA:TRUE", "basicConstraints = critical, CA:TRUE", _AUTHORITY),
    _extension("CA:TRUE with a path length", "basicConstraints = CA:TRUE, pathlen:0", _AUTHORITY),
    _extension("keyCertSign", "keyUsage = digitalSignature, keyCertSign"),
    _extension("cRLSign", "keyUsage = cRLSign"),
    _extension("nonRepudiation", "keyUsage = digitalSignature, nonRepudiation, keyEncipherment"),
    _extension("code signing", "extendedKeyUsage = serverAuth, codeSigning"),
    _extension("any usage", "extendedKeyUsage = anyExtendedKeyUsage"),
    _extension("name constraints", "nameConstraints = critical, permitted;DNS:evil.example"),
    _extension("policies", "certificatePolicies = 1.2.3.4"),
    _extension("a list elsewhere", "crlDistributionPoints = URI:http://evil.example/crl"),
    _extension("an issuer elsewhere", "authorityInfoAccess = caIssuers;URI:http://evil.example/ca"),
    _extension("OCSP stapling", "tlsfeature = status_request"),
    _extension("Netscape's type", "nsCertType = sslCA"),
    _extension("Netscape's comment", "nsComment = hello"),
    _extension("another issuer", "issuerAltName = DNS:evil.example"),
    _encoded_extensions(
        "another issuer's key",
        "the extension authorityKeyIdentifier",
        extension(bytes.fromhex("551D23"), sequence(der.der(0x80, bytes(20)))),
    ),
    _extension("unknown", "1.3.6.1.4.1.99999.1 = DER:0500", "with the identifier"),
    _extension("unknown and critical", "1.3.6.1.4.1.99999.1 = critical, DER:0500", "with the identifier"),
    _encoded_extensions("the same twice", "has the extension basicConstraints twice", _CA_FALSE, _CA_FALSE),
    _encoded_extensions("CA:FALSE and CA:TRUE", "has the extension basicConstraints twice", _CA_FALSE, _CA_TRUE),
    _encoded_extensions(
        "a short key identifier", "the extension subjectKeyIdentifier", extension(der.SUBJECT_KEY_IDENTIFIER, b"\4\2hi")
    ),
    _encoded_extensions(
        "a key identifier that lies about its length",
        "the extension subjectKeyIdentifier",
        extension(der.SUBJECT_KEY_IDENTIFIER, b"\x04\x15" + bytes(20)),
    ),
    _encoded_extensions(
        "a key usage in another encoding",
        "the extension keyUsage",
        extension(der.KEY_USAGE, bytes.fromhex("0303 07 8001".replace(" ", ""))),
    ),
    _encoded_extensions(
        "an extension that is a text",
        UNREADABLE,
        sequence(der.oid(der.KEY_USAGE), utf8("\3\2\5\xa0")),
    ),
    _encoded_extensions(
        "an extension in pieces", UNREADABLE, sequence(der.oid(der.KEY_USAGE), der.der(0x24, bytes.fromhex("030205A0")))
    ),
    _attributes(
        "Microsoft's way to ask for CA:TRUE",
        "has attributes that are not accepted",
        der.attribute(der.MICROSOFT_EXTENSION_REQUEST, sequence(_CA_TRUE)),
    ),
    _attributes("extensions in two attributes", _TWICE, asking_for(_CA_FALSE), asking_for(_CA_TRUE)),
    _attributes(
        "two lists of extensions",
        _TWICE,
        der.attribute(der.EXTENSION_REQUEST, sequence(_CA_FALSE), sequence(_CA_TRUE)),
    ),
    _attributes("no list of extensions", UNREADABLE, der.attribute(der.EXTENSION_REQUEST)),
    _attributes(
        "an unknown attribute",
        "has attributes that are not accepted",
        der.attribute(der.PRIVATE_EXTENSION, utf8("hello")),
    ),
    Hostile(
        "constraints behind output of asn1parse",
        "the extension nameConstraints",
        lambda w: w.surgery(
            der.name((der.ORGANIZATION, utf8(der.FAKE_LINES)), _CN),
            der.attribute(der.CHALLENGE_PASSWORD, utf8(der.FAKE_LINES)),
            asking_for(_CA_FALSE, _LIMITS),
        ),
    ),
    _encoded_extensions(
        "output of asn1parse in an extension",
        "with the identifier",
        extension(der.PRIVATE_EXTENSION, der.FAKE_LINES.encode()),
        _LIMITS,
    ),
)


# --- alternative names

_NOBODY = "which nobody has allowed"
_NO_HOST = "which is no host name"
_OTHER_KIND = "that is neither DNS nor IP"
_NO_LIST = "its subjectAltName is no list of names"

ALTERNATIVE_NAMES = (
    _extension("somebody else's name", "subjectAltName = DNS:margaret.example.net", _NOBODY),
    _extension("its own and somebody else's", f"subjectAltName = DNS:{AIKEN}, DNS:margaret.example.net", _NOBODY),
    _extension("an address", "subjectAltName = IP:192.0.2.7", _NOBODY),
    _extension("a wildcard beside it", "subjectAltName = DNS:*.example.net", _NOBODY),
    _extension("critical", "subjectAltName = critical, DNS:margaret.example.net", _NOBODY),
    _extension("a mail address as a name", "subjectAltName = email:root@example.net", _OTHER_KIND),
    _extension("a URI", "subjectAltName = URI:https://evil.example", _OTHER_KIND),
    _extension("a directory name", "subjectAltName = dirName:dir\n[dir]\nCN = evil", _OTHER_KIND),
    _extension("another name", "subjectAltName = otherName:1.2.3.4;UTF8:evil", _OTHER_KIND),
    _extension("a registered number", "subjectAltName = RID:1.2.3.4", _OTHER_KIND),
    _alternative("1,000 names", _NOBODY, *(dns(f"h{number}.example.net") for number in range(1000))),
    _alternative("no names", "has a subjectAltName without names"),
    _alternative("twice the same", "the same SAN twice", dns(AIKEN), dns(AIKEN)),
    _alternative("a name that looks like two", _NO_HOST, dns(f"{AIKEN}, DNS:evil.example")),
    _alternative("a name with output of asn1parse", _NO_HOST, dns(AIKEN + der.FAKE_LINES)),
    _alternative("a DNS name with NUL", _NO_HOST, dns(f"{AIKEN}\0.evil.example")),
    _alternative("an empty DNS name", _NO_HOST, dns("")),
    _alternative("a DNS name in capitals", _NO_HOST, dns(AIKEN.upper())),
    _alternative("a DNS name with a dot behind it", _NO_HOST, dns(f"{AIKEN}.")),
    _alternative("two stars", _NO_HOST, dns("*.*.example.net")),
    _alternative("a star alone", _NO_HOST, dns("*")),
    _alternative("a DNS name of 254 characters", _NO_HOST, dns("a." * 125 + "abcd")),
    _alternative("an address as a DNS name", _NO_HOST, dns("192.0.2.7")),
    _alternative("a DNS name beyond ASCII", _NO_HOST, dns("aikén.example.net")),
    _alternative("a DNS name that is not UTF-8", UNREADABLE, der.der(0x82, b"\xe9")),
    _alternative("an address of 5 bytes", _OTHER_KIND, der.der(0x87, bytes(5))),
    _alternative("a network", _OTHER_KIND, der.der(0x87, bytes(8))),
    _alternative("an address in pieces", _OTHER_KIND, der.der(0xA7, b"\x04\x02\xc0\x00")),
    _alternative("a string without its tag", _OTHER_KIND, utf8(AIKEN)),
    _encoded_extensions("a set of names", _NO_LIST, extension(der.ALTERNATIVE_NAME, der.set_of(dns(AIKEN)))),
    _encoded_extensions("junk for names", UNREADABLE, extension(der.ALTERNATIVE_NAME, b"\x30\x7f")),
    _encoded_extensions(
        "something behind the names", UNREADABLE, extension(der.ALTERNATIVE_NAME, sequence(dns(AIKEN)) + b"\x05\x00")
    ),
    _encoded_extensions("nothing for names", UNREADABLE, extension(der.ALTERNATIVE_NAME, b"")),
)

REQUESTS = (*FILES, *KEYS, *SUBJECTS, *EXTENSIONS, *ALTERNATIVE_NAMES)
