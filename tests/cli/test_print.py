"""`--print`: a POSIX script that does the same with nothing but openssl, run here by dash."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from dbca_openssl import der, pem, x509
from dbca_openssl.ca import revoke as revocation
from dbca_openssl.ca.layout import Authority
from dbca_openssl.openssl import OpenSSL
from tools.recorder import Call, Recorder
from tools.support import HOSTS, ORGANIZATION, Finished, MakeRequest, done, run, snapshot

AIKEN, MARGARET, _ = HOSTS
OPENSSL = OpenSSL()
Words = tuple[str | Path, ...]

DERIVED_FROM_THE_KEY = {x509.SUBJECT_KEY_IDENTIFIER, "551D23"}
"""Subject and authority key identifier."""


def dash(script: str, directory: Path, environment: Mapping[str, str] | None = None) -> Finished:
    """Run a script, from a file as a user would, under dash."""
    file = directory / "printed.sh"
    file.write_text(script)
    finished = run("dash", file, directory=directory, environment=environment)
    file.unlink()
    return finished


def ran(script: str, directory: Path) -> None:
    """Run a script that must succeed."""
    finished = dash(script, directory)
    assert finished.code == 0, finished.messages


def modes(directory: Path) -> dict[str, str]:
    """Every path with its mode; apart from the tool's lock, and the random bytes that openssl puts into HOME."""
    return {name: mode for name, (mode, _) in snapshot(directory, without=(".lock", ".rnd")).items()}


def texts(directory: Path) -> dict[str, str]:
    """The files that hold no key and no signature; the time of day in the index is left out."""
    found = {}
    for path in sorted(directory.rglob("*")):
        if path.is_file() and path.name not in (".lock", ".rnd") and path.suffix not in (".pem", ".crl"):
            found[str(path.relative_to(directory))] = re.sub(r"\d{6}Z\t", "000000Z\t", path.read_text())
    return found


def meanings(directory: Path) -> dict[str, object]:
    """Subject, serial and extensions of every certificate and request; what is made of a new key is left out."""
    found: dict[str, object] = {}
    for path in sorted(directory.rglob("*.pem")):
        data = path.read_bytes()
        for label, encoded in pem.pem_blocks(data):
            name = str(path.relative_to(directory))
            if label == "CERTIFICATE":
                certificate = x509.certificate(encoded)
                period = (certificate.end - certificate.start).days
                found[name] = (certificate.serial, certificate.issuer, certificate.subject, period)
                found[f"{name} extensions"] = list(_extensions(der.read(encoded)))
            elif label == "CERTIFICATE REQUEST":
                request = x509.request(encoded)
                found[name] = (request.subject, request.attributes, request.key_algorithm)
                found[f"{name} extensions"] = list(_extensions(der.read(encoded)))
    return found


def _extensions(element: der.Element) -> Iterator[tuple[str, list[bytes], bytes]]:
    """Kind, critical flag and value of all extensions in it."""
    for part in element.parts:
        tags = [one.tag for one in part.parts]
        if tags in ([der.OBJECT, der.OCTET_STRING], [der.OBJECT, der.BOOLEAN, der.OCTET_STRING]):
            kind, *critical, value = (one.content for one in part.parts)
            name = kind.hex().upper()
            yield name, critical, b"" if name in DERIVED_FROM_THE_KEY else value
        else:
            yield from _extensions(part)


def same(one: Path, other: Path, *, backups: bool = True) -> None:
    """Both trees hold the same, as far as that can be with different keys."""
    assert modes(one) == modes(other)
    left, right = (
        {name: text for name, text in texts(directory).items() if backups or not name.endswith(".old")}
        for directory in (one, other)
    )
    assert left == right
    assert meanings(one) == meanings(other)
    assert meanings(one)


@pytest.fixture
def other(ca: Path, tmp_path: Path) -> Path:
    """A second copy of the CA in `ca`, for the script."""
    return Path(shutil.copytree(ca, tmp_path / "other"))


# --- what every script looks like --------------------------------------------------------------------------------


def printed(place: Path, ca: Path, keys: Path, make_request: MakeRequest) -> dict[str, str]:
    """A script of each verb that prints one."""
    request = make_request(AIKEN)
    make_request(MARGARET, to=ca / "certreqs")
    phrase = ("--passphrase-file", keys / "phrase")
    verbs: dict[str, Words] = {
        "init": ("init", "-o", ORGANIZATION, *phrase),
        "init --key": ("init", "-o", ORGANIZATION, "--key", keys / "ca.key.pem"),
        "init --no-passphrase": ("init", "-o", ORGANIZATION, "--no-passphrase"),
        "request": ("request", AIKEN, "--ssl-dir", "ssl"),
        "sign": ("sign", MARGARET, "--ca", ca, *phrase),
        "sign FILE": ("sign", request, "--ca", ca),
        "crl": ("crl", "--ca", ca),
    }
    return {verb: done(*arguments, "--print", directory=place).output for verb, arguments in verbs.items()}


def test_every_script_starts_carefully_and_printing_changes_nothing(
    ca: Path, tmp_path: Path, keys: Path, make_request: MakeRequest
) -> None:
    make_request(MARGARET, to=ca / "certreqs")
    before = snapshot(tmp_path)
    for verb, script in printed(tmp_path, ca, keys, make_request).items():
        lines = script.splitlines()
        assert lines[0] == "#!/bin/sh", verb
        assert lines[1].startswith("# "), verb
        assert lines[2:4] == ["set -eu", "umask 022"], verb
        assert not re.search(r"\bpython|dbca-openssl (?!guide)|\bpass:", script), verb
        assert run("dash", "-n", "-c", script, directory=tmp_path).code == 0, verb
    assert snapshot(tmp_path) == before


def test_printing_as_json_gives_the_same_script(ca: Path) -> None:
    script = done("crl", "--print", directory=ca).output
    assert done("crl", "--print", "--json", directory=ca).document == {"script": script}


# --- init --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["new key", "key", "no passphrase", "difficult", "modern"])
def test_the_script_of_init_makes_the_same_tree(kind: str, keys: Path, tmp_path: Path) -> None:
    quick: Words = ("--key", keys / "host.key.pem", "--no-passphrase")
    phrase: Words = ("--passphrase-file", keys / "phrase")
    kinds: dict[str, Words] = {
        "new key": (*phrase, "--bits", "2048"),
        "key": (*phrase, "--key", keys / "ca.key.pem"),
        "no passphrase": ("--no-passphrase", "--bits", "2048"),
        "difficult": (*quick, "--common-name", 'Müller & Söhne, "Zürich" #1 $HOME\\x `id`'),
        "modern": (
            *quick,
            "--profile",
            "modern",
            "--days",
            "90",
            "--crl-days",
            "30",
            "--url",
            "http://pki.example.net",
        ),
    }
    arguments = ("init", "-o", ORGANIZATION, *kinds[kind])
    one, two = tmp_path / "one place", tmp_path / "it's another"
    for place in (one, two):
        place.mkdir()
    done(*arguments, directory=one)
    ran(done(*arguments, "--print", directory=two).output, two)
    same(one / "database-ca", two / "database-ca")
    assert [path.name for path in two.iterdir()] == ["database-ca"]
    assert (two / "database-ca/private/.rnd").stat().st_mode == (one / "database-ca/private/.rnd").stat().st_mode
    key = (two / "database-ca/private/database-ca.key.pem").read_text()
    assert ("ENCRYPTED" in key) == (kind in ("new key", "key"))
    if kind == "key":
        assert key == (keys / "ca.key.pem").read_text()


def test_the_script_of_init_ignores_what_the_callers_environment_says(keys: Path, tmp_path: Path) -> None:
    script = done(
        *("init", "-o", ORGANIZATION, "--key", keys / "host.key.pem", "--no-passphrase", "--print"), directory=tmp_path
    ).output
    stray = {"CA_HOME": "/nowhere", "CN": "stray", "RANDFILE": "/nowhere/.rnd", "OPENSSL_CONF": "/nowhere/openssl.cnf"}
    finished = dash(script, tmp_path, stray)
    assert finished.code == 0, finished.messages
    done("verify", tmp_path / "database-ca/database-ca.cert.pem", directory=tmp_path)


# --- request -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("directory", "options"),
    [
        ("ssl", ()),
        ("ssl", ("--alt-name", "db.example.net", "--alt-name", "2001:db8::1")),
        ("etc/mysql/my ssl", ("--profile", "modern")),
    ],
)
def test_the_script_of_request_makes_the_same_tree(directory: str, options: Words, tmp_path: Path) -> None:
    arguments = ("request", AIKEN, "--ssl-dir", directory, "--bits", "2048", *options)
    one, two = tmp_path / "one", tmp_path / "two"
    for place in (one, two):
        place.mkdir()
    done(*arguments, directory=one)
    ran(done(*arguments, "--print", directory=two).output, two)
    same(one, two)


def test_the_script_of_a_second_request_takes_the_configuration_that_is_there(tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    one.mkdir()
    done("request", AIKEN, "--ssl-dir", ".", "--bits", "2048", directory=one)
    shutil.copytree(one, two)
    for name, options in ((MARGARET, ()), ("db.example.net", ("--profile", "modern"))):
        arguments = ("request", name, "--ssl-dir", ".", "--bits", "2048", *options)
        done(*arguments, directory=one)
        ran(done(*arguments, "--print", directory=two).output, two)
    same(one, two)


# --- sign and crl ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["name", "file", "file in certreqs", "both", "days", "cap"])
def test_the_script_of_sign_makes_the_same_tree(
    kind: str, ca: Path, other: Path, keys: Path, make_request: MakeRequest
) -> None:
    phrase = ("--passphrase-file", keys / "phrase")
    kinds: dict[str, Words] = {
        "name": (AIKEN,),
        "file": (make_request(MARGARET),),
        "file in certreqs": (f"certreqs/{AIKEN}.req.pem",),
        "both": (AIKEN, make_request(MARGARET)),
        "days": (AIKEN, "--days", "30"),
        "cap": (AIKEN, "--days", "36500", "--cap"),
    }
    what = kinds[kind]
    for directory in (ca, other):
        make_request(AIKEN, to=directory / "certreqs")
    done("sign", *what, "--yes", *phrase, directory=ca)
    ran(done("sign", *what, "--print", *phrase, directory=other).output, other)
    same(ca, other, backups=kind != "both")  # the script signs one after the other, so its last state before is later
    done("verify", MARGARET if kind == "file" else AIKEN, directory=other)


def test_the_script_of_a_second_generation_makes_the_same_tree(
    ca: Path, tmp_path: Path, keys: Path, make_request: MakeRequest
) -> None:
    phrase = ("--passphrase-file", keys / "phrase")
    make_request(AIKEN, to=ca / "certreqs")
    done("sign", AIKEN, "--yes", *phrase, directory=ca)
    revoke = f"openssl ca -revoke certs/{AIKEN}.cert.pem -passin file:{keys / 'phrase'}"
    ran(f"umask 022\nexport OPENSSL_CONF=./database-ca.cnf\n{revoke}", ca)
    other = Path(shutil.copytree(ca, tmp_path / "other"))
    done("sign", AIKEN, "--yes", *phrase, directory=ca)
    ran(done("sign", AIKEN, "--print", *phrase, directory=other).output, other)
    same(ca, other)


def test_the_script_of_sign_keeps_an_older_request_as_the_tool_does(
    ca: Path, other: Path, keys: Path, make_request: MakeRequest
) -> None:
    phrase = ("--passphrase-file", keys / "phrase")
    for directory in (ca, other):
        shutil.copy(make_request(MARGARET), directory / f"certreqs/{AIKEN}.req.pem")
    done("sign", make_request(AIKEN), "--yes", *phrase, directory=ca)
    ran(done("sign", make_request(AIKEN), "--print", *phrase, directory=other).output, other)
    same(ca, other)
    assert (other / f"certreqs/{AIKEN}.req.pem.old").read_bytes() == make_request(MARGARET).read_bytes()


@pytest.mark.parametrize("options", [(), ("--days", "7")])
def test_the_script_of_crl_makes_the_same_tree(options: tuple[str, ...], ca: Path, other: Path, keys: Path) -> None:
    phrase = ("--passphrase-file", keys / "phrase")
    done("crl", *options, *phrase, directory=ca)
    ran(done("crl", *options, *phrase, "--print", directory=other).output, other)
    same(ca, other)
    one, two = (revocation.current_list(Authority(directory)) for directory in (ca, other))
    assert one.number == two.number == 1
    assert (one.end - one.start).days == (two.end - two.start).days == (7 if options else 60)


# --- scripts overwrite nothing -----------------------------------------------------------------------------------


def test_no_script_overwrites_what_it_made(ca: Path, tmp_path: Path, keys: Path, make_request: MakeRequest) -> None:
    quick = ("--key", keys / "host.key.pem", "--no-passphrase")
    phrase = ("--passphrase-file", keys / "phrase")
    make_request(AIKEN, to=ca / "certreqs")
    for arguments in (
        ("init", "-o", ORGANIZATION, "--ca", "new", *quick),
        ("request", AIKEN, "--ssl-dir", "ssl", "--bits", "2048"),
        ("sign", AIKEN, "--ca", ca, *phrase),
        ("sign", make_request(MARGARET), "--ca", ca, *phrase),
    ):
        script = done(*arguments, "--print", directory=tmp_path).output
        ran(script, tmp_path)
        before = snapshot(tmp_path)
        again = dash(script, tmp_path)
        assert again.code != 0, arguments
        assert re.search("exist", again.messages), again.messages
        assert snapshot(tmp_path) == before, arguments


@pytest.mark.parametrize("link", [False, True])
def test_the_script_of_request_overwrites_no_key_and_follows_no_link(link: bool, tmp_path: Path) -> None:
    script = done("request", AIKEN, "--ssl-dir", "ssl", "--bits", "2048", "--print", directory=tmp_path).output
    private = tmp_path / "ssl/private"
    private.mkdir(parents=True)
    if link:
        (private / f"{AIKEN}.key.pem").symlink_to(tmp_path / "elsewhere")
    else:
        (private / f"{AIKEN}.key.pem").write_text("the key\n")
    refused = dash(script, tmp_path)
    assert refused.code == 1
    assert f"private/{AIKEN}.key.pem exists already, and nothing is overwritten" in refused.messages
    assert not (tmp_path / "elsewhere").exists()
    assert not (tmp_path / f"ssl/{AIKEN}.req.pem").exists()


# --- the same commands -------------------------------------------------------------------------------------------


def commands(calls: list[Call]) -> list[tuple[tuple[str, ...], dict[str, str]]]:
    """What was called, apart from what differs on purpose: the stage, and where the pass phrase comes from."""
    found = []
    for call in calls:
        arguments: list[str] = []
        given = iter(call.arguments)
        for word in given:
            if word in ("-passin", "-passout", "-keyfile", "-cert"):
                next(given)
            else:
                arguments.append(re.sub(r"^(\./)?(\.stage\.[0-9a-f]{8}/)?", "", word))
        environment = {
            name: value for name, value in call.environment.items() if name in ("OPENSSL_CONF", "CN", "RANDFILE")
        }
        found.append((tuple(arguments), environment))
    return found


@pytest.mark.parametrize(
    "words",
    [
        "init -o example.net --bits 2048 --ca {ca}/made --passphrase-file {keys}/phrase",
        "init -o example.net --key {keys}/ca.key.pem --ca {ca}/given --passphrase-file {keys}/phrase",
        "init -o example.net --key {keys}/host.key.pem --ca {ca}/plain --no-passphrase",
        "request aiken.example.net --bits 2048 --ssl-dir {ca}/ssl",
        "sign aiken.example.net --yes --days 30 --ca {ca} --passphrase-file {keys}/phrase",
        "sign {file} --yes --ca {ca} --passphrase-file {keys}/phrase",
        "crl --days 9 --ca {ca} --passphrase-file {keys}/phrase",
    ],
)
def test_what_is_printed_is_what_is_run(
    words: str, ca: Path, other: Path, tmp_path: Path, keys: Path, make_request: MakeRequest
) -> None:
    request = make_request(MARGARET)
    for directory in (ca, other):
        make_request(AIKEN, to=directory / "certreqs")
    own, printed = (
        [word.format(ca=directory, keys=keys, file=request) for word in words.split()] for directory in (ca, other)
    )
    recorder = Recorder(tmp_path / "recorder")
    done(*own, "--openssl", recorder.program, directory=tmp_path)
    expected = [call for call in commands(recorder.calls("req", "ca")) if "-new" in call[0] or call[0][0] == "ca"]
    recorder.forget()
    finished = dash(
        done(*printed, "--print", directory=tmp_path).output,
        tmp_path,
        {"PATH": f"{recorder.place}:{os.environ['PATH']}"},
    )
    assert finished.code == 0, finished.messages
    assert commands(recorder.calls()) == expected
    assert expected
