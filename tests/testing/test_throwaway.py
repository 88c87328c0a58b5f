"""`dbca_openssl.testing`: what the throw-away authority issues, held to openssl and to Python's TLS, and its plugin."""

from __future__ import annotations

import ssl
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from dbca_openssl.errors import DatabaseCaError
from dbca_openssl.testing import Issued, ThrowawayAuthority, throwaway_authority
from tools.support import Finished, done, openssl, run, shell, snapshot, tool


@pytest.fixture(scope="module")
def template() -> Iterator[ThrowawayAuthority]:
    with throwaway_authority() as authority:
        yield authority


@pytest.fixture
def authority(template: ThrowawayAuthority, tmp_path: Path) -> ThrowawayAuthority:
    assert shell(f"cp -R {template.root} ca", tmp_path).code == 0
    return ThrowawayAuthority(tmp_path / "ca")


def files_of(issued: Issued) -> tuple[Path, ...]:
    return issued.certificate_file, issued.authority_file, issued.revocation_list_file, issued.key_file


def verified(issued: Issued, *options: str) -> str:
    """The end of what openssl says of a certificate, by its own files."""
    files: tuple[str | Path, ...] = ("-CAfile", issued.authority_file, "-CRLfile", issued.revocation_list_file)
    finished = run(
        *("openssl", "verify", "-x509_strict", "-crl_check", *files, *options, issued.certificate_file),
        directory=issued.directory,
    )
    return (finished.output + finished.messages).strip()


def handshake(client: ssl.SSLContext, server: ssl.SSLContext, name: str) -> None:
    """A whole handshake in memory; raises what either side has against the other."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = [
        client.wrap_bio(to_client, to_server, server_hostname=name),
        server.wrap_bio(to_server, to_client, server_side=True),
    ]
    for _ in range(4):
        for end in ends:
            try:
                end.do_handshake()
            except ssl.SSLWantReadError:
                continue
    for end in ends:
        assert end.cipher()
        end.write(b"x")
    assert [end.read() for end in ends] == [b"x", b"x"]


def test_what_is_issued_is_accepted_under_its_names(authority: ThrowawayAuthority) -> None:
    server = authority.issue("localhost", "127.0.0.1", "*.example.net")
    for names in (
        ("-verify_hostname", "localhost"),
        ("-verify_ip", "127.0.0.1"),
        ("-verify_hostname", "aiken.example.net"),
        ("-purpose", "sslserver"),
        ("-purpose", "sslclient"),
    ):
        assert verified(server, *names).endswith(": OK")
    assert "hostname mismatch" in verified(server, "-verify_hostname", "elsewhere.example.org").lower()
    assert {str(path.relative_to(server.directory)) for path in files_of(server)} == {
        "localhost.cert.pem",
        "database-ca.cert.pem",
        "database-ca.crl",
        "private/localhost.key.pem",
    }
    shown = openssl("x509", "-in", server.certificate_file, "-noout", "-serial", directory=authority.root)
    assert shown.strip() == f"serial={server.serial}"


def test_a_certificate_that_has_ended(authority: ThrowawayAuthority) -> None:
    ended = authority.issue("expired", "localhost", days=-1)
    assert "certificate has expired" in verified(ended)
    assert verified(ended, "-no_check_time", "-verify_hostname", "localhost").endswith(": OK")
    assert "certificate has expired" in verified(authority.issue("just", days=0))
    assert verified(authority.issue("long", days=1000)).endswith(": OK")


def test_the_same_arguments_give_the_same_certificate(authority: ThrowawayAuthority) -> None:
    first = authority.issue("Localhost", "127.0.0.1")
    before = snapshot(authority.root)
    assert authority.issue("localhost", "127.0.0.1") is first
    assert authority.issue("localhost", "127.0.0.1", days=368) is first
    with pytest.raises(DatabaseCaError, match="localhost already has a certificate with other names or days") as caught:
        authority.issue("localhost")
    assert caught.value.__notes__ == ["hint: revoke that one, or use another name: issue('other', 'localhost')"]
    for name in ("", "a/b", "database-ca"):
        with pytest.raises(DatabaseCaError):
            authority.issue(name)
    assert snapshot(authority.root) == before


def test_what_is_revoked_is_refused_everywhere(authority: ThrowawayAuthority) -> None:
    server, client = authority.issue("localhost"), authority.issue("app")
    handshake(authority.client_context(client), authority.server_context(server), "localhost")
    authority.revoke(client)
    assert "certificate revoked" in verified(client)
    assert server.revocation_list_file.read_bytes() == authority.revocation_list_file.read_bytes()
    assert server.revocation_list_file.stat().st_mode & 0o777 == 0o644
    with pytest.raises(ssl.SSLError, match="revoked"):
        handshake(authority.client_context(client), authority.server_context(server), "localhost")
    with pytest.raises(DatabaseCaError, match="revoked already"):
        authority.revoke(client)

    authority.revoke(server)
    files = snapshot(server.directory)
    again = authority.issue("localhost")
    assert again.serial != server.serial
    assert snapshot(server.directory) == files
    assert verified(again).endswith(": OK")
    assert "certificate revoked" in verified(server)


def test_contexts_refuse_what_is_not_right(authority: ThrowawayAuthority, tmp_path: Path) -> None:
    server, client = authority.server_context(authority.issue("localhost", "127.0.0.1")), authority.client_context()
    with pytest.raises(ssl.SSLError, match=r"(?i)peer did not return a certificate"):
        handshake(client, server, "localhost")
    client = authority.client_context(authority.issue("app"))
    handshake(client, server, "127.0.0.1")
    with pytest.raises(ssl.SSLCertVerificationError, match="Hostname mismatch"):
        handshake(client, server, "elsewhere.example.net")
    with pytest.raises(ssl.SSLCertVerificationError, match="certificate has expired"):
        handshake(client, authority.server_context(authority.issue("expired", "localhost", days=-1)), "localhost")
    with throwaway_authority(tmp_path / "other", "Strangers") as strangers:
        other = strangers.server_context(strangers.issue("localhost"))
        with pytest.raises(ssl.SSLCertVerificationError, match="certificate verify failed"):
            handshake(client, other, "localhost")
    assert strangers.certificate_file.is_file()  # a directory that was given stays


def test_it_is_a_whole_ordinary_authority(authority: ThrowawayAuthority) -> None:
    app = authority.issue("app")
    authority.revoke(authority.issue("gone"))
    authority.issue("expired", days=-1)
    listed = done("list", "--ca", authority.directory, "--json", directory=authority.root).document
    assert [(one["name"], one["status"]) for one in listed["certificates"]] == [
        ("app", "valid"),
        ("gone", "revoked"),
        ("expired", "expired"),
    ]
    done("verify", "app", "--ca", authority.directory, directory=authority.root)
    checked = tool("check", "--ca", authority.directory, directory=authority.root).output
    assert {line.split()[2] for line in checked.splitlines() if line.startswith(("WARNING ", "CRITICAL "))} == {
        "expired"
    }
    environment = {"OPENSSL_CONF": "./database-ca.cnf"}
    openssl("ca", "-batch", "-updatedb", directory=authority.directory, environment=environment)
    openssl(
        "ca", "-batch", "-revoke", f"newcerts/{app.serial}.pem", directory=authority.directory, environment=environment
    )
    assert authority.issue("other").serial == "05"


def test_a_server_in_a_container_may_read_its_files(authority: ThrowawayAuthority) -> None:
    one = authority.issue("localhost")
    authority.revoke(authority.issue("app"))
    for path in (one.directory, one.key_file.parent):
        assert path.stat().st_mode & 0o777 == 0o755
    for path in files_of(one):
        assert path.stat().st_mode & 0o777 == 0o644
    assert (authority.root / "host.key.pem").stat().st_mode & 0o777 == 0o600


def test_option_files_name_the_files(authority: ThrowawayAuthority) -> None:
    one = authority.issue("localhost")
    for text in (
        one.server_settings(),
        one.server_settings("mysql"),
        one.client_settings(),
        one.client_settings("mysql"),
    ):
        for path in files_of(one):
            assert f"= {path}\n" in text
    mounted = one.server_settings(directory=Path("/etc/mysql/ssl"))
    assert "= /etc/mysql/ssl/private/localhost.key.pem\n" in mounted
    assert str(one.directory) not in mounted
    assert "\n[mysqld]\n" in one.server_settings()
    assert "VERIFY_IDENTITY" in one.client_settings("mysql")


def test_nothing_is_left_and_nothing_is_overwritten(tmp_path: Path) -> None:
    with throwaway_authority(tmp_path / "deep/ca") as kept, throwaway_authority() as gone:
        before = snapshot(tmp_path)
        with pytest.raises(DatabaseCaError, match="nothing is overwritten"):
            ThrowawayAuthority.make(kept.root)
        assert snapshot(tmp_path) == before
        assert gone.certificate_file.is_file()
    assert not gone.root.exists()


CONFTEST = """\
from dbca_openssl.testing import ThrowawayAuthority  # before pytest sees the next line

pytest_plugins = ["dbca_openssl.testing"]
"""
TESTS = """\
import pytest


@pytest.mark.parametrize("number", range(6))
def test_shared(database_ca, number, record):
    issued = database_ca.issue(f"app{number}")
    same = database_ca.issue("same")
    assert issued.key_file.read_bytes() == same.key_file.read_bytes()
    record(database_ca, issued, same)


@pytest.mark.parametrize("number", range(2))
def test_fresh(fresh_database_ca, database_ca, number, tmp_path):
    before = database_ca.issue("same").revocation_list_file.read_bytes()
    issued = fresh_database_ca.issue("app0")
    assert issued.serial == "02"
    fresh_database_ca.revoke(issued)
    assert database_ca.issue("same").revocation_list_file.read_bytes() == before
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def record():
    def write(authority, *issued):
        with open("record", "a") as file:
            print(authority.root, *(one.serial for one in issued), file=file)
    return write
"""


def pytest_run(directory: Path, *options: str | Path, tests: str = TESTS, conftest: str = CONFTEST) -> Finished:
    """Run pytest as somebody else's project would, where every warning is an error."""
    (directory / "conftest.py").write_text(conftest)
    (directory / "test_tls.py").write_text(tests)
    temporary = directory.parent / f"{directory.name}-tmp"
    return run(
        *(sys.executable, "-m", "pytest", "-W", "error", "-p", "no:cacheprovider", f"--basetemp={temporary}", *options),
        directory=directory,
    )


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "project").mkdir()
    return tmp_path / "project"


def test_the_plugin_shares_one_authority_and_makes_fresh_ones(project: Path) -> None:
    finished = pytest_run(project)
    assert "8 passed" in finished.output, finished.output
    records = [line.split() for line in (project / "record").read_text().splitlines()]
    assert len({root for root, _, _ in records}) == 1
    assert len({serial for _, serial, _ in records}) == 6
    assert len({same for _, _, same in records}) == 1


def test_each_worker_of_xdist_has_its_own(project: Path) -> None:
    finished = pytest_run(project, "-n", "2", "--dist", "each")
    assert "16 passed" in finished.output, finished.output
    roots = [line.split()[0] for line in (project / "record").read_text().splitlines()]
    assert sorted(roots.count(root) for root in set(roots)) == [6, 6]


def test_the_fixtures_are_explained(project: Path) -> None:
    finished = pytest_run(project, "-p", "dbca_openssl.testing", "--fixtures", conftest="")
    assert finished.code == 0
    assert "\ndatabase_ca [session scope] -- " in finished.output
    assert "\nfresh_database_ca -- " in finished.output


def test_without_openssl_the_fixture_says_what_to_do(project: Path) -> None:
    (project / "conftest.py").write_text(CONFTEST)
    (project / "test_tls.py").write_text(TESTS)
    command = (sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-k", "shared and 0")
    finished = run(*command, directory=project, environment={"PATH": str(project)})
    assert "DatabaseCaError: cannot run openssl: there is no such program" in finished.output
    assert "hint: install openssl" in finished.output


def test_pytest_is_not_needed_and_nothing_heavy_is_imported(tmp_path: Path) -> None:
    program = """
import sys
sys.modules["pytest"] = None  # as if it were not there
from dbca_openssl.testing import throwaway_authority
print(*({"jinja2", "ssl", "sh", "typer", "_pytest"} & set(sys.modules)))
with throwaway_authority() as ca:
    print(ca.issue("app").serial)
try:
    import dbca_openssl.testing.fixtures
except ImportError as error:
    print(error)
"""
    finished = run(sys.executable, "-c", program, directory=tmp_path)
    assert finished.code == 0, finished.messages
    assert finished.output.startswith("\n02\n")
    assert "pytest" in finished.output.splitlines()[2]
