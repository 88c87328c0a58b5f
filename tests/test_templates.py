"""The two configuration files: the guide's text byte for byte, and any other value exactly as it was meant."""

from __future__ import annotations

import ipaddress
import re
from functools import partial
from pathlib import Path

import jinja2
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from dbca_openssl import names, render, x509
from dbca_openssl.errors import DatabaseCaError
from dbca_openssl.host.request import NewRequest
from dbca_openssl.openssl import OpenSSL
from dbca_openssl.render import AuthoritySettings, authority_configuration, host_configuration, quoted
from tools.support import GUIDE, ORGANIZATION, done, openssl

AUTHORITY_FILE, HOST_FILE = "database-ca.cnf", "openssl.cnf"
GUIDES = AuthoritySettings(ORGANIZATION, names.authority_name_for(ORGANIZATION))
OPENSSL = OpenSSL()
DIFFICULT = 'Müller & Söhne, "Zürich" #1 $HOME\\x'


def test_the_authoritys_file_begins_with_the_guides_byte_for_byte() -> None:
    guide = (GUIDE / AUTHORITY_FILE).read_bytes()
    assert guide.endswith(b"\n# EOF\n")
    assert authority_configuration(GUIDES).encode().startswith(guide + b"\n#\n# What the text above needs to run")


def test_the_hosts_file_is_the_guides_byte_for_byte() -> None:
    assert host_configuration().encode() == (GUIDE / HOST_FILE).read_bytes()
    assert NewRequest("aiken.example.net").configuration() == host_configuration()


def test_the_verbs_write_the_same_bytes(pristine: Path, tmp_path: Path) -> None:
    for file in (AUTHORITY_FILE, HOST_FILE):
        text = done("render", file, directory=tmp_path).output
        assert text.startswith((GUIDE / file).read_text())
        assert done("render", file, "--json", directory=tmp_path).document == {"file": file, "text": text}
    assert (pristine / AUTHORITY_FILE).read_text() == authority_configuration(GUIDES)
    done("request", "aiken.example.net", "--ssl-dir", "ssl", "--bits", "3072", directory=tmp_path)
    assert (tmp_path / "ssl" / HOST_FILE).read_bytes() == (GUIDE / HOST_FILE).read_bytes()


def test_every_value_of_the_guide_is_a_variable() -> None:
    text = authority_configuration(AuthoritySettings("Lab", "Lab CA", 30, 7, 2048, "http://pki.example.net"))
    changed = set(text.splitlines()) - set(authority_configuration(GUIDES).splitlines())
    assert changed == {
        "default_days            = 30 # Two years",
        "default_crl_days        = 7",
        "default_bits            = 2048",
        "organizationName        = Lab",
        "commonName              = Lab CA",
        "URI                     = http://pki.example.net/database-ca.crl",
        "caIssuers;URI           = http://pki.example.net/database-ca.cert.pem",
    }
    assert text.count("default_bits            = 2048") == 2
    assert "default_bits                = 2048\n" in host_configuration(2048)


def test_a_variable_without_a_value_is_an_error() -> None:
    with pytest.raises(jinja2.UndefinedError):
        render.rendered(AUTHORITY_FILE + ".j2", organization="Lab")
    with pytest.raises(jinja2.UndefinedError):
        render.rendered(HOST_FILE + ".j2")


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (ORGANIZATION, ORGANIZATION),
        (GUIDES.common_name, GUIDES.common_name),
        ("file:///etc/mysql/ssl/database-ca.crl", "file:///etc/mysql/ssl/database-ca.crl"),
        (DIFFICULT, r'"Müller & Söhne, \"Zürich\" #1 $HOME\\x"'),
        ("two  blanks", '"two  blanks"'),
        ("it's", '"it\'s"'),
        ("50%", '"50%"'),
        ("", '""'),
    ],
)
def test_quotes_what_needs_it_and_nothing_else(value: str, written: str) -> None:
    assert quoted(value) == written


@pytest.mark.parametrize("character", ["\n", "\r", "\0", "\t", "\x7f", "\x85", "\u2028", "\u2029", "\ud800"])
def test_refuses_what_no_quoting_can_carry(character: str) -> None:
    for refused in (quoted, partial(names.distinguished, what="organization")):
        with pytest.raises(DatabaseCaError, match="that no configuration file can carry"):
            refused(f"a{character}b")


# --- real certificates -------------------------------------------------------------------------------------------

_characters = st.characters(exclude_categories=("Cc", "Cs", "Zl", "Zp", "Cn", "Co"))
_special = st.sampled_from("$\\\"'`#;=[]@,/+&%{}()<>*~ äßéЖ中😀")
_words = st.sampled_from(("${ENV::HOME}", "$ENV::PATH", "$dir", ".include", "\\n", "critical, ", "# x", "@ca_ext"))
distinguished = (
    st.lists(_characters | _special | _special | _words, min_size=1, max_size=64)
    .map(lambda parts: "".join(parts)[:64].strip())
    .filter(bool)
)

_label = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,12}[a-z0-9])?", fullmatch=True)
_dns = st.lists(_label, min_size=2, max_size=4).map(".".join).filter(lambda name: not name.replace(".", "").isdigit())
_addresses = st.ip_addresses().map(str)


@pytest.fixture(scope="module")
def workshop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with an EC key, which signs at once."""
    directory = tmp_path_factory.mktemp("workshop")
    (directory / "private").mkdir()  # for RANDFILE
    openssl("ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", "key.pem", directory=directory)
    return directory


def certified(workshop: Path, configuration: str) -> x509.Certificate:
    """The certificate that `openssl req -x509` makes of the authority's configuration."""
    (workshop / AUTHORITY_FILE).write_text(configuration, encoding="utf-8")
    openssl(
        *("req", "-x509", "-new", "-key", "key.pem", "-extensions", "ca_ext", "-outform", "DER", "-out", "made.der"),
        directory=workshop,
        environment={"OPENSSL_CONF": AUTHORITY_FILE},
    )
    return x509.certificate((workshop / "made.der").read_bytes())


def requested(workshop: Path, new: NewRequest) -> x509.Request:
    """The request that `openssl req -new` makes of a host's configuration."""
    (workshop / HOST_FILE).write_text(new.configuration(), encoding="utf-8")
    openssl(
        *("req", "-new", "-key", "key.pem", "-outform", "DER", "-out", "made.der"),
        directory=workshop,
        environment={"OPENSSL_CONF": HOST_FILE, "CN": new.name},
    )
    return x509.request((workshop / "made.der").read_bytes())


def places(certificate: x509.Certificate) -> list[str]:
    """Every `file:` or `http:` place in a certificate."""
    return re.findall(r"[a-z]+://[!-~]+?(?:pem|crl)", certificate.encoded.decode("latin-1"))


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(organization=distinguished, common_name=distinguished)
@example(organization=DIFFICULT, common_name=DIFFICULT)
@example(organization='"', common_name="\\")
@example(organization="'x'", common_name="$ENV::HOME ${x} $(id)")
@example(organization="Ж" * 64, common_name="😀" * 64)
def test_any_organisation_arrives_exactly_in_a_certificate(workshop: Path, organization: str, common_name: str) -> None:
    configuration = AuthoritySettings(
        names.distinguished(organization, "organization"), names.distinguished(common_name, "common name")
    )
    certificate = certified(workshop, authority_configuration(configuration))
    assert certificate.subject_parts == (
        (x509.ORGANIZATION, organization),
        (x509.COMMON_NAME, common_name),
    )
    value = certificate.extension(x509.ALTERNATIVE_NAME)
    assert value is not None
    if (organization + common_name).isascii():
        assert value.endswith(certificate.subject)  # a dirName, the very bytes of the authority's own name
    else:
        assert value == b"0,\x86*file:///etc/mysql/ssl/database-ca.cert.pem"


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(name=_dns, others=st.lists(_dns | _dns.map("*.{}".format) | _addresses, max_size=5))
@example(name="aiken.example.net", others=["2001:DB8::0001", "192.0.2.7", "aiken.example.net"])
def test_any_host_and_its_other_names_arrive_exactly_in_a_request(workshop: Path, name: str, others: list[str]) -> None:
    alternative = tuple(names.alternative_name(text) for text in others)
    new = NewRequest(names.entity_name(name), alternative_names=alternative, profile="modern")
    request = requested(workshop, new)
    assert request.subject == ((x509.COMMON_NAME, name),)
    (value,) = [one for kind, one in request.extensions if kind == x509.ALTERNATIVE_NAME]
    expected = dict.fromkeys([("DNS", name), *((_kind(text), _canonical(text)) for text in others)])
    assert x509.alternative_names(value) == tuple(expected)


def _kind(text: str) -> str:
    return "DNS" if _canonical(text) == text and not re.fullmatch(r"[0-9.]+|.*:.*", text) else "IP"


def _canonical(text: str) -> str:
    return str(ipaddress.ip_address(text)) if re.fullmatch(r"[0-9.]+|.*:.*", text) else text


# --- the authority's alternative name ----------------------------------------------------------------------------


def test_a_directory_name_beyond_ascii_would_arrive_garbled(workshop: Path) -> None:
    text = authority_configuration(AuthoritySettings("Zürich", "Zürich CA"))
    (uri,) = re.findall(r"^URI +=.*cert\.pem$", text, re.MULTILINE)
    value = certified(workshop, text).extension(x509.ALTERNATIVE_NAME)
    garbled = certified(workshop, text.replace(uri, "dirName = ca_distinguished_name"))
    assert value is not None
    assert b"file:///etc/mysql/ssl/database-ca.cert.pem" in value
    assert garbled.subject_parts[0][1] == "Zürich"
    assert "ZÃ¼rich".encode() in (garbled.extension(x509.ALTERNATIVE_NAME) or b"")


def test_the_places_of_certificate_and_list_are_those_that_were_asked_for(workshop: Path) -> None:
    for organization in ("Lab", "Zürich"):
        url = "https://pki.example.net/$db;'x'=[1]#y"
        text = authority_configuration(AuthoritySettings(organization, "Lab CA", base_url=render.base_url(f"{url}/")))
        certificate = certified(workshop, text)
        assert set(places(certificate)) == {f"{url}/database-ca.cert.pem", f"{url}/database-ca.crl"}
        value = certificate.extension(x509.ALTERNATIVE_NAME) or b""
        assert value.endswith(certificate.subject if organization.isascii() else f"{url}/database-ca.cert.pem".encode())


def test_a_directory_becomes_a_url() -> None:
    assert render.directory_url("/etc/mysql/ssl") == "file:///etc/mysql/ssl"
    assert render.directory_url("/srv/db certificates/ü") == "file:///srv/db%20certificates/%C3%BC"
    for directory in ("ssl", "./ssl", ""):
        with pytest.raises(DatabaseCaError, match="not an absolute directory"):
            render.directory_url(directory)


@pytest.mark.parametrize("url", ["pki.example.net", "http://", "http://a b", "http://ü", 'http://"', "http://a\nb"])
def test_refuses_a_url_that_a_certificate_cannot_carry(url: str) -> None:
    with pytest.raises(DatabaseCaError, match="not an absolute URL in ASCII"):
        render.base_url(url)


# --- alternative names of hosts ----------------------------------------------------------------------------------


def test_alternative_names_follow_the_guides_text() -> None:
    new = NewRequest("aiken.example.net", alternative_names=(("DNS", "db.example.net"), ("IP", "192.0.2.7")))
    text = new.configuration()
    assert text.startswith((GUIDE / HOST_FILE).read_text() + "\n")
    assert text.endswith(
        "[ alternative_names ]\n"
        "DNS.0                       = ${CN}\n"
        "DNS.1                       = db.example.net\n"
        "IP.2                        = 192.0.2.7\n"
    )


def test_the_modern_profile_adds_the_name_itself(workshop: Path) -> None:
    request = requested(workshop, NewRequest("aiken.example.net", profile="modern"))
    (value,) = [one for kind, one in request.extensions if kind == x509.ALTERNATIVE_NAME]
    assert x509.alternative_names(value) == (("DNS", "aiken.example.net"),)


def test_a_client_whose_name_is_no_host_name_has_no_alternative_name(workshop: Path) -> None:
    request = requested(workshop, NewRequest("backup@margaret", profile="modern"))
    assert request.subject == ((x509.COMMON_NAME, "backup@margaret"),)
    assert [kind for kind, _ in request.extensions if kind == x509.ALTERNATIVE_NAME] == []


def test_an_address_as_name_is_an_address_among_the_alternative_names(workshop: Path) -> None:
    request = requested(workshop, NewRequest(names.entity_name("192.0.2.7"), profile="modern"))
    (value,) = [one for kind, one in request.extensions if kind == x509.ALTERNATIVE_NAME]
    assert x509.alternative_names(value) == (("IP", "192.0.2.7"),)
