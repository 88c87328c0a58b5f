"""A CA whose key is on a token: a real SoftHSM, through the engine or the provider that this openssl has."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from dbca_openssl.ca import key
from dbca_openssl.ca.key import on_token
from dbca_openssl.ca.layout import Authority
from dbca_openssl.cli.options import Run
from dbca_openssl.errors import DatabaseCaError
from dbca_openssl.openssl import ENGINE, PROVIDER, OpenSSL
from tools.support import done, plain_request, recorded, recording_openssl, refusal, shell, snapshot, tool
from tools.terminal import typed
from tools.token import PIN, Token, token

URI = "pkcs11:token=CA;object=ca"
INIT = ("init", "-o", "example.net", "--key")
NAMES = ("aiken.example.net", "margaret.example.net")


@pytest.fixture(scope="module")
def hsm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Token]:
    with token(tmp_path_factory.mktemp("token")) as one:
        yield one


@pytest.fixture(scope="module")
def made(hsm: Token, keys: Path) -> Path:
    """A CA with its key on the token and two requests; not to be changed."""
    done(*INIT, URI, "--passphrase-file", hsm.pin, directory=hsm.directory, environment=hsm.environment)
    ca = hsm.directory / "database-ca"
    for name in NAMES:
        plain_request(ca, name, keys / "host.key.pem")
    return ca


@pytest.fixture
def ca(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "database-ca"))


@pytest.fixture
def environment(hsm: Token) -> dict[str, str]:
    return hsm.environment | {"DBCA_PASSPHRASE_FILE": str(hsm.pin)}


def test_every_verb_that_signs_works(ca: Path, environment: dict[str, str], keys: Path) -> None:
    for words in (
        ("sign", "--all", "--yes"),
        ("renew", NAMES[0], "--yes"),
        ("revoke", NAMES[1], "--yes"),
        ("crl", "--canary"),
        ("init", "--renew"),
        ("verify", NAMES[0]),
    ):
        done(*words, directory=ca, environment=environment)
    assert done("check", directory=ca, environment=environment).output.startswith("OK")
    assert {path.name for path in (ca / "private").glob("database-ca*")} == {"database-ca.key.uri"}
    assert (ca / "private/database-ca.key.uri").read_text() == f"{URI}\n"
    files = [path for path in ca.rglob("*") if path.is_file()]
    assert not [path for path in files if PIN.encode() in path.read_bytes()]


def test_the_configuration_is_that_of_a_ca_with_a_file(ca: Path, pristine: Path) -> None:
    assert (ca / "database-ca.cnf").read_bytes() == (pristine / "database-ca.cnf").read_bytes()


def test_the_printed_scripts_work(ca: Path, tmp_path: Path, hsm: Token, environment: dict[str, str]) -> None:
    for words, directory in (((*INIT, URI, "--ca", "second"), tmp_path), (("crl",), ca), (("sign", NAMES[0]), ca)):
        script = done(*words, "--print", directory=directory, environment=environment).output
        assert PIN not in script
        ran = shell(script, directory, hsm.environment)
        assert ran.code == 0, ran.messages
    for one in (ca, tmp_path / "second"):
        assert done("check", "--ca", one, directory=ca, environment=environment).output.startswith("OK")


def test_the_pin_is_asked_for(ca: Path, hsm: Token) -> None:
    prompt = "PIN of the token with the CA key: "
    finished = typed("crl", answers=[(prompt, f"{PIN}\n")], directory=ca, environment=hsm.environment)
    assert finished.code == 0, finished.output


def test_a_wrong_pin_is_tried_once(ca: Path, hsm: Token, keys: Path) -> None:
    for number in range(32):  # enough for two openssl at the same time
        plain_request(ca, f"host{number}.example.net", keys / "host.key.pem")
    before = snapshot(ca, without=(".lock",))
    path, record = recording_openssl(ca.parent)
    options = ("--all", "--yes", "--passphrase-file", hsm.wrong, "--openssl", path)
    refused = tool("sign", *options, directory=ca, environment=hsm.environment)
    assert "PIN" in refusal(refused)
    assert len(recorded(record, "ca")) == 1
    assert snapshot(ca, without=(".lock",)) == before


@pytest.mark.parametrize(
    ("uri", "options", "message"),
    [
        ("pkcs11:token=CA;object=none", (), "no token answers with the public key of pkcs11:token=CA;object=none"),
        (f"{URI}?pin-value={PIN}", (), "the URI of a key must not have the PIN in it, nor the place of one"),
        (f"{URI}?pin-source=/etc/pin", (), "the URI of a key must not have the PIN in it, nor the place of one"),
        (f"{URI}&pin-value={PIN}", (), "the URI of a key must not have the PIN in it, nor the place of one"),
        (f"{URI}?module-path=/tmp/x.so", (), "that is not the PKCS#11 URI of a key"),
        ("pkcs11:token=CA", (), "that is not the PKCS#11 URI of a key"),
        ("pkcs11:token=CA;object=a\nb", (), "that is not the PKCS#11 URI of a key"),
        (URI, ("--no-passphrase",), "a token has a PIN: --no-passphrase is for a key in a file"),
        (URI, ("--algorithm", "ec:P-256"), "--key takes a key as it is, without --algorithm"),
    ],
)
def test_refuses_and_makes_nothing(
    uri: str, options: tuple[str, ...], message: str, hsm: Token, tmp_path: Path, environment: dict[str, str]
) -> None:
    for more in ((), ("--print",)):
        if more and "answers" in message:
            continue  # a script can be printed where there is no token
        refused = tool(*INIT, uri, *options, *more, directory=tmp_path, environment=environment)
        assert refused.code in (1, 2)
        assert refused.messages.splitlines()[0] == f"dbca-openssl: {message}"
        assert PIN not in refused.messages
        assert not list(tmp_path.iterdir())


def test_a_wrong_pin_makes_nothing(hsm: Token, tmp_path: Path) -> None:
    words = (*INIT, URI, "--passphrase-file", hsm.wrong)
    assert "PIN" in refusal(tool(*words, directory=tmp_path, environment=hsm.environment))
    assert not list(tmp_path.iterdir())


def without_modules(directory: Path) -> Path:
    """An openssl that finds neither provider nor engine."""
    path = directory / "openssl"
    path.write_text(f'#!/bin/sh\ncase " $* " in *" pkcs11 "*) exit 1 ;; esac\nexec {shutil.which("openssl")} "$@"\n')
    path.chmod(0o755)
    return path


def test_without_a_module_names_the_package(made: Path, hsm: Token, tmp_path: Path, keys: Path) -> None:
    path = without_modules(tmp_path)
    before = snapshot(made, without=(".lock",))
    for words in ((*INIT, URI, "--ca", "new"), ("crl", "--ca", made)):
        refused = tool(*words, "--openssl", path, directory=tmp_path, environment=hsm.environment)
        assert refusal(refused).endswith("has nothing to reach a token with")
        assert "apt install pkcs11-provider" in refused.messages
        assert "libengine-pkcs11-openssl" in refused.messages
    assert not (tmp_path / "new").exists()
    assert snapshot(made, without=(".lock",)) == before


def test_a_token_that_never_answers_is_not_waited_for(
    made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "openssl"
    path.write_text(f'#!/bin/sh\ncase "$*" in *pkcs11:*) exec sleep 60 ;; esac\nexec {shutil.which("openssl")} "$@"\n')
    path.chmod(0o755)
    monkeypatch.setattr(key, "ANSWERS_WITHIN", 0.2)
    with pytest.raises(DatabaseCaError, match="no token answers"):
        Run().unlocked(Authority(made, OpenSSL(str(path))))


def test_check_says_whether_the_token_answers(ca: Path, hsm: Token) -> None:
    gone = tool("check", "--json", directory=ca)
    assert gone.code == 1
    assert [one["code"] for one in gone.document["findings"]] == ["token"]
    (ca / "private/database-ca.key.uri").write_text("pkcs11:token=CA;object=other\n")
    other = tool("check", "--json", directory=ca, environment=hsm.environment)
    assert other.code == 2
    [found] = other.document["findings"]
    assert found["text"] == "the key on the token does not belong to the CA certificate"
    (ca / "private/database-ca.key.uri").write_text(f"{URI}?pin-value={PIN}\n")
    assert PIN not in tool("check", directory=ca, environment=hsm.environment).output


def test_the_pass_phrase_is_the_tokens(ca: Path, environment: dict[str, str]) -> None:
    before = snapshot(ca, without=(".lock",))
    refused = tool("passphrase", directory=ca, environment=environment)
    assert refusal(refused) == "the CA key is on a token, and only the token can change its PIN"
    assert snapshot(ca, without=(".lock",)) == before


def test_a_backup_says_that_it_has_no_key(ca: Path, environment: dict[str, str]) -> None:
    file = ca.parent / "backup.tar"
    text = "the CA key is not in it: it is on a token"
    assert text in done("backup", file, directory=ca, environment=environment).output
    assert text in done("backup", "--check", file, directory=ca, environment=environment).output


def test_only_what_uses_the_token_gets_its_variables(ca: Path, tmp_path: Path, environment: dict[str, str]) -> None:
    path, record = tmp_path / "telling-openssl", tmp_path / "told"
    path.write_text(
        "#!/usr/bin/python3 -IS\nimport json, os, resource, sys\n"
        f"with open({str(record)!r}, 'a') as file:\n"
        "    core = resource.getrlimit(resource.RLIMIT_CORE)[0]\n"
        "    file.write(json.dumps([sys.argv[1:], dict(os.environ), core]) + '\\n')\n"
        f"os.execv({shutil.which('openssl')!r}, ['openssl', *sys.argv[1:]])\n"
    )
    path.chmod(0o755)
    done("crl", "--openssl", path, directory=ca, environment=environment | {"SOFTHSM2_CONF": "x", "SECRET": "y"})
    seen = [json.loads(line) for line in record.read_text().splitlines()]
    token_names = {*environment, "SOFTHSM2_CONF"} - {"DBCA_PASSPHRASE_FILE"}
    for arguments, variables, core in seen:
        assert PIN not in json.dumps([arguments, variables])
        names = variables.keys() - {"PATH", "OPENSSL_CONF", "CA_HOME", "LC_CTYPE", "LD_LIBRARY_PATH", "PWD"}
        if "pkcs11" in arguments:
            assert (names, core) == (token_names, 0)
        else:
            assert not names
    assert {arguments[0] for arguments, _, _ in seen if "pkcs11" in arguments} >= {"ca"}


def test_the_provider_comes_before_the_engine_and_after_the_default_one(tmp_path: Path) -> None:
    path = tmp_path / "openssl"
    for works, version, expected in (
        ("list", "3.5.0", PROVIDER),
        ("engine", "3.0.1", ENGINE),
        ("engine", "1.1.1w", ENGINE),
    ):
        path.write_text(
            f"#!/bin/sh\ncase $1 in version) echo OpenSSL {version} x ;; {works}) echo pkcs11 ;; *) exit 1 ;; esac\n"
        )
        path.chmod(0o755)
        assert on_token(URI, OpenSSL(str(path))).options == expected
    assert PROVIDER.index("default") < PROVIDER.index("pkcs11")
    path.write_text('#!/bin/sh\ncase $1 in version) echo "OpenSSL 4.0.0 x" ;; *) exit 1 ;; esac\n')
    with pytest.raises(DatabaseCaError, match="nothing to reach a token with"):
        on_token(URI, OpenSSL(str(path)))
