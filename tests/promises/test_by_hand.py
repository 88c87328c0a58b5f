"""Nobody needs the tool: the guide's commands work on its directories, and it works on directories made by hand."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from dbca_openssl.render import AuthoritySettings, authority_configuration
from tools.by_hand import (
    CONFIGURE,
    HOST_REQUEST,
    REQUEST,
    REVOCATION_LIST,
    SELF_SIGN,
    SELF_SIGN_FIXED,
    SIGN,
    certificate_text,
    new_directory,
    typed_well,
)
from tools.support import GUIDE, HOSTS, ORGANIZATION, MakeRequest, done, openssl, run

AIKEN, MARGARET, GANNIBAL = HOSTS
GUIDES_NAME = f"{ORGANIZATION} Database Clients and Servers Certification Authority"
REVOKE = f"{CONFIGURE}\nopenssl ca -revoke certs/{{name}}.cert.pem"


def statuses(ca: Path) -> list[tuple[str, str, str]]:
    """Name, serial and status of each certificate, as `list` tells."""
    listed = done("list", "--json", directory=ca).document["certificates"]
    return [(one["name"], one["serial"], one["status"]) for one in listed]


def verified_by_openssl(ca: Path, name: str) -> bool:
    """Whether openssl accepts a certificate with the revocation list."""
    finished = run(
        *("openssl", "verify", "-x509_strict", "-crl_check", "-CAfile", "database-ca.cert.pem"),
        *("-CRLfile", "crl/database-ca.crl", f"certs/{name}.cert.pem"),
        directory=ca,
    )
    return finished.code == 0


# --- by hand on the tool's directory -----------------------------------------------------------------------------


def test_the_guides_commands_work_on_the_tools_directory_and_the_tool_goes_on(
    ca: Path, environment: dict[str, str], make_request: MakeRequest
) -> None:
    for name in HOSTS:
        make_request(name, to=ca / "certreqs")
    done("sign", AIKEN, "--yes", directory=ca, environment=environment)

    typed_well(SIGN.format(name=MARGARET), ca)
    typed_well(REVOKE.format(name=AIKEN), ca)
    typed_well(REVOCATION_LIST, ca)
    assert statuses(ca) == [(AIKEN, "01", "revoked"), (MARGARET, "02", "valid")]
    assert verified_by_openssl(ca, MARGARET)
    assert not verified_by_openssl(ca, AIKEN)

    done("sign", GANNIBAL, "--yes", directory=ca, environment=environment)
    number = done("crl", "--json", directory=ca, environment=environment).document["crl"]["number"]
    assert number == 2
    done("verify", MARGARET, directory=ca)
    done("verify", GANNIBAL, "--host", GANNIBAL, directory=ca)
    assert not verified_by_openssl(ca, AIKEN)
    assert statuses(ca)[2:] == [(GANNIBAL, "03", "valid")]

    typed_well(REVOKE.format(name=GANNIBAL), ca)
    typed_well(REVOCATION_LIST, ca)
    assert not verified_by_openssl(ca, GANNIBAL)


def test_a_name_revoked_by_hand_is_signed_again_by_the_tool(
    ca: Path, environment: dict[str, str], make_request: MakeRequest
) -> None:
    make_request(AIKEN, to=ca / "certreqs")
    typed_well(SIGN.format(name=AIKEN), ca)
    typed_well(REVOKE.format(name=AIKEN), ca)
    done("sign", AIKEN, "--yes", directory=ca, environment=environment)
    assert statuses(ca) == [(AIKEN, "01", "revoked"), (AIKEN, "02", "valid")]


def test_the_guides_commands_make_a_whole_authority_of_the_tools_configuration(tmp_path: Path) -> None:
    text = authority_configuration(AuthoritySettings(ORGANIZATION, GUIDES_NAME, bits=2048))
    directory = new_directory(tmp_path, text)
    typed_well(REQUEST, directory)
    typed_well(SELF_SIGN, directory)
    typed_well(REVOCATION_LIST, directory)
    openssl("verify", "-CAfile", "database-ca.cert.pem", "database-ca.cert.pem", directory=directory)


def test_the_guides_commands_make_a_request_with_the_tools_configuration_on_a_host(tmp_path: Path) -> None:
    done("request", AIKEN, "--ssl-dir", ".", "--bits", "2048", directory=tmp_path)
    typed_well(HOST_REQUEST.format(name=MARGARET), tmp_path)
    openssl("req", "-in", f"{MARGARET}.req.pem", "-noout", "-verify", directory=tmp_path)
    openssl("pkey", "-in", f"private/{MARGARET}.key.pem", "-noout", directory=tmp_path)


# --- the tool on a directory made by hand ------------------------------------------------------------------------


@pytest.fixture(scope="module")
def made_by_hand(keys: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An authority by the guide's commands and the fixed configuration; not to be changed."""
    text = authority_configuration(AuthoritySettings(ORGANIZATION, GUIDES_NAME))
    directory = new_directory(tmp_path_factory.mktemp("hand"), text, keys / "ca.key.pem")
    typed_well(REQUEST.replace("-new", "-new -key private/database-ca.key.pem"), directory)
    typed_well(SELF_SIGN_FIXED, directory)
    typed_well(REVOCATION_LIST, directory)
    return directory


@pytest.fixture
def hand(made_by_hand: Path, tmp_path: Path) -> Path:
    """The same, of one's own."""
    return Path(shutil.copytree(made_by_hand, tmp_path / "database-ca"))


def use_every_verb(ca: Path, environment: dict[str, str], make_request: MakeRequest) -> None:
    """Each verb that works on an authority, on one without any certificate of a host."""
    status = done("--json", "--ca", ca, directory=ca.parent).document
    assert (status["directory"], status["waiting"]) == (str(ca), [])
    request = make_request(AIKEN)
    done("sign", request, "--yes", directory=ca, environment=environment)
    make_request(MARGARET, to=ca / "certreqs")
    make_request(GANNIBAL, to=ca / "certreqs")
    assert done("--json", directory=ca).document["waiting"] == [GANNIBAL, MARGARET]
    done("sign", MARGARET, GANNIBAL, "--yes", directory=ca, environment=environment)
    done("crl", directory=ca, environment=environment)
    assert statuses(ca) == [(AIKEN, "01", "valid"), (MARGARET, "02", "valid"), (GANNIBAL, "03", "valid")]
    for name in HOSTS:
        done("verify", name, "--host", name, directory=ca)
    assert done("show", "02", "--json", directory=ca).document["name"] == MARGARET
    assert done("show", AIKEN, "--json", directory=ca).document["serial"] == "01"


def test_every_verb_works_on_a_directory_made_by_hand(
    hand: Path, environment: dict[str, str], make_request: MakeRequest
) -> None:
    assert not (hand / ".lock").exists()
    use_every_verb(hand, environment, make_request)


def test_every_verb_works_where_the_index_has_no_attributes_yet(
    hand: Path, environment: dict[str, str], make_request: MakeRequest
) -> None:
    for path in hand.glob("database-ca.index.attr*"):
        path.unlink()
    use_every_verb(hand, environment, make_request)
    assert (hand / "database-ca.index.attr").read_text() == "unique_subject = yes\n"


def test_every_verb_works_on_a_directory_whose_copies_of_before_were_deleted(
    hand: Path, environment: dict[str, str], make_request: MakeRequest
) -> None:
    for path in hand.glob("*.old"):
        path.unlink()
    use_every_verb(hand, environment, make_request)


def test_every_verb_works_on_an_authority_that_the_guides_policy_named(
    tmp_path: Path, keys: Path, environment: dict[str, str], make_request: MakeRequest
) -> None:
    text = authority_configuration(AuthoritySettings(ORGANIZATION, GUIDES_NAME))
    directory = new_directory(tmp_path, text, keys / "ca.key.pem")
    typed_well(REQUEST.replace("-new", "-new -key private/database-ca.key.pem"), directory)
    typed_well(SELF_SIGN, directory)  # as typed, so that its subject has no organisation
    typed_well(REVOCATION_LIST, directory)
    subject = certificate_text(directory / "database-ca.cert.pem", "-subject", "-nameopt", "RFC2253")
    assert subject == f"subject=CN={GUIDES_NAME}"
    use_every_verb(directory, environment, make_request)


def test_every_verb_works_where_only_the_guides_text_is_left_after_the_creation(
    hand: Path, environment: dict[str, str], make_request: MakeRequest
) -> None:
    shutil.copy(GUIDE / "database-ca.cnf", hand)
    use_every_verb(hand, environment, make_request)


def test_a_request_made_by_hand_is_signed(ca: Path, tmp_path: Path, environment: dict[str, str]) -> None:
    host = tmp_path / "host"
    (host / "private").mkdir(parents=True)
    (host / "openssl.cnf").write_text((GUIDE / "openssl.cnf").read_text())
    typed_well(HOST_REQUEST.format(name=AIKEN), host)
    done("sign", host / f"{AIKEN}.req.pem", "--yes", directory=ca, environment=environment)
    done("verify", AIKEN, "--host", AIKEN, directory=ca)
