"""`--json`: one document on stdout, of a known form, for every verb and every way to give the pass phrase."""

from __future__ import annotations

import json
import os
import re
import shutil
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from tools.support import HOSTS, ORGANIZATION, PASSPHRASE, done, on_a_terminal, plain_request, refusal, snapshot, tool

AIKEN = HOSTS[0]

Schema = dict[str, Any]

TEXT: Schema = {"type": "string", "minLength": 1}
COUNT: Schema = {"type": "integer", "minimum": 0}
NUMBER: Schema = {"type": "integer"}
SERIAL: Schema = {"type": "string", "pattern": "^([0-9A-F]{2})+$"}
TIME: Schema = {"type": "string", "pattern": r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$"}
STATUS: Schema = {"enum": ["valid", "expired", "revoked"]}
LEVEL: Schema = {"enum": ["OK", "WARNING", "CRITICAL", "UNKNOWN"]}


def record(**fields: Schema) -> Schema:
    """An object with exactly these fields."""
    return {"type": "object", "properties": fields, "required": list(fields), "additionalProperties": False}


def several(item: Schema) -> Schema:
    return {"type": "array", "items": item}


def maybe(value: Schema) -> Schema:
    return {"anyOf": [value, {"type": "null"}]}


CRL = record(path=TEXT, number=COUNT, last_update=TIME, next_update=TIME, left_out=COUNT)
SIGNED = several(record(name=TEXT, serial=SERIAL, certificate=TEXT, not_after=TIME))

SCHEMAS: dict[str, Schema] = {
    "error": record(error=TEXT, hints=several(TEXT)),
    "error --verbose": record(error=TEXT, hints=several(TEXT), openssl=TEXT),
    "--print": record(script={"type": "string", "pattern": "^#!/bin/sh\n"}),
    "--version": record(version=TEXT),
    "init": record(
        directory=TEXT,
        subject=record(organization=TEXT, common_name=TEXT),
        certificate=TEXT,
        serial=SERIAL,
        not_before=TIME,
        not_after=TIME,
        key=TEXT,
        crl=TEXT,
        crl_next_update=TIME,
    ),
    "init --renew": record(certificate=TEXT, serial=SERIAL, not_before=TIME, not_after=TIME),
    "sign": record(signed=SIGNED),
    "renew": record(renewed=SIGNED, crl=maybe(CRL)),
    "revoke": record(revoked=several(record(name=TEXT, serial=SERIAL, reason=maybe(TEXT))), crl=maybe(CRL)),
    "crl": record(crl=CRL),
    "list": record(
        certificates=several(
            record(
                name=TEXT,
                serial=SERIAL,
                status=STATUS,
                not_after=TIME,
                days_left=NUMBER,
                revoked_at=maybe(TIME),
                reason=maybe(TEXT),
                subject=TEXT,
            )
        )
    ),
    "show": record(
        name=TEXT,
        serial=SERIAL,
        status={"enum": [*STATUS["enum"], "not in the index"]},
        revoked_at=maybe(TIME),
        reason=maybe(TEXT),
        issuer=TEXT,
        key=record(type=TEXT, bits=maybe(COUNT)),
        key_usage=several(TEXT),
        extended_key_usage=several(TEXT),
        alternative_names=several({"type": "string", "pattern": "^(DNS|IP):"}),
        not_before=TIME,
        not_after=TIME,
        days_left=NUMBER,
        sha256={"type": "string", "pattern": "^[0-9A-F]{64}$"},
        path=TEXT,
    ),
    "verify": record(certificate=TEXT, accepted={"const": True}),
    "bare": record(
        directory=TEXT,
        common_name=TEXT,
        not_after=TIME,
        days_left=NUMBER,
        crl_next_update=maybe(TIME),
        crl_days_left=maybe(NUMBER),
        certificates=record(valid=COUNT, expired=COUNT, revoked=COUNT),
        ending_soon=several(TEXT),
        waiting=several(TEXT),
        last_backup=maybe(TIME),
        next=several(TEXT),
    ),
    "bare without an authority": record(directory={"type": "null"}, next=several(TEXT)),
    "check": record(status=LEVEL, findings=several(record(level=LEVEL, code=TEXT, text=TEXT, fix=TEXT))),
    "repair": record(repaired=several(TEXT), status=LEVEL, left=several(TEXT)),
    "report": record(report=TEXT, failed=several({"type": "object"})),
    "rollover": record(
        hosts=several({"type": "object"}), clients=several(TEXT), bundle=several(TEXT), sql=several(TEXT)
    ),
    "render": record(file=TEXT, text=TEXT),
    "guide": record(errata=several(record(number=COUNT, guide=TEXT, happens=TEXT, fix=TEXT))),
}  # fmt: skip


def validate(text: str, schema: str) -> Any:
    """The one document in a text, which has nothing else in it."""
    document = json.loads(text)
    jsonschema.validate(document, SCHEMAS[schema])
    return document


def test_one_document_for_everything_that_looks(fleet: Path, environment: dict[str, str], tmp_path: Path) -> None:
    done("revoke", AIKEN, "--reason", "superseded", "--yes", directory=fleet, environment=environment)
    (fleet / "database-ca.serial").write_text("4\n")
    for schema, arguments, code in (
        ("bare", (), 0),
        ("--version", ("--version",), 0),
        ("list", ("list",), 0),
        ("list", ("list", "--expired"), 0),
        ("show", ("show", AIKEN), 0),
        ("show", ("show", "02"), 0),
        ("verify", ("verify", HOSTS[1]), 0),
        ("check", ("check",), 2),
        ("repair", ("repair", "--yes"), 0),
        ("repair", ("repair",), 0),
        ("check", ("check",), 0),
        ("report", ("report", "-o", tmp_path / "page.html"), 0),
        ("render", ("render", "database-ca.cnf"), 0),
        ("guide", ("guide",), 0),
        ("--print", ("crl", "--print"), 0),
        ("--print", ("revoke", "02", "--print"), 0),
        ("--print", ("renew", HOSTS[2], "--print"), 0),
        ("--print", ("init", "-o", "x", "--ca", tmp_path / "x", "--print"), 0),
        ("sign", ("sign", "--all"), 0),
        ("renew", ("renew", "--expiring", "1"), 0),
    ):
        finished = tool(*arguments, "--json", directory=fleet)
        assert (arguments, finished.code) == (arguments, code), finished.output
        validate(finished.output, schema)
    assert done("check", "--json", directory=fleet).document == {"status": "OK", "findings": []}


def test_rollover_has_one_too(fleet: Path, keys: Path, tmp_path: Path) -> None:
    made = done(
        *("init", "-o", ORGANIZATION, "--common-name", "second", "--key", keys / "host.key.pem", "--no-passphrase"),
        *("--ca", tmp_path / "second", "--json"),
        directory=tmp_path,
    )
    validate(made.output, "init")
    moving = done("rollover", fleet, "--ca", tmp_path / "second", "-o", "both", "--json", directory=tmp_path)
    assert len(validate(moving.output, "rollover")["bundle"]) == 2


def test_errors_are_documents_too(fleet: Path, tmp_path: Path, keys: Path) -> None:
    wrong = tmp_path / "wrong"
    wrong.write_text("not the phrase\n")
    wrong.chmod(0o600)
    plain_request(fleet, "new.example.net", keys / "host.key.pem")
    before = snapshot(fleet, without=(".lock",))
    for arguments, code in (
        (("list", "--ca", tmp_path / "none"), 1),
        (("sign", "nobody"), 1),
        (("sign", "new.example.net", "--yes", "--passphrase-file", wrong), 1),
        (("crl", "--passphrase-file", wrong), 1),
        (("crl",), 1),
        (("revoke", "nobody", "--yes"), 1),
        (("renew", "nobody", "--yes"), 1),
        (("show", "nobody"), 1),
        (("verify", "nobody"), 1),
        (("init", "-o", "x", "--ca", fleet), 1),
        (("init", "--renew", "--passphrase-file", wrong), 1),
        (("report", "-o", fleet / "database-ca.cnf"), 1),
        (("rollover", fleet), 1),
        (("repair", "--ca", tmp_path / "none"), 1),
        (("check", "--ca", tmp_path / "none"), 3),
        (("check", "--no-such-option"), 3),
        (("sign",), 2),
        (("no-such-verb",), 2),
        (("crl", "--days", "many"), 2),
    ):
        finished = tool(*arguments, "--json", directory=fleet)
        assert (arguments, finished.code) == (arguments, code), finished.output
        validate(finished.output, "error")
    assert snapshot(fleet, without=(".lock",)) == before
    finished = tool("crl", "--passphrase-file", wrong, "--json", "--verbose", directory=fleet)
    validate(finished.output, "error --verbose")
    validate(done("--json", directory=keys).output, "bare without an authority")


VERBS = {
    "init": ("init", "-o", ORGANIZATION, "--ca", "another"),
    "sign": ("sign", "new.example.net", "--yes"),
    "crl": ("crl",),
    "revoke": ("revoke", AIKEN, "--reason", "superseded", "--yes"),
    "renew": ("renew", HOSTS[1], "--yes"),
    "init --renew": ("init", "--renew"),
}
SOURCES = ("file", "descriptor", "environment", "prompt", "none")


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_takes_the_passphrase_from_everywhere(fleet: Path, keys: Path, verb: str, source: str) -> None:
    """From a file, an open descriptor, the environment's file or a prompt; or the key has none."""
    arguments: list[str | Path] = [*VERBS[verb], "--json"]
    plain_request(fleet, "new.example.net", keys / "host.key.pem")
    key = "plain-ca.key.pem" if source == "none" else "ca.key.pem"
    shutil.copy(keys / key, fleet / "private/database-ca.key.pem")
    if verb == "init":
        arguments += ["--key", keys / key, *(["--no-passphrase"] if source == "none" else [])]
    if source == "prompt":
        code, shown = on_a_terminal(*arguments, directory=fleet, answers=[PASSPHRASE])
        assert code == 0, shown
        assert len(re.findall("Pass phrase of the CA key: ", shown)) == 1
        assert PASSPHRASE not in shown
        validate(shown[shown.index("\n{") :], verb)
        return
    if source == "file":
        finished = tool(*arguments, "--passphrase-file", keys / "phrase", directory=fleet)
    elif source == "environment":
        finished = tool(*arguments, directory=fleet, environment={"DBCA_PASSPHRASE_FILE": str(keys / "phrase")})
    elif source == "descriptor":
        reading, writing = os.pipe()
        os.write(writing, f"{PASSPHRASE}\n".encode())
        os.close(writing)
        finished = tool(*arguments, "--passphrase-fd", str(reading), directory=fleet, pass_fds=(reading,))
        os.close(reading)
    else:
        finished = tool(*arguments, directory=fleet)
    assert finished.code == 0, finished.output + finished.messages
    validate(finished.output, verb)


def test_without_passphrase_and_terminal_nothing_happens(fleet: Path, keys: Path) -> None:
    plain_request(fleet, "new.example.net", keys / "host.key.pem")
    before = snapshot(fleet)
    for verb, arguments in VERBS.items():
        more = ("--key", keys / "ca.key.pem") if verb == "init" else ()
        refused = tool(*arguments, *more, directory=fleet)
        assert refusal(refused) == "the key needs its pass phrase, and there is no terminal to ask at"
        assert "hint: --passphrase-file FILE, --passphrase-fd N or DBCA_PASSPHRASE_FILE gives it" in refused.messages
    assert snapshot(fleet) == before
