"""Every erratum on real openssl: the guide's own text fails as it is stated, and the fixed form passes."""

from __future__ import annotations

import re
import shlex
import ssl
import sys
from pathlib import Path

import pytest

from dbca_openssl.errata import ERRATA
from dbca_openssl.names import COMMON_NAME_PATTERNS
from dbca_openssl.render import AuthoritySettings, authority_configuration
from tools.by_hand import (
    REQUEST,
    REVOCATION_LIST,
    SELF_SIGN,
    SELF_SIGN_FIXED,
    certificate_text,
    new_directory,
    typed,
    typed_well,
)
from tools.support import (
    GUIDE,
    HOSTS,
    ORGANIZATION,
    MakeRequest,
    contents,
    done,
    frozen_openssl,
    frozen_tool,
    openssl,
    run,
    shell,
    snapshot,
    tool,
)

AIKEN = HOSTS[0]
GUIDES_TEXT = (GUIDE / "database-ca.cnf").read_text()
GUIDES_NAME = COMMON_NAME_PATTERNS[0].format(ORGANIZATION)
FIXED = authority_configuration(AuthoritySettings(ORGANIZATION, GUIDES_NAME, bits=2048))
REQUEST_WITH_KEY = REQUEST.replace("-new", "-new -key private/database-ca.key.pem")


def without(*sections: str) -> str:
    """The fixed configuration with some of the sections taken out that follow the guide's text."""
    guide, end, appendix = FIXED.partition("# EOF\n")
    for section in sections:
        appendix, count = re.subn(rf"^\[ {section} \]\n(?:[^\[\n]+\n)*", "", appendix, flags=re.MULTILINE)
        assert count == 1, section
    return guide + end + appendix


def values(configuration: str, section: str) -> dict[str, str]:
    """The names and values in one section."""
    (text,) = re.findall(rf"^\[ {section} \]\n((?:[^\[\n]+\n)*)", configuration, re.MULTILINE)
    return dict(re.findall(r"^(\S+)\s+= (.*)$", text, re.MULTILINE))


@pytest.fixture
def requested(tmp_path: Path, keys: Path) -> Path:
    """A directory by hand up to the authority's own request, with a key that asks for no pass phrase."""
    directory = new_directory(tmp_path, FIXED, keys / "host.key.pem")
    typed_well(REQUEST_WITH_KEY, directory)
    return directory


@pytest.fixture
def self_signed(requested: Path) -> Path:
    """The same up to the authority's own certificate."""
    typed_well(SELF_SIGN_FIXED, requested)
    return requested


def test_every_erratum_has_its_test() -> None:
    tested = [int(name.split("_")[2]) for name in vars(sys.modules[__name__]) if name.startswith("test_erratum_")]
    assert sorted(set(tested)) == [erratum.number for erratum in ERRATA] == list(range(1, 15))


def test_erratum_1_the_name_of_the_configuration_file(tmp_path: Path) -> None:
    directory = new_directory(tmp_path, FIXED)
    (directory / "database-ca.cnf").rename(directory / "database_ca.cnf")
    before = contents(directory)
    failed = typed(REQUEST, directory)
    assert failed.code != 0
    assert "No such file or directory" in failed.output
    assert contents(directory) == before

    (directory / "database_ca.cnf").rename(directory / "database-ca.cnf")
    typed_well(REQUEST, directory)


def test_erratum_2_the_directory_at_the_root(tmp_path: Path) -> None:
    new_directory(tmp_path)
    assert typed("cd /database-ca", tmp_path).code != 0
    typed_well("cd database-ca\ntest -d private", tmp_path)
    assert f"\ncd {tmp_path}/database-ca\n" in done("init", "-o", ORGANIZATION, "--print", directory=tmp_path).output


def test_erratum_3_the_section_that_openssl_req_reads(tmp_path: Path) -> None:
    directory = new_directory(tmp_path, GUIDES_TEXT)
    failed = typed(REQUEST, directory)
    assert failed.code != 0
    assert not (directory / "database-ca.req.pem").exists()
    assert list((directory / "private").glob("*.pem")) == []
    assert "BEGIN ENCRYPTED PRIVATE KEY" in failed.output

    (directory / "database-ca.cnf").write_text(FIXED)
    assert "PRIVATE KEY" not in typed_well(REQUEST, directory)
    openssl("req", "-in", "database-ca.req.pem", "-noout", "-verify", directory=directory)
    assert "BEGIN ENCRYPTED PRIVATE KEY" in (directory / "private/database-ca.key.pem").read_text()


def test_erratum_3_the_new_section_has_the_values_of_the_guides() -> None:
    guides, fixed = values(FIXED, "ca_req"), values(FIXED, "req")
    assert guides.pop("subjectAltName") == "@subject_alt_name"  # an extension, which is no option of the request
    assert guides.pop("default_keyfile") == "private/mariadatabase-ca.key.pem"
    assert fixed.pop("default_keyfile") == "private/database-ca.key.pem"
    assert fixed == guides


def test_erratum_4_the_name_of_the_key(tmp_path: Path) -> None:
    text = GUIDES_TEXT.replace("[ ca_req ]", "[ req ]").replace("= 4096", "= 2048")
    directory = new_directory(tmp_path, text)
    typed_well(REQUEST, directory)
    assert [path.name for path in (directory / "private").glob("*.pem")] == ["mariadatabase-ca.key.pem"]
    failed = typed(SELF_SIGN, directory)
    assert failed.code != 0
    assert "private/database-ca.key.pem" in failed.output

    (directory / "database-ca.cnf").write_text(FIXED)
    typed_well(REQUEST, directory)
    typed_well(SELF_SIGN_FIXED, directory)


def test_erratum_5_the_missing_alternative_name(requested: Path) -> None:
    configuration = requested / "database-ca.cnf"
    for text in (GUIDES_TEXT, without("subject_alt_name")):
        configuration.write_text(text)
        before = contents(requested)
        failed = typed(SELF_SIGN, requested)
        assert failed.code != 0
        assert "subject_alt_name" in failed.output or "ca_ext" in failed.output
        assert contents(requested) == before

    configuration.write_text(FIXED)
    typed_well(SELF_SIGN_FIXED, requested)
    text = certificate_text(requested / "database-ca.cert.pem", "-text")
    assert re.search(
        rf"Subject Alternative Name: *\n *DirName: ?/?O ?= ?{ORGANIZATION}[,/] ?CN ?= ?{re.escape(GUIDES_NAME)}\n", text
    )


def test_erratum_6_the_missing_places_of_certificate_and_list(requested: Path) -> None:
    configuration = requested / "database-ca.cnf"
    for text in (GUIDES_TEXT, without("auth_info_access"), without("crl_dist", "crl_location")):
        configuration.write_text(text)
        before = contents(requested)
        assert typed(SELF_SIGN, requested).code != 0
        assert contents(requested) == before

    configuration.write_text(FIXED)
    typed_well(SELF_SIGN_FIXED, requested)
    text = certificate_text(requested / "database-ca.cert.pem", "-text")
    assert "CA Issuers - URI:file:///etc/mysql/ssl/database-ca.cert.pem\n" in text
    assert "URI:file:///etc/mysql/ssl/database-ca.crl\n" in text


def test_erratum_7_the_policy_of_the_authority_itself(requested: Path) -> None:
    typed_well(SELF_SIGN, requested)
    certificate = requested / "database-ca.cert.pem"
    assert certificate_text(certificate, "-subject", "-nameopt", "RFC2253") == f"subject=CN={GUIDES_NAME}"

    for name in ("database-ca.index", "database-ca.index.attr"):
        (requested / name).write_text("")
    typed_well(SELF_SIGN.replace("ca_ext", "ca_ext -policy ca_policy"), requested)
    assert (
        certificate_text(certificate, "-subject", "-nameopt", "RFC2253") == f"subject=CN={GUIDES_NAME},O={ORGANIZATION}"
    )


def test_erratum_8_the_place_of_the_revocation_list(self_signed: Path) -> None:
    typed_well(REVOCATION_LIST, self_signed)
    assert values(GUIDES_TEXT, "database_ca")["crl"] == "$dir/database-ca.crl"
    assert not (self_signed / "database-ca.crl").exists()
    assert (self_signed / "crl/database-ca.crl").exists()

    document = done("crl", "--json", directory=self_signed).document
    assert document["crl"]["path"] == "crl/database-ca.crl"
    assert not (self_signed / "database-ca.crl").exists()


def test_erratum_9_years_of_two_digits(requested: Path, tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    frozen_openssl(tmp_path / "bin", "2045-06-01 12:00:00").rename(tmp_path / "bin/openssl")
    (tmp_path / "bin/date").write_text("#!/bin/sh\nexec faketime -f '2045-06-01 12:00:00' /bin/date \"$@\"\n")
    (tmp_path / "bin/date").chmod(0o755)
    clock = f"export TZ=UTC PATH={tmp_path}/bin:$PATH"
    certificate = requested / "database-ca.cert.pem"
    typed(f"{clock}\n{SELF_SIGN}", requested)
    end = certificate_text(certificate, "-enddate")
    assert end == "notAfter=Jun  2 00:00:00 1950 GMT"

    for name in ("database-ca.index", "database-ca.index.attr"):
        (requested / name).write_text("")
    typed_well(f"{clock}\n{SELF_SIGN_FIXED}", requested)
    assert certificate_text(certificate, "-enddate") == "notAfter=Jun  2 00:00:00 2050 GMT"


def test_erratum_10_the_two_years_that_are_one(tmp_path: Path, keys: Path, make_request: MakeRequest) -> None:
    clock = "2026-11-24 12:00:00"
    options = ("init", "-o", ORGANIZATION, "--key", keys / "host.key.pem", "--no-passphrase")
    assert frozen_tool(clock, *options, directory=tmp_path).code == 0
    directory = tmp_path / "database-ca"
    for name, days in ((HOSTS[0], ()), (HOSTS[1], ("--days", "731"))):
        make_request(name, to=directory / "certreqs")
        signed = frozen_tool(clock, "sign", name, "--yes", *days, directory=directory)
        assert signed.code == 0, signed.messages
    assert "default_days            = 368 # Two years\n" in (directory / "database-ca.cnf").read_text()
    ends = [certificate_text(directory / f"certs/{name}.cert.pem", "-enddate") for name in HOSTS[:2]]
    assert ends == ["notAfter=Nov 27 12:00:00 2027 GMT", "notAfter=Nov 24 12:00:00 2028 GMT"]


def test_erratum_11_the_request_made_a_second_time(tmp_path: Path, keys: Path) -> None:
    directory = new_directory(tmp_path, FIXED, keys / "ca.key.pem")
    typed_well(REQUEST_WITH_KEY, directory)
    key = directory / "private/database-ca.key.pem"
    # nobody is there to answer, so it cannot get further than to the question for the pass phrase
    nobody = run("sh", "-c", f"set -e\n{REQUEST}", directory=directory)
    assert nobody.code != 0
    assert key.read_bytes() == b""

    key.write_bytes((keys / "ca.key.pem").read_bytes())
    before = snapshot(tmp_path)
    options = ("init", "-o", ORGANIZATION, "--passphrase-file", keys / "phrase")
    assert tool(*options, directory=tmp_path).code == 1
    script = done(*options, "--print", directory=tmp_path).output
    assert shell(script, tmp_path).code == 1
    assert snapshot(tmp_path) == before


def test_erratum_12_common_names_of_more_than_64_characters(tmp_path: Path, keys: Path) -> None:
    longer = "example.info"
    assert len(GUIDES_NAME) == 64 == len(ORGANIZATION) + 53
    guides = COMMON_NAME_PATTERNS[0].format(longer)
    text = authority_configuration(AuthoritySettings(longer, guides, bits=2048))
    directory = new_directory(tmp_path, text, keys / "host.key.pem")
    failed = typed(REQUEST_WITH_KEY, directory)
    assert failed.code != 0
    assert "string too long" in failed.output

    for options, name in (
        ((), "example.info Database Certification Authority"),
        (("--common-name", "Our Database CA"), "Our Database CA"),
    ):
        place = tmp_path / name.replace(" ", "-")
        made = done(
            *("init", "-o", longer, "--key", keys / "host.key.pem", "--no-passphrase", "--ca", place, *options),
            directory=tmp_path,
        )
        assert ("the guide's common name is longer than 64 characters" in made.messages) == (not options)
        subject = certificate_text(place / "database-ca.cert.pem", "-subject", "-nameopt", "RFC2253")
        assert subject == f"subject=CN={name},O={longer}"


def test_erratum_13_serial_00_and_no_alternative_name(tmp_path: Path, keys: Path) -> None:
    accepted = {}
    for profile in ("guide", "modern"):
        place = tmp_path / profile
        place.mkdir()
        options = ("--profile", profile)
        done(
            *("init", "-o", ORGANIZATION, "--key", keys / "host.key.pem", "--no-passphrase", *options), directory=place
        )
        done("request", AIKEN, "--ssl-dir", "ssl", "--bits", "2048", *options, directory=place)
        done("sign", f"ssl/{AIKEN}.req.pem", "--yes", directory=place)
        certificate = place / f"database-ca/certs/{AIKEN}.cert.pem"
        own = certificate_text(place / "database-ca/database-ca.cert.pem", "-serial")
        assert own == {"guide": "serial=00", "modern": "serial=01"}[profile]
        assert (f"DNS:{AIKEN}" in certificate_text(certificate, "-text")) == (profile == "modern")
        accepted[profile] = accepted_by_alternative_name(
            place / "database-ca/database-ca.cert.pem", certificate, place / f"ssl/private/{AIKEN}.key.pem"
        )
    assert accepted == {"guide": False, "modern": True}


def accepted_by_alternative_name(authority: Path, certificate: Path, key: Path) -> bool:
    """Whether a TLS client like Go's, which looks at alternative names only, takes the server's certificate."""
    client, server = ssl.create_default_context(cafile=authority), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    client.hostname_checks_common_name = False
    server.load_cert_chain(certificate, key)
    there, back = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = [
        client.wrap_bio(back, there, server_hostname=AIKEN),
        server.wrap_bio(there, back, server_side=True),
    ]
    while ends:
        for end in list(ends):
            try:
                end.do_handshake()
                ends.remove(end)
            except ssl.SSLWantReadError:
                continue
            except ssl.SSLCertVerificationError as error:
                assert "Hostname mismatch" in str(error)
                return False
    return True


def test_erratum_14_the_printed_commands_deliver(
    ca: Path, tmp_path: Path, environment: dict[str, str], make_request: MakeRequest
) -> None:
    make_request(AIKEN, to=ca / "certreqs")
    printed = done("sign", AIKEN, "--yes", directory=ca, environment=environment).output.splitlines()
    assert printed[1].startswith("next, deliver it")
    host = tmp_path / "host"
    shim = tmp_path / "dbca-openssl"  # the host is a directory here; tests/host reach one by ssh
    shim.write_text(
        f'#!/bin/sh\n[ "$1 $2" = "deploy {AIKEN}" ] || exit 1\nshift\nexec {sys.executable} -m dbca_openssl'
        f' deploy --local "$@" --ssl-dir {shlex.quote(str(host))} --ca {shlex.quote(str(ca))}\n'
    )
    shim.chmod(0o755)
    typed_well("\n".join([f"PATH={shlex.quote(str(tmp_path))}:$PATH", *printed[2:]]), tmp_path)
    openssl(
        *("verify", "-x509_strict", "-crl_check", "-CAfile", "database-ca.cert.pem", "-CRLfile", "database-ca.crl"),
        f"{AIKEN}.cert.pem",
        directory=host,
    )
