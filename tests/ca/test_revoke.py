"""`revoke` and `crl`, on real openssl, and what other verifiers make of them."""

from __future__ import annotations

import json
import re
import shutil
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tools.support import (
    HOSTS,
    ORGANIZATION,
    MakeRequest,
    contents,
    done,
    frozen_tool,
    index_rows,
    openssl,
    recorded,
    recording_openssl,
    refusal,
    run,
    shell,
    snapshot,
    tool,
)

AIKEN, MARGARET, GANNIBAL = HOSTS

REASONS = {
    "unspecified": "Unspecified",
    "keyCompromise": "Key Compromise",
    "affiliationChanged": "Affiliation Changed",
    "superseded": "Superseded",
    "cessationOfOperation": "Cessation Of Operation",
    "certificateHold": "Certificate Hold",
}
"""The words of RFC 5280, and how openssl prints them."""

CLOCK = "2027-03-04 05:06:07"


def listed(ca: Path) -> dict[str, str | None]:
    """The serials in the revocation list and their reasons, as openssl prints them."""
    text = openssl("crl", "-in", "crl/database-ca.crl", "-noout", "-text", directory=ca)
    entries = re.split(r"Serial Number: ", text.partition("Signature Algorithm: sha256WithRSAEncryption\n    Sig")[0])
    found = {}
    for entry in entries[1:]:
        reason = re.search(r"CRL Reason Code: \n\s+(.*)", entry)
        found[entry.split()[0]] = reason.group(1).strip() if reason else None
    return found


def reissue(ca: Path, name: str, environment: dict[str, str]) -> None:
    """A second valid certificate of a name, as a plain openssl makes one under `unique_subject = no`."""
    attributes = ca / "database-ca.index.attr"
    attributes.write_text("unique_subject = no\n")
    openssl(
        *("ca", "-batch", "-in", f"certreqs/{name}.req.pem", "-out", f"certs/{name}.cert.pem"),
        *("-extensions", "cert_ext", "-passin", f"file:{environment['DBCA_PASSPHRASE_FILE']}"),
        directory=ca,
        environment={"OPENSSL_CONF": "./database-ca.cnf"},
    )


def test_a_name_means_every_valid_certificate_of_it(fleet: Path, environment: dict[str, str], tmp_path: Path) -> None:
    reissue(fleet, AIKEN, environment)
    program, record = recording_openssl(tmp_path)
    revoked = done(
        *("revoke", AIKEN, "--reason", "cessationOfOperation", "--yes", "--json", "--openssl", program),
        directory=fleet,
        environment=environment,
    ).document
    assert [one["serial"] for one in revoked["revoked"]] == ["01", "04"]
    states = {row[3]: (row[0], row[2].partition(",")[2]) for row in index_rows(fleet)}
    assert states["01"] == states["04"] == ("R", "cessationOfOperation")
    assert states["02"] == states["03"] == ("V", "")
    assert listed(fleet) == {"01": "Cessation Of Operation", "04": "Cessation Of Operation"}
    assert [arguments[0] for arguments in recorded(record, "ca")] == ["ca"] * 3


@pytest.mark.parametrize("reason", REASONS)
def test_a_reason_arrives_in_index_and_list(fleet: Path, environment: dict[str, str], reason: str) -> None:
    document = done(
        *("revoke", "02", "--reason", reason, "--yes", "--json"), directory=fleet, environment=environment
    ).document
    assert document["revoked"] == [{"name": MARGARET, "serial": "02", "reason": reason}]
    assert document["crl"]["number"] == 1
    assert [row[2].partition(",")[2] for row in index_rows(fleet) if row[0] == "R"] == [reason]
    assert listed(fleet) == {"02": REASONS[reason]}


def test_without_a_reason_none_is_invented(fleet: Path, environment: dict[str, str]) -> None:
    done("revoke", GANNIBAL, "--yes", directory=fleet, environment=environment)
    assert [re.sub(r"\d{12}Z", "", row[2]) for row in index_rows(fleet) if row[0] == "R"] == [""]
    assert listed(fleet) == {"03": None}


def test_a_file_means_that_certificate_alone(fleet: Path, environment: dict[str, str]) -> None:
    reissue(fleet, AIKEN, environment)
    done("revoke", "newcerts/01.pem", "--yes", directory=fleet, environment=environment)
    assert [row[3] for row in index_rows(fleet) if row[0] == "R"] == ["01"]


def test_the_list_can_wait(fleet: Path, environment: dict[str, str]) -> None:
    before = snapshot(fleet / "crl"), (fleet / "database-ca.crlnum").read_bytes()
    said = done("revoke", AIKEN, "--no-crl", "--yes", directory=fleet, environment=environment)
    assert (snapshot(fleet / "crl"), (fleet / "database-ca.crlnum").read_bytes()) == before
    assert [row[3] for row in index_rows(fleet) if row[0] == "R"] == ["01"]
    assert said.output.splitlines()[-1] == "  dbca-openssl crl"
    done("crl", directory=fleet, environment=environment)
    assert listed(fleet) == {"01": None}


def test_the_list_waits_without_a_passphrase_for_nobody(fleet: Path) -> None:
    """Every `openssl ca` reads the key, so there is no revoking without it."""
    before = snapshot(fleet, without=(".lock",))
    assert "there is no terminal to ask at" in refusal(tool("revoke", AIKEN, "--no-crl", "--yes", directory=fleet))
    assert snapshot(fleet, without=(".lock",)) == before


@pytest.fixture
def twin(fleet: Path, keys: Path, tmp_path: Path, make_request: MakeRequest) -> Path:
    """Another authority of the same name with another key, and a certificate with serial and name of one of ours."""
    openssl("genrsa", "-out", "twin.key.pem", "2048", directory=tmp_path)
    twin = tmp_path / "twin"
    done(
        *("init", "-o", ORGANIZATION, "--key", tmp_path / "twin.key.pem", "--no-passphrase", "--ca", twin),
        directory=tmp_path,
    )
    shutil.copy(fleet / f"certreqs/{AIKEN}.req.pem", twin / "certreqs")
    done("sign", AIKEN, "--yes", directory=twin)
    return twin


def test_refusals_change_nothing(fleet: Path, environment: dict[str, str], twin: Path) -> None:
    done("revoke", GANNIBAL, "--yes", directory=fleet, environment=environment)
    authority = openssl("x509", "-in", "database-ca.cert.pem", "-noout", "-subject", directory=fleet)
    foreign = twin / f"certs/{AIKEN}.cert.pem"
    assert json.loads(tool("show", foreign, "--json", directory=fleet).output)["serial"] == "01"
    before = snapshot(fleet)
    for what, why in (
        (GANNIBAL, f"{GANNIBAL} (serial 03) is revoked already"),
        ("03", f"{GANNIBAL} (serial 03) is revoked already"),
        ("3", f"{GANNIBAL} (serial 03) is revoked already"),
        ("nobody.example.net", "there is no certificate with the name or serial 'nobody.example.net'"),
        ("7F", "there is no certificate with the name or serial '7F'"),
        ("00", "the CA does not revoke itself"),
        (re.split(r"CN ?= ?", authority)[1].strip(), "the CA does not revoke itself"),
        ("database-ca.cert.pem", "the CA does not revoke itself"),
        (str(foreign), f"{foreign} is not a certificate of this CA"),
        ("certs/nobody.cert.pem", "there is no certificate 'certs/nobody.cert.pem'"),
        ("certreqs/" + AIKEN + ".req.pem", f"{fleet}/certreqs/{AIKEN}.req.pem is no certificate that can be read: "),
    ):
        assert refusal(tool("revoke", what, "--yes", directory=fleet, environment=environment)).startswith(why)
    assert tool("revoke", AIKEN, "--reason", "CACompromise", directory=fleet, environment=environment).code == 2
    assert snapshot(fleet) == before


def test_plain_openssl_would_have_let_the_foreign_one_take_ours_along(
    fleet: Path, environment: dict[str, str], twin: Path
) -> None:
    """The reason for looking at what is in `newcerts/`."""
    openssl(
        *("ca", "-revoke", twin / f"certs/{AIKEN}.cert.pem"),
        *("-passin", f"file:{environment['DBCA_PASSPHRASE_FILE']}"),
        directory=fleet,
        environment={"OPENSSL_CONF": "./database-ca.cnf"},
    )
    assert [row[3] for row in index_rows(fleet) if row[0] == "R"] == ["01"]


def test_a_copy_that_was_swapped_is_refused(fleet: Path, environment: dict[str, str], twin: Path) -> None:
    shutil.copy(twin / "newcerts/01.pem", fleet / "newcerts/01.pem")
    before = snapshot(fleet, without=(".lock",))
    for what in (AIKEN, "01"):
        assert refusal(tool("revoke", what, "--yes", directory=fleet, environment=environment)) == (
            f"{fleet}/newcerts/01.pem is not a certificate of this CA with that serial"
        )
    assert snapshot(fleet, without=(".lock",)) == before


def test_the_certificate_before_a_renewed_authority_is_not_revoked(fleet: Path, environment: dict[str, str]) -> None:
    done("init", "--renew", directory=fleet, environment=environment)
    before = snapshot(fleet)
    assert [row[3] for row in index_rows(fleet)] == ["00", "01", "02", "03", "04"]
    for serial in ("00", "04"):
        assert refusal(tool("revoke", serial, "--yes", directory=fleet, environment=environment)) == (
            "the CA does not revoke itself"
        )
    assert snapshot(fleet) == before


def test_same_bytes_as_plain_openssl(fleet: Path, environment: dict[str, str], tmp_path: Path) -> None:
    plain = Path(shutil.copytree(fleet, tmp_path / "plain" / "database-ca"))
    phrase = environment["DBCA_PASSPHRASE_FILE"]
    typed = shell(
        f"""set -eu
        export OPENSSL_CONF=./database-ca.cnf
        faketime -f '{CLOCK}' openssl ca -revoke newcerts/01.pem -crl_reason keyCompromise -passin file:{phrase}
        faketime -f '{CLOCK}' openssl ca -gencrl -out crl/database-ca.crl -passin file:{phrase}
        """,
        plain,
        {"TZ": "UTC"},
    )
    assert typed.code == 0, typed.messages
    ran = frozen_tool(
        *(CLOCK, "revoke", AIKEN, "--reason", "keyCompromise", "--yes", "--ca", fleet),
        directory=tmp_path,
        environment=environment,
    )
    assert ran.code == 0, ran.messages
    assert contents(fleet) == contents(plain)


def test_the_printed_script_gives_the_same_tree(fleet: Path, environment: dict[str, str], tmp_path: Path) -> None:
    scripted = Path(shutil.copytree(fleet, tmp_path / "scripted" / "database-ca"))
    for options in (("--reason", "superseded"), ("--no-crl",)):
        name = AIKEN if "--no-crl" in options else MARGARET
        arguments = ("revoke", name, *options, "--ca", scripted)
        printed = done(*arguments, "--print", directory=tmp_path, environment=environment).output
        assert PASSPHRASE_OPTION in printed
        ran = run("faketime", "-f", CLOCK, "sh", directory=tmp_path, environment={"TZ": "UTC"}, stdin=printed)
        assert ran.code == 0, ran.messages
        made = frozen_tool(CLOCK, "revoke", name, *options, "--yes", directory=fleet, environment=environment)
        assert made.code == 0, made.messages
        (fleet / "frozen-openssl").unlink()
        assert contents(fleet) == contents(scripted)


PASSPHRASE_OPTION = "-passin file:"


def certtool(ca: Path, name: str, at: datetime | None = None) -> str:
    """GnuTLS's judgement of a certificate: its last line that says more than names."""
    loaded = ("--load-ca-certificate", "database-ca.cert.pem", "--load-crl", "crl/database-ca.crl")
    clock = ("faketime", "-f", f"{at:%Y-%m-%d %H:%M:%S}") if at else ()
    finished = run(
        *(*clock, "certtool", "--verify", *loaded, "--infile", f"certs/{name}.cert.pem"),
        directory=ca,
        environment={"TZ": "UTC"},
    )
    verdict = finished.output.rpartition("Chain verification output:")[2]
    assert (finished.code == 0) == ("Verified. The certificate is trusted." in verdict), finished.messages
    return verdict


def test_gnutls_and_openssl_agree_on_valid_revoked_and_expired(fleet: Path, environment: dict[str, str]) -> None:
    assert "The certificate is trusted" in certtool(fleet, AIKEN)
    done("revoke", AIKEN, "--reason", "keyCompromise", "--yes", directory=fleet, environment=environment)
    assert "The certificate chain is revoked" in certtool(fleet, AIKEN)
    assert refusal(tool("verify", AIKEN, directory=fleet)) == (
        f"{fleet}/certs/{AIKEN}.cert.pem is not accepted: certificate revoked"
    )
    assert "The certificate is trusted" in certtool(fleet, MARGARET)
    done("verify", MARGARET, directory=fleet)
    later = datetime.now(UTC).replace(year=datetime.now(UTC).year + 2, day=1)
    clock = f"{later:%Y-%m-%d %H:%M:%S}"
    assert frozen_tool(clock, "crl", directory=fleet, environment=environment).code == 0
    assert "expired certificate" in certtool(fleet, MARGARET, later)
    assert refusal(frozen_tool(clock, "verify", MARGARET, directory=fleet)) == (
        f"{fleet}/certs/{MARGARET}.cert.pem is not accepted: certificate has expired"
    )


def test_what_somebody_else_did_meanwhile_is_not_revoked_unseen(fleet: Path, environment: dict[str, str]) -> None:
    """The rows that were shown are compared again under the lock."""
    from dbca_openssl.ca import revoke as revocation
    from dbca_openssl.ca.layout import Authority
    from dbca_openssl.errors import DatabaseCaError
    from dbca_openssl.passphrase import from_file

    authority = Authority(fleet).unlocked(from_file(Path(environment["DBCA_PASSPHRASE_FILE"])))
    rows = revocation.propose(authority, AIKEN)
    done("renew", AIKEN, "--yes", directory=fleet, environment=environment)
    before = snapshot(fleet)
    with pytest.raises(DatabaseCaError, match="another process changed the index meanwhile"):
        revocation.revoke(authority, rows, None, True)
    assert snapshot(fleet) == before
