"""What is refused: exit 1 (2 for usage), one line that says what and why, a hint, and everything as it was before."""

from __future__ import annotations

import os
import re
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tools.support import HOSTS, ORGANIZATION, WRONG_PASSPHRASES, MakeRequest, done, run, snapshot

AIKEN = HOSTS[0]
Words = tuple[str | Path, ...]


def require_refusal(
    *words: str | Path,
    directory: Path,
    message: str,
    code: int = 1,
    environment: dict[str, str] | None = None,
    without_privileges: bool = False,
    as_json: bool = True,
) -> None:
    """Run the tool, and a second time with --json; `message` is a pattern for the whole line that it gives."""
    before = snapshot(directory, without=(".lock",))
    command: Words = (sys.executable, "-m", "dbca_openssl")
    if without_privileges and os.geteuid() == 0:  # root without capabilities is held to the modes of its own files
        command = ("setpriv", "--bounding-set=-all", "--inh-caps=-all", *command)

    plain = run(*command, *words, directory=directory, environment=environment)
    assert plain.code == code, plain.messages
    assert plain.output == ""
    assert "Traceback" not in plain.messages
    said = re.split(r"^(?=dbca-openssl: )", plain.messages, flags=re.MULTILINE)[-1].splitlines()
    assert re.fullmatch(f"dbca-openssl: {message}", said[0]), said[0]
    assert len(said) >= 2, "a hint is missing"
    assert all(line.startswith("hint: ") for line in said[1:]), said
    assert snapshot(directory, without=(".lock",)) == before

    if not as_json:
        return
    document = run(*command, *words, "--json", directory=directory, environment=environment)
    assert document.code == code
    assert document.document == {
        "error": said[0].removeprefix("dbca-openssl: "),
        "hints": [line.removeprefix("hint: ") for line in said[1:]],
    }
    assert snapshot(directory, without=(".lock",)) == before


# --- usage -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("frobnicate", "unknown command 'frobnicate'"),
        ("list --frobnicate", "unknown option --frobnicate"),
        ("--yes list", "unknown option --yes"),
        ("--ca . list", "--ca stands before the verb; options stand after it"),
        ("--openssl openssl list", "--openssl stands before the verb; options stand after it"),
        ("sign", "name requests, or say --all for every one that waits"),
        ("request", "Missing argument 'NAME'"),
        ("init", "missing option --organization"),
        ("init -o Lab --years 0", "Invalid value for '--years': 0 is not in the range 1<=x<=100"),
        (
            "init -o Lab --algorithm rsa:1024",
            "--algorithm takes RSA of 2048 to 8192 bits (rsa:4096), ec:P-256, ec:P-384, ed25519, ml-dsa-44, ml-dsa-65; "
            "not 'rsa:1024'",
        ),
        ("init -o Lab --profile old", "Invalid value for '--profile': 'old' is not one of 'guide', 'modern'"),
        ("crl --days x", "Invalid value for '--days': 'x' is not a whole number"),
        ("render passwd", "Invalid value for 'FILE': 'passwd' is not one of 'database-ca.cnf', 'openssl.cnf'"),
    ],
)
def test_wrong_usage_exits_2_and_names_the_help(words: str, message: str, tmp_path: Path) -> None:
    pattern = re.escape(message.removesuffix(".*")) + ".*" * message.endswith(".*")
    require_refusal(*words.split(), directory=tmp_path, message=pattern, code=2)


def test_options_stand_after_the_verb(ca: Path, tmp_path: Path) -> None:
    listed = done("list", "--ca", ca, "--json", directory=tmp_path)
    assert listed.document == {"certificates": []}
    assert done("--ca", ca, "--json", directory=tmp_path).document["directory"] == str(ca)
    by_environment = done("list", "--json", directory=tmp_path, environment={"DBCA_CA": str(ca)})
    assert by_environment.document == {"certificates": []}


# --- init --------------------------------------------------------------------------------------------------------


def _occupied(path: Path) -> None:
    path.mkdir()
    (path / "something").write_text("of somebody\n")


PLACES: dict[str, Callable[[Path], object]] = {
    "directory": _occupied,
    "file": lambda path: path.write_text("of somebody\n"),
    "link": lambda path: path.symlink_to("elsewhere"),
}


@pytest.mark.parametrize("kind", PLACES)
def test_init_overwrites_nothing(kind: str, tmp_path: Path, keys: Path) -> None:
    PLACES[kind](tmp_path / "database-ca")
    options = ("init", "-o", ORGANIZATION, "--key", keys / "ca.key.pem", "--passphrase-file", keys / "phrase")
    require_refusal(
        *options, directory=tmp_path, message=f"{tmp_path}/database-ca exists already, and nothing is overwritten"
    )


def test_init_leaves_an_existing_authority_alone(ca: Path, tmp_path: Path, keys: Path) -> None:
    options = ("init", "-o", ORGANIZATION, "--key", keys / "ca.key.pem", "--passphrase-file", keys / "phrase")
    require_refusal(*options, directory=tmp_path, message=f"{ca} exists already, and nothing is overwritten")


BAD_INIT = {
    "no parent": ("-o Lab --no-passphrase --ca nowhere/ca", "there is no directory {place}/nowhere"),
    "no organisation": ("-o  --no-passphrase", "the organization is empty"),
    "a blank": ("-o _ --no-passphrase", "the organization is empty"),
    "a blank at the end": ("-o Lab_ --no-passphrase", "the organization 'Lab ' starts or ends with a blank"),
    "long organisation": (f"-o {'x' * 65}", "the organization 'x+' has 65 characters; 64 are allowed"),
    "no fitting name": (f"-o {'x' * 62}", "no common name made of 'x+' fits into 64 characters"),
    "long name": (f"-o Lab --common-name {'x' * 65}", "the common name 'x+' has 65 characters; 64 are allowed"),
    "control": ("-o La\nb", r"the organization 'La\\nb' has a character that no configuration file can carry"),
    "escape": ("-o La\x1b[31mb", r"the organization 'La\\x1b\[31mb' has a character that no .* can carry"),
    "url": ("-o Lab --url pki.example.net", "not an absolute URL in ASCII: 'pki.example.net'"),
    "directory": ("-o Lab --ssl-dir ssl", "not an absolute directory: 'ssl'"),
    "no phrase file": ("-o Lab --passphrase-file nowhere", "cannot read the pass phrase file nowhere: No such .*"),
    "phrase file is a directory": ("-o Lab --passphrase-file .", "cannot read the pass phrase file .: Is a directory"),
    "short phrase": ("-o Lab --passphrase-file {place}/short", "a pass phrase has 4 to 1023 bytes"),
    "long phrase": ("-o Lab --passphrase-file {place}/long", "a pass phrase has 4 to 1023 bytes"),
    "phrase with NUL": ("-o Lab --passphrase-file {place}/nul", "a pass phrase cannot have a line end or a NUL"),
    "closed descriptor": ("-o Lab --passphrase-fd 77", "cannot read the pass phrase from descriptor 77: Bad .*"),
    "no key": ("-o Lab --key nowhere", "cannot read the key {place}/nowhere: No such file or directory"),
    "key is a directory": ("-o Lab --key .", "cannot read the key {place}: Is a directory"),
    "plain key": ("-o Lab --key {keys}/plain-ca.key.pem", "the key {keys}/plain-ca.key.pem is not encrypted"),
    "encrypted key": ("-o Lab --no-passphrase --key {keys}/ca.key.pem", "the key {keys}/ca.key.pem is encrypted"),
    "garbage as key": (
        "-o Lab --no-passphrase --key {place}/short",
        "the private key cannot be read: a wrong pass phrase, or not a key",
    ),
    "wrong phrase": ("-o Lab --key {keys}/ca.key.pem --passphrase-file {place}/wrong", "the pass phrase is wrong"),
    "no terminal": ("-o Lab", "the key needs its pass phrase, and there is no terminal to ask at"),
}


@pytest.mark.parametrize("kind", BAD_INIT)
def test_init_refuses(kind: str, tmp_path: Path, keys: Path) -> None:
    words, message = BAD_INIT[kind]
    files = {
        "short": b"abc\n",
        "long": b"x" * 1024 + b"\n",
        "nul": b"abcd\0efgh\n",
        "wrong": f"{WRONG_PASSPHRASES[0]}\n".encode(),
    }
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
        (tmp_path / name).chmod(0o600)
    places = {"place": str(tmp_path), "keys": str(keys)}
    arguments = [word.replace("_", " ").format(**places) for word in words.split(" ")]
    require_refusal("init", *arguments, directory=tmp_path, message=message.format(**places), as_json=False)


def test_init_refuses_a_key_that_may_not_be_read(tmp_path: Path, keys: Path) -> None:
    key = Path(shutil.copy(keys / "ca.key.pem", tmp_path))
    key.chmod(0)
    place = tmp_path / "place"
    place.mkdir()
    require_refusal(
        *("init", "-o", ORGANIZATION, "--key", key, "--passphrase-file", keys / "phrase"),
        directory=place,
        message=f"cannot read the key {key}: Permission denied",
        without_privileges=True,
    )


def test_init_refuses_a_directory_that_may_not_be_written(tmp_path: Path, keys: Path) -> None:
    (tmp_path / "device").mkdir(mode=0o555)
    require_refusal(
        *("init", "-o", ORGANIZATION, "--key", keys / "host.key.pem", "--no-passphrase", "--ca", "device/ca"),
        directory=tmp_path,
        message=f"cannot make {tmp_path}/device/ca: Permission denied",
        without_privileges=True,
    )


# --- request -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("", "the name is empty"),
        (" ", "the name is empty"),
        ("a/b", "'a/b' has a '/', which breaks REQUIRE SUBJECT on some servers"),
        ("../evil", "'../evil' has a '/', which breaks REQUIRE SUBJECT on some servers"),
        ("a+b", r"'a\+b' has a '\+', which breaks REQUIRE SUBJECT on some servers"),
        ("..", r"not the name of a host or a client: '\.\.'"),
        ("*.example.net", r"not the name of a host or a client: '\*.example.net'"),
        ("two words", "not the name of a host or a client: 'two words'"),
        ("a\nb", r"not the name of a host or a client: 'a\\nb'"),
        ("$(id)", r"not the name of a host or a client: '\$\(id\)'"),
        ("müller@host", "not a host name: 'müller@host'"),
        ("straße.example.net", "'straße.example.net' can mean two hosts: there are two encodings of 'ß'"),
        ("x" * 65, "'x+' has 65 characters; a common name has at most 64"),
        (".".join(["a" * 20] * 4), "'[a.]+' has 83 characters; a common name has at most 64"),
        ("database-ca", "the name database-ca is that of the CA itself"),
        ("Database-CA", "the name database-ca is that of the CA itself"),
    ],
)
def test_request_refuses_the_name(name: str, message: str, tmp_path: Path) -> None:
    require_refusal("request", name, "--ssl-dir", "ssl", directory=tmp_path, message=message, as_json=False)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("IP:300.0.0.1", "not an IP address: '300.0.0.1'"),
        ("300.0.0.1", "not a host name: '300.0.0.1'"),
        ("URI:http://x", "not a host name: 'URI:http://x'"),
        ("a_b.example.net", "not a host name: 'a_b.example.net'"),
        ("*.*.example.net", r"not a host name: '\*.example.net'"),
        ("a\nb", r"not a host name: 'a\\nb'"),
        ("", "not a host name: ''"),
    ],
)
def test_request_refuses_the_other_name(name: str, message: str, tmp_path: Path) -> None:
    words = ("request", AIKEN, "--alt-name", name, "--ssl-dir", "ssl")
    require_refusal(*words, directory=tmp_path, message=message, as_json=False)


@pytest.mark.parametrize("existing", [f"private/{AIKEN}.key.pem", f"{AIKEN}.req.pem"])
def test_request_overwrites_no_key_and_no_request(existing: str, tmp_path: Path) -> None:
    (tmp_path / "private").mkdir()
    (tmp_path / existing).write_text("of somebody\n")
    require_refusal(
        *("request", AIKEN, "--ssl-dir", "."),
        directory=tmp_path,
        message=f"{tmp_path}/{existing} exists already, and nothing is overwritten",
    )


def test_request_refuses_a_directory_that_may_not_be_written(tmp_path: Path) -> None:
    (tmp_path / "ssl").mkdir(mode=0o555)
    for directory in ("ssl", "ssl/deeper"):
        require_refusal(
            *("request", AIKEN, "--ssl-dir", directory),
            directory=tmp_path,
            message=f"(cannot (make|write in) )?{tmp_path}/ssl.*: Permission denied",
            without_privileges=True,
        )


# --- sign and crl ------------------------------------------------------------------------------------------------


REQUESTS: dict[str, tuple[Callable[[Path], object], str]] = {
    "missing": (lambda path: None, "cannot read the request PATH: No such file or directory"),
    "directory": (lambda path: path.mkdir(), "cannot read the request PATH: Is a directory"),
    "pipe": (os.mkfifo, "cannot read the request PATH: it is not a regular file"),
    "empty": (lambda path: path.write_text(""), "PATH is not a certificate request in PEM form"),
    "garbage": (lambda path: path.write_bytes(bytes(range(256))), "PATH is not a certificate request in PEM form"),
    "huge": (lambda path: path.write_bytes(b"x" * 70_000), "cannot read the request PATH: it has more than 64 KiB"),
    "not base64": (
        lambda path: path.write_text("-----BEGIN CERTIFICATE REQUEST-----\n?\n-----END CERTIFICATE REQUEST-----\n"),
        "PATH is no request that can be read: its PEM block is not plain base64",
    ),
    "not DER": (
        lambda path: path.write_text("-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n-----END CERTIFICATE REQUEST-----\n"),
        "PATH is no request that can be read: .*",
    ),
}


@pytest.mark.parametrize("kind", REQUESTS)
def test_sign_refuses_what_is_no_request(kind: str, ca: Path, environment: dict[str, str]) -> None:
    make, message = REQUESTS[kind]
    path = ca / f"certreqs/{AIKEN}.req.pem"
    make(path)
    pattern = message.replace("PATH", re.escape(str(path)))
    require_refusal("sign", AIKEN, "--yes", directory=ca, message=pattern, environment=environment)


def test_sign_refuses_a_key_and_a_certificate(ca: Path, keys: Path, environment: dict[str, str]) -> None:
    for file, message in (
        (keys / "host.key.pem", "there is a private key in {}"),
        (ca / "database-ca.cert.pem", "there is a certificate in {}, not a request"),
    ):
        require_refusal("sign", file, "--yes", directory=ca, message=message.format(file), environment=environment)


def test_sign_refuses_a_request_that_may_not_be_read(
    ca: Path, tmp_path: Path, environment: dict[str, str], make_request: MakeRequest
) -> None:
    path = make_request(AIKEN, to=tmp_path)
    path.chmod(0)
    require_refusal(
        *("sign", path, "--yes"),
        directory=ca,
        message=f"cannot read the request {path}: Permission denied",
        environment=environment,
        without_privileges=True,
    )


def test_nothing_is_signed_without_an_answer(ca: Path, environment: dict[str, str], make_request: MakeRequest) -> None:
    make_request(AIKEN, to=ca / "certreqs")
    require_refusal("sign", AIKEN, directory=ca, message="there is no terminal to ask at", environment=environment)


VERBS: dict[str, Words] = {"sign": ("sign", AIKEN, "--yes"), "crl": ("crl",)}
verbs = pytest.mark.parametrize("verb", VERBS)


@verbs
def test_a_key_needs_its_pass_phrase(verb: str, ca: Path, make_request: MakeRequest) -> None:
    make_request(AIKEN, to=ca / "certreqs")
    message = "the key needs its pass phrase, and there is no terminal to ask at"
    require_refusal(*VERBS[verb], directory=ca, message=message)


@verbs
def test_a_wrong_pass_phrase_is_refused(verb: str, ca: Path, tmp_path: Path, make_request: MakeRequest) -> None:
    make_request(AIKEN, to=ca / "certreqs")
    (tmp_path / "wrong").write_text(f"{WRONG_PASSPHRASES[1]}\n")
    (tmp_path / "wrong").chmod(0o600)
    options = ("--passphrase-file", tmp_path / "wrong")
    require_refusal(*VERBS[verb], *options, directory=ca, message="the pass phrase is wrong")


@verbs
def test_a_directory_without_an_authority_is_refused(verb: str, tmp_path: Path, environment: dict[str, str]) -> None:
    require_refusal(
        *(*VERBS[verb], "--ca", tmp_path),
        directory=tmp_path,
        message=f"no CA in {tmp_path}: there is no database-ca.cnf",
        environment=environment,
    )


@verbs
@pytest.mark.parametrize("locked_before", [False, True])
def test_an_authority_that_may_not_be_written_is_refused(
    verb: str, locked_before: bool, ca: Path, environment: dict[str, str], make_request: MakeRequest
) -> None:
    make_request(AIKEN, to=ca / "certreqs")
    if locked_before:
        (ca / ".lock").touch(mode=0o600)
    ca.chmod(0o555)
    require_refusal(
        *VERBS[verb],
        directory=ca,
        message=f"(cannot write in )?{ca}.*: Permission denied",
        environment=environment,
        without_privileges=True,
    )
