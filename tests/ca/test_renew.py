"""`renew`, on real openssl."""

from __future__ import annotations

import re
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tools.support import (
    BARE,
    HOSTS,
    MakeRequest,
    contents,
    done,
    frozen_tool,
    index_rows,
    openssl,
    refusal,
    run,
    snapshot,
    tool,
)

AIKEN, MARGARET, GANNIBAL = HOSTS


def later(days: int) -> str:
    """A clock that stands still some days from now."""
    return f"{datetime.now(UTC) + timedelta(days=days):%Y-%m-%d} 12:00:00"


def public_key(ca: Path, file: str) -> str:
    kind = "req" if file.startswith("certreqs/") else "x509"
    return openssl(kind, "-in", file, "-noout", "-pubkey", directory=ca)


def states(ca: Path) -> dict[str, str]:
    return {row[3]: row[0] for row in index_rows(ca)[1:]}


def new_request(ca: Path, name: str) -> None:
    """A request with a key of its own, in place of the stored one."""
    openssl(
        *("req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", "/dev/null"),
        *("-subj", f"/CN={name}", "-out", ca / f"certreqs/{name}.req.pem"),
        directory=ca,
        environment={"OPENSSL_CONF": str(BARE)},
    )


def test_keeps_the_key_and_supersedes(fleet: Path, environment: dict[str, str]) -> None:
    before = public_key(fleet, f"certs/{AIKEN}.cert.pem")
    renewed = done("renew", AIKEN, "--yes", "--json", directory=fleet, environment=environment)
    assert [(one["name"], one["serial"]) for one in renewed.document["renewed"]] == [(AIKEN, "04")]
    assert "its key   as before" in renewed.messages
    assert public_key(fleet, f"certs/{AIKEN}.cert.pem") == before
    assert (fleet / f"certs/{AIKEN}.cert.pem").read_bytes() == (fleet / "newcerts/04.pem").read_bytes()
    assert states(fleet) == {"01": "R", "02": "V", "03": "V", "04": "V"}
    assert index_rows(fleet)[1][2].endswith(",superseded")
    text = openssl("crl", "-in", "crl/database-ca.crl", "-noout", "-text", directory=fleet)
    assert re.findall(r"Serial Number: (\w+)", text) == ["01"]
    assert "Superseded" in text
    done("verify", AIKEN, "--host", AIKEN, directory=fleet)
    assert "certificate revoked" in refusal(tool("verify", "newcerts/01.pem", directory=fleet))


def test_says_in_which_order_to_deliver(fleet: Path, environment: dict[str, str]) -> None:
    """A list that a server reads before the new certificates are there locks their hosts out."""
    said = done("renew", AIKEN, MARGARET, "--yes", directory=fleet, environment=environment).output
    places = [
        said.index(f"  dbca-openssl deploy {AIKEN} {MARGARET}\n"),
        said.index("and when all of them are in place"),
    ]
    assert places == sorted(places)
    assert "FLUSH SSL" not in said[: places[1]]
    assert "FLUSH SSL" in said[places[1] :]
    said = done("renew", AIKEN, "--no-crl", "--yes", directory=fleet, environment=environment).output
    assert said.splitlines()[-2:] == [
        "and when all of them are in place, make a new CRL:",
        "  dbca-openssl crl",
    ]


def test_what_is_about_to_end(fleet: Path, environment: dict[str, str]) -> None:
    """`--expiring` takes those that end within the days, and what has ended; not what was revoked."""
    done("renew", GANNIBAL, "--days", "30", "--yes", directory=fleet, environment=environment)
    done("revoke", MARGARET, "--yes", directory=fleet, environment=environment)
    command = ("renew", "--expiring", "30", "--yes", "--json", "--print")
    assert "no certificate expires within 5 days" in done("renew", "--expiring", "5", directory=fleet).output
    assert done("renew", "--expiring", "5", "--json", directory=fleet).document == {"renewed": [], "crl": None}
    printed = done(*command, directory=fleet).document["script"]
    assert GANNIBAL in printed
    assert AIKEN not in printed
    assert tool("renew", directory=fleet).code == tool("renew", AIKEN, "--expiring", "3", directory=fleet).code == 2


def test_a_year_on_it_marks_what_has_ended_first(fleet: Path, environment: dict[str, str], tmp_path: Path) -> None:
    clock = later(369)
    assert [
        row["status"]
        for row in frozen_tool(clock, "list", "--json", "--ca", fleet, directory=tmp_path).document["certificates"]
    ] == ["expired"] * 3
    refused = frozen_tool(clock, "sign", AIKEN, "--yes", "--ca", fleet, directory=tmp_path, environment=environment)
    assert refusal(refused).startswith(f"the certificate of {AIKEN} expired on ")
    assert f"hint: dbca-openssl renew {AIKEN} marks it as expired" in refused.messages
    renewed = frozen_tool(
        *(clock, "renew", AIKEN, "--yes", "--json", "--ca", fleet), directory=tmp_path, environment=environment
    )
    assert renewed.code == 0, renewed.messages
    assert states(fleet) == {"01": "E", "02": "E", "03": "E", "04": "V"}
    verified = frozen_tool(clock, "verify", AIKEN, "--ca", fleet, directory=tmp_path)
    assert verified.code == 0, verified.messages
    rest = frozen_tool(
        *(clock, "renew", "--expiring", "30", "--yes", "--json", "--ca", fleet),
        directory=tmp_path,
        environment=environment,
    )
    assert [one["name"] for one in rest.document["renewed"]] == [MARGARET, GANNIBAL]
    assert states(fleet) == {"01": "E", "02": "E", "03": "E", "04": "V", "05": "V", "06": "V"}


def test_names_that_it_had_before_need_no_new_consent(
    ca: Path, environment: dict[str, str], make_request: MakeRequest
) -> None:
    make_request(AIKEN, "db.example.net", "192.0.2.7", to=ca / "certreqs")
    before = snapshot(ca)
    refused = tool("sign", AIKEN, "--yes", directory=ca, environment=environment)
    assert refusal(refused) == f"the request of {AIKEN} asks for the name db.example.net too, which nobody has allowed"
    assert snapshot(ca) == before
    allowed = ("--allow-alt-name", "db.example.net", "--allow-alt-name", "192.0.2.7")
    done("sign", AIKEN, *allowed, "--yes", directory=ca, environment=environment)
    done("renew", AIKEN, "--yes", directory=ca, environment=environment)
    done("verify", AIKEN, "--host", "192.0.2.7", directory=ca)
    make_request(AIKEN, "db.example.net", "evil.example.net", to=ca / "certreqs")
    before = snapshot(ca)
    refused = tool("renew", AIKEN, "--yes", directory=ca, environment=environment)
    assert refusal(refused).startswith(f"the request of {AIKEN} asks for the name evil.example.net too")
    assert snapshot(ca) == before
    renewed = done(
        "renew", AIKEN, "--allow-alt-name", "evil.example.net", "--yes", directory=ca, environment=environment
    )
    assert "  loses     192.0.2.7\n" in renewed.messages
    done("verify", AIKEN, "--host", "evil.example.net", directory=ca)


def test_a_new_key_is_said(fleet: Path, environment: dict[str, str]) -> None:
    new_request(fleet, AIKEN)
    old = public_key(fleet, "newcerts/01.pem")
    renewed = done("renew", AIKEN, "--yes", directory=fleet, environment=environment)
    assert "its key   a NEW key" in renewed.messages
    assert public_key(fleet, f"certs/{AIKEN}.cert.pem") == public_key(fleet, f"certreqs/{AIKEN}.req.pem") != old


@pytest.mark.parametrize("how", ["revoke", "-crl_compromise"])
def test_a_compromised_key_is_never_signed_again(
    fleet: Path, environment: dict[str, str], make_request: MakeRequest, how: str
) -> None:
    """Whoever marked it: openssl has an option of its own, which writes another word into the index."""
    if how == "revoke":
        done("revoke", AIKEN, "--reason", "keyCompromise", "--yes", directory=fleet, environment=environment)
    else:
        openssl(
            *("ca", "-revoke", "newcerts/01.pem", "-crl_compromise", "20260101000000Z"),
            *("-passin", f"file:{environment['DBCA_PASSPHRASE_FILE']}"),
            directory=fleet,
            environment={"OPENSSL_CONF": "./database-ca.cnf"},
        )
    assert tool("show", "01", "--json", directory=fleet).document["reason"] == "keyCompromise"
    make_request("other.example.net", to=fleet / "certreqs")
    before = snapshot(fleet)
    for verb, name in (("renew", AIKEN), ("sign", AIKEN), ("sign", "other.example.net"), ("renew", MARGARET)):
        refused = tool(verb, name, "--yes", directory=fleet, environment=environment)
        assert refusal(refused) == f"the request of {name} has a key that was revoked as compromised"
    assert snapshot(fleet) == before
    new_request(fleet, AIKEN)
    done("renew", AIKEN, "--yes", directory=fleet, environment=environment)


def test_several_at_once_are_all_or_nothing(
    fleet: Path, environment: dict[str, str], make_request: MakeRequest
) -> None:
    make_request("new.example.net", to=fleet / "certreqs")
    before = snapshot(fleet)
    refused = tool("renew", AIKEN, "new.example.net", "--yes", directory=fleet, environment=environment)
    assert refusal(refused) == "new.example.net never had a certificate"
    (fleet / f"certreqs/{MARGARET}.req.pem").write_text("not a request\n")
    with_garbage = snapshot(fleet)
    refused = tool("renew", *HOSTS, "--yes", directory=fleet, environment=environment)
    assert MARGARET in refusal(refused)
    assert snapshot(fleet) == with_garbage
    (fleet / f"certreqs/{MARGARET}.req.pem").unlink()
    refused = tool("renew", *HOSTS, "--yes", directory=fleet, environment=environment)
    assert refusal(refused).startswith(f"cannot read the request {fleet}/certreqs/{MARGARET}.req.pem")
    shutil.copy(fleet / f"certreqs/{GANNIBAL}.req.pem", fleet / f"certreqs/{MARGARET}.req.pem")
    refused = tool("renew", *HOSTS, "--yes", directory=fleet, environment=environment)
    assert refusal(refused) == f"certreqs/{MARGARET}.req.pem asks for the name {GANNIBAL}, not {MARGARET}"
    make_request(MARGARET, to=fleet / "certreqs")
    assert snapshot(fleet) == before
    done("renew", *HOSTS, "--yes", directory=fleet, environment=environment)
    assert states(fleet) == dict(zip(("01", "02", "03", "04", "05", "06"), "RRRVVV", strict=True))


def test_after_a_revocation_it_is_a_new_certificate(fleet: Path, environment: dict[str, str]) -> None:
    done("revoke", AIKEN, "--yes", directory=fleet, environment=environment)
    renewed = done("renew", AIKEN, "--yes", directory=fleet, environment=environment)
    assert "replaces  none that is valid" in renewed.messages
    assert states(fleet) == {"01": "R", "02": "V", "03": "V", "04": "V"}


@pytest.mark.parametrize("days", [10, 400])
def test_the_printed_script_gives_the_same_tree(
    fleet: Path, environment: dict[str, str], tmp_path: Path, days: int
) -> None:
    """While it is valid, and when it and others have ended."""
    clock = later(days)
    scripted = Path(shutil.copytree(fleet, tmp_path / "scripted" / "database-ca"))
    printed = frozen_tool(
        *(clock, "renew", AIKEN, "--print", "--ca", scripted), directory=tmp_path, environment=environment
    )
    assert printed.code == 0, printed.messages
    ran = run("faketime", "-f", clock, "sh", directory=tmp_path, environment={"TZ": "UTC"}, stdin=printed.output)
    assert ran.code == 0, ran.messages
    renewed = frozen_tool(*(clock, "renew", AIKEN, "--yes", "--ca", fleet), directory=tmp_path, environment=environment)
    assert renewed.code == 0, renewed.messages
    assert contents(fleet) == contents(scripted)
    assert states(fleet) == dict(zip(("01", "02", "03", "04"), "RVVV" if days == 10 else "EEEV", strict=True))
