"""`list`, `show` and the bare command."""

from __future__ import annotations

import hashlib
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tools.support import (
    HOSTS,
    MakeRequest,
    done,
    frozen_tool,
    index_rows,
    openssl,
    plain_request,
    refusal,
    snapshot,
    tool,
)

AIKEN, MARGARET, GANNIBAL = HOSTS
LONG = f"{'a' * 52}.example.net"


def names(ca: Path, *filters: str) -> list[str]:
    return [one["name"] for one in done("list", *filters, "--json", directory=ca).document["certificates"]]


@pytest.fixture
def mixed(fleet: Path, keys: Path, environment: dict[str, str]) -> Path:
    """aiken revoked, margaret renewed for 20 days, gannibal valid, and an old one that has ended."""
    done("revoke", AIKEN, "--reason", "cessationOfOperation", "--yes", directory=fleet, environment=environment)
    done("renew", MARGARET, "--days", "20", "--yes", directory=fleet, environment=environment)
    plain_request(fleet, "old", keys / "host.key.pem")
    openssl(
        *("ca", "-batch", "-in", "certreqs/old.req.pem", "-out", "certs/old.cert.pem", "-extensions", "cert_ext"),
        *("-startdate", "20200101000000Z", "-enddate", "20210101000000Z"),
        *("-passin", f"file:{environment['DBCA_PASSPHRASE_FILE']}"),
        directory=fleet,
        environment={"OPENSSL_CONF": "./database-ca.cnf"},
    )
    return fleet


def test_filters(mixed: Path) -> None:
    before = snapshot(mixed)
    assert names(mixed) == [AIKEN, MARGARET, GANNIBAL, MARGARET, "old"]
    assert names(mixed, "--valid") == [GANNIBAL, MARGARET]
    assert names(mixed, "--expired") == ["old"]
    assert names(mixed, "--revoked") == [AIKEN, MARGARET]
    assert names(mixed, "--expiring", "30") == [MARGARET]
    assert names(mixed, "--expiring", "19") == []
    assert names(mixed, "--expiring", "30", "--expired") == [MARGARET, "old"]
    assert names(mixed, "--valid", "--expired", "--revoked") == names(mixed)
    assert tool("list", "--expiring", "-1", directory=mixed).code == 2
    nothing = done("list", "--expiring", "1", directory=mixed)
    assert (nothing.output, nothing.messages) == ("", "dbca-openssl: no such certificate\n")
    assert snapshot(mixed) == before


def test_columns(mixed: Path, tmp_path: Path) -> None:
    clock = f"{datetime.now(UTC) + timedelta(hours=12):%Y-%m-%d %H:%M:%S}"  # or the days could differ by one
    heads, *rows = frozen_tool(clock, "list", "--ca", mixed, directory=tmp_path).output.splitlines()
    assert heads.split() == ["NAME", "SERIAL", "UNTIL", "DAYS", "STATUS"]
    expected = [
        [row[5].rpartition("/CN=")[2], row[3], f"20{row[1][:2]}-{row[1][2:4]}-{row[1][4:6]}"]
        for row in index_rows(mixed)[1:]
    ]
    assert [row.split()[:3] for row in rows] == expected
    assert [" ".join(row.split()[4:]) for row in rows] == [
        "revoked (cessationOfOperation)", "revoked (superseded)", "valid", "valid", "expired",
    ]  # fmt: skip
    assert [row.index(cells[1]) for row, cells in zip(rows, expected, strict=True)] == [heads.index("SERIAL")] * 5
    document = frozen_tool(clock, "list", "--json", "--ca", mixed, directory=tmp_path).document
    days = [one["days_left"] for one in document["certificates"]]
    assert [int(row.split()[3]) for row in rows] == days
    assert days[3] == 19
    assert days[4] < -2000


def test_json_has_all_that_the_index_has(mixed: Path) -> None:
    one = done("list", "--revoked", "--json", directory=mixed).document["certificates"][0]
    row = index_rows(mixed)[1]
    assert one["subject"] == row[5]
    assert one["revoked_at"].translate({ord(c): None for c in "-:T"})[2:] == row[2].split(",")[0]
    assert one["reason"] == "cessationOfOperation"


def test_a_long_name_is_not_cut(ca: Path, keys: Path, environment: dict[str, str]) -> None:
    assert len(LONG) == 64
    plain_request(ca, LONG, keys / "host.key.pem")
    done("sign", LONG, "--yes", directory=ca, environment=environment)
    heads, row = done("list", directory=ca).output.splitlines()
    assert row.startswith(f"{LONG}  01  ")
    assert heads.index("SERIAL") == 66


def test_show_by_name_serial_and_file(mixed: Path, tmp_path: Path) -> None:
    def shown(what: str) -> tuple[str, str, str]:
        found = done("show", what, "--json", directory=mixed).document
        return found["name"], found["serial"], found["status"]

    assert shown(MARGARET) == (MARGARET, "04", "valid")
    for what in ("02", "2", "newcerts/02.pem"):
        assert shown(what) == (MARGARET, "02", "revoked")
    (mixed / f"certs/{AIKEN}.cert.pem").unlink()
    assert shown(AIKEN) == (AIKEN, "01", "revoked")
    assert shown("database-ca.cert.pem")[1:] == ("00", "valid")
    text = done("show", "01", directory=mixed).output
    assert text.startswith(f"{AIKEN}\n  serial    01\n  status    revoked on 20")
    assert "Z, cessationOfOperation\n" in text
    der = openssl("x509", "-in", "newcerts/01.pem", "-outform", "DER", "-out", tmp_path / "der", directory=mixed)
    assert der == ""
    assert hashlib.sha256((tmp_path / "der").read_bytes()).hexdigest().upper() in text
    for what in ("nobody", "7F", "certs/nobody.cert.pem"):
        assert refusal(tool("show", what, directory=mixed)).startswith("there is no certificate ")


def test_show_says_who_issued_what_for_which_key(ca: Path, tmp_path: Path, environment: dict[str, str]) -> None:
    """As openssl has it in its own words; the same for the CA's own certificate and for one of another kind."""
    algorithms: dict[str, tuple[str, int | None, tuple[str, ...]]] = {
        "rsa": ("RSA", 3072, ("rsa:3072",)),
        "ec": ("EC P-384", 384, ("ec", "-pkeyopt", "ec_paramgen_curve:P-384")),
        "ed": ("Ed25519", None, ("ed25519",)),
    }
    for name, (kind, bits, algorithm) in algorithms.items():
        openssl(
            *("req", "-new", "-newkey", *algorithm, "-nodes", "-keyout", f"{tmp_path}/key", "-subj", f"/CN={name}"),
            *("-out", ca / f"certreqs/{name}.req.pem"),
            directory=ca,
        )
        done("sign", name, "--yes", directory=ca, environment=environment)
        shown = done("show", name, "--json", directory=ca).document
        assert shown["key"] == {"type": kind, "bits": bits}
        assert shown["key_usage"] == ["digitalSignature", "keyEncipherment"]
        assert shown["extended_key_usage"] == ["serverAuth", "clientAuth"]
        options = ("-noout", "-issuer", "-nameopt", "sep_comma_plus_space,utf8,sname")
        issuer = openssl("x509", *options, "-in", shown["path"], directory=ca)
        assert issuer == f"issuer={shown['issuer']}\n"
    text = done("show", "rsa", directory=ca).output
    assert "\n  issuer    O=example.net, CN=example.net Database Clients and Servers Certification Authority\n" in text
    assert "\n  key       RSA 3072 bits\n" in text
    assert "\n  usages    digitalSignature, keyEncipherment, serverAuth, clientAuth\n" in text
    own = done("show", "database-ca.cert.pem", "--json", directory=ca).document
    assert (own["key_usage"], own["extended_key_usage"]) == (["keyCertSign", "cRLSign"], [])
    odd = ("-addext", "keyUsage=encipherOnly,decipherOnly", "-addext", "extendedKeyUsage=codeSigning,1.2.3.4")
    made = (
        "req",
        "-x509",
        "-newkey",
        "rsa-pss",
        "-nodes",
        "-keyout",
        tmp_path / "key",
        "-subj",
        "/CN=x/serialNumber=7",
    )
    openssl(*made, *odd, "-out", tmp_path / "odd.pem", directory=tmp_path)
    other = done("show", tmp_path / "odd.pem", "--json", directory=ca).document
    assert other["key"] == {"type": "another kind", "bits": None}
    assert other["key_usage"] == ["encipherOnly", "decipherOnly"]
    assert other["extended_key_usage"] == ["codeSigning", "1.2.3.4"]
    assert other["issuer"] == "CN=x, 2.5.4.5=7"


@pytest.mark.parametrize("date", ["270230000000Z", "20270229000000Z", "00000101000000Z", "21000229000000Z"])
def test_a_date_that_no_calendar_has_is_refused_in_one_line(
    fleet: Path, environment: dict[str, str], date: str
) -> None:
    """openssl refuses most of them too: "invalid expiry date"."""
    index = fleet / "database-ca.index"
    valid = index_rows(fleet)[2][1]
    index.write_text(index.read_text().replace(valid, date))
    before = snapshot(fleet, without=(".lock",))
    for command in (
        ("list",),
        ("show", AIKEN),
        (),
        ("renew", "--expiring", "30", "--yes"),
        ("report", "-o", "r.html"),
        ("crl",),
    ):
        refused = tool(*command, directory=fleet, environment=environment)
        assert refusal(refused).endswith(f" it has the date {date[:-7]}, which no calendar has")
    assert snapshot(fleet, without=(".lock",)) == before


@pytest.mark.parametrize("date", ["99991231235959Z", "00010101000000Z"])
def test_the_first_and_the_last_date_are_dates(fleet: Path, date: str) -> None:
    """RFC 5280, 4.1.2.5: a certificate that never expires has the date 99991231235959Z."""
    index = fleet / "database-ca.index"
    index.write_text(index.read_text().replace(index_rows(fleet)[2][1], date))
    status = "valid" if date > "2" else "expired"
    listed = done("list", "--json", directory=fleet).document["certificates"]
    assert [one["status"] for one in listed if one["name"] == MARGARET] == [status]
    assert tool("check", directory=fleet).code in (1, 2)
    done("report", "-o", "report.html", directory=fleet)
    assert MARGARET in (fleet / "report.html").read_text()
    done("--json", directory=fleet)


@pytest.mark.parametrize("days", ["999999999", "99999999999999999999"])
def test_more_days_than_the_calendar_has(fleet: Path, environment: dict[str, str], days: str) -> None:
    assert names(fleet, "--expiring", days) == list(HOSTS)
    assert tool("check", "--warn-days", days, directory=fleet).code == 1
    done("renew", "--expiring", days, "--yes", directory=fleet, environment=environment)


def test_another_spelling_of_a_name_is_pointed_out(fleet: Path, environment: dict[str, str]) -> None:
    before = snapshot(fleet, without=(".lock",))
    for command in (("show", AIKEN.upper()), ("revoke", AIKEN.upper(), "--yes"), ("show", f"{AIKEN}.")):
        refused = tool(*command, directory=fleet, environment=environment)
        assert refusal(refused) == f"there is no certificate with the name or serial '{command[1]}'"
        assert f"hint: there is {AIKEN}: capital and small letters count here\n" in refused.messages
    assert snapshot(fleet, without=(".lock",)) == before


def test_show_names(ca: Path, environment: dict[str, str], make_request: MakeRequest) -> None:
    make_request(AIKEN, "192.0.2.7", to=ca / "certreqs")
    done("sign", AIKEN, "--allow-alt-name", "192.0.2.7", "--yes", directory=ca, environment=environment)
    document = done("show", AIKEN, "--json", directory=ca).document
    assert document["alternative_names"] == [f"DNS:{AIKEN}", "IP:192.0.2.7"]


def next_steps(directory: Path, days: int = 0) -> list[str]:
    clock = f"{datetime.now(UTC) + timedelta(days=days):%Y-%m-%d %H:%M:%S}"
    finished = frozen_tool(clock, "--json", directory=directory) if days else tool("--json", directory=directory)
    assert finished.code == 0, finished.output
    following: list[str] = finished.document["next"]
    return following


def test_the_bare_command_says_what_is_next(ca: Path, keys: Path, environment: dict[str, str], tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    assert next_steps(empty) == ["dbca-openssl init --organization NAME"]
    assert "no CA here yet" in done(directory=empty).output
    first = next_steps(ca)
    assert [line.split()[1] for line in first] == ["backup", "enroll", "request", "sign"]
    for name in ("one", "two"):
        plain_request(ca, name, keys / "host.key.pem")
    assert next_steps(ca) == ["dbca-openssl sign one", "dbca-openssl sign two"]
    for name in ("three", "four", "five", "six"):
        plain_request(ca, name, keys / "host.key.pem")
    assert next_steps(ca) == ["dbca-openssl sign --all"]
    assert "waiting   five, four, one, six, three and 1 more" in done(directory=ca).output
    done("sign", "--all", "--yes", directory=ca, environment=environment)
    assert next_steps(ca) == ["dbca-openssl list"]
    assert "signed    6 valid, 0 expired, 0 revoked" in done(directory=ca).output
    deploy = "dbca-openssl deploy HOST"
    assert next_steps(ca, 50) == ["dbca-openssl crl", deploy]
    assert next_steps(ca, 345) == ["dbca-openssl crl", "dbca-openssl renew --expiring 30", deploy]
    assert "dbca-openssl init --renew" in next_steps(ca, 5 * 365 - 10)
    (ca / "crl/database-ca.crl").write_text("")
    (ca / "database-ca.hosts").write_text("[databases]\none\n")
    assert next_steps(ca) == ["dbca-openssl crl", "dbca-openssl rotate --all"]
    assert "CRL       none" in done(directory=ca).output


def test_what_is_due_on_hosts_of_the_list_is_one_command(fleet: Path, environment: dict[str, str]) -> None:
    (fleet / "database-ca.hosts").write_text(f"[databases]\n{AIKEN}\n{GANNIBAL}\n[clients]\n{MARGARET}\n")
    assert next_steps(fleet) == ["dbca-openssl list"]
    assert next_steps(fleet, 50) == ["dbca-openssl rotate --all"]
    assert next_steps(fleet, 345) == [
        f"dbca-openssl renew {MARGARET} --no-crl",
        f"dbca-openssl deploy --local {MARGARET}",
        "dbca-openssl rotate --all",
    ]
    done("renew", AIKEN, "--no-crl", "--yes", directory=fleet, environment=environment)
    assert next_steps(fleet) == ["dbca-openssl rotate --all"]
    elsewhere = done("--json", "--ca", fleet, directory=fleet.parent.parent).document
    assert elsewhere["next"] == [f"dbca-openssl rotate --all --ca {fleet}"]


def test_the_bare_command_knows_what_check_knows(fleet: Path, environment: dict[str, str]) -> None:
    assert next_steps(fleet, 400) == [
        "dbca-openssl crl",
        "dbca-openssl renew --expiring 30",
        "dbca-openssl deploy HOST",
    ]
    key = fleet / "private/database-ca.key.pem"
    key.rename(fleet / "elsewhere")
    assert next_steps(fleet) == ["dbca-openssl check  # there is no private/database-ca.key.pem, or it is empty"]
    (fleet / "elsewhere").rename(key)
    (fleet / "database-ca.crlnum").unlink()
    assert next_steps(fleet) == ["dbca-openssl repair"]
    (fleet / "database-ca.crlnum").write_text("01\n")
    done("renew", MARGARET, "--no-crl", "--yes", directory=fleet, environment=environment)
    rotating = [
        "dbca-openssl deploy HOST...  # the new certificates, before the CRL",
        "dbca-openssl crl",
        "dbca-openssl deploy HOST...  # the CRL",
    ]
    assert next_steps(fleet) == rotating
    done("revoke", AIKEN, "--no-crl", "--yes", directory=fleet, environment=environment)
    assert next_steps(fleet) == rotating
    done("crl", directory=fleet, environment=environment)
    assert next_steps(fleet) == ["dbca-openssl list"]
    done("revoke", MARGARET, "--no-crl", "--yes", directory=fleet, environment=environment)
    assert next_steps(fleet) == ["dbca-openssl crl", "dbca-openssl deploy HOST"]
    for path in fleet.glob("database-ca.index*"):
        path.unlink()
    assert "hint: dbca-openssl check says what is wrong, dbca-openssl repair fixes it" in tool(directory=fleet).messages


def test_a_hundred_thousand_rows(ca: Path) -> None:
    """Rows as openssl writes them, of which a third each is valid, has ended, is revoked."""
    count = 99_999
    end, past = (f"{datetime.now(UTC) + timedelta(days=days):%y%m%d%H%M%SZ}" for days in (100, -100))
    with (ca / "database-ca.index").open("a") as file:
        for number in range(1, count + 1):
            digits = f"{number:X}"
            serial = digits if len(digits) % 2 == 0 else f"0{digits}"
            state = (f"V\t{end}\t", f"V\t{past}\t", f"R\t{end}\t{past},superseded")[number % 3]
            file.write(f"{state}\t{serial}\tunknown\t/CN=host{number}.example.net\n")
    (ca / "database-ca.serial").write_text("0186A0\n")
    listed = done("list", directory=ca).output.splitlines()
    assert len(listed) == count + 1
    words = Counter(row.split()[4] for row in listed[1:])
    assert words == dict.fromkeys(("valid", "expired", "revoked"), count // 3)
    assert len(done("list", "--expiring", "100", "--expired", directory=ca).output.splitlines()) == 1 + 2 * count // 3
    assert done("--json", directory=ca).document["certificates"] == dict.fromkeys(
        ("valid", "expired", "revoked"), count // 3
    )
    assert listed[-1].split()[:2] == ["host99999.example.net", "01869F"]
