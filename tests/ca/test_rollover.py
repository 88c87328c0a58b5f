"""`init --renew` and `rollover`, on real openssl, real handshakes and GnuTLS."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from dbca_openssl.ca.rollover import RECORD
from dbca_openssl.transaction import Transaction
from tools.support import (
    HOSTS,
    ORGANIZATION,
    done,
    frozen_tool,
    index_rows,
    openssl,
    plain_request,
    refusal,
    run,
    snapshot,
    tool,
)

AIKEN, MARGARET, GANNIBAL = HOSTS
SECOND = "example.net Database CA 2"
BOTH = ("database-ca.cert.pem", "database-ca.crl")


def field(ca: Path, option: str, file: str = "database-ca.cert.pem") -> str:
    return openssl("x509", "-in", file, "-noout", option, directory=ca)


def accepted(directory: Path, *files: str | Path) -> bool:
    """Whether openssl accepts certificates with the two files of a host, its lists included."""
    command = ("openssl", "verify", "-x509_strict", "-crl_check_all", "-CAfile", BOTH[0], "-CRLfile", BOTH[1])
    return run(*command, *files, directory=directory).code == 0


def test_its_own_certificate_again(fleet: Path, environment: dict[str, str], tmp_path: Path) -> None:
    options = ("-subject", "-pubkey")
    before = [field(fleet, option) for option in options]
    clock = f"{datetime.now(UTC) + timedelta(days=200):%Y-%m-%d 12:00:00}"
    renewed = frozen_tool(
        *(clock, "init", "--renew", "--years", "7", "--json", "--ca", fleet),
        directory=tmp_path,
        environment=environment,
    )
    assert renewed.code == 0, renewed.messages
    assert renewed.document["serial"] == "04"
    assert [field(fleet, option) for option in options] == before
    end = openssl("x509", "-in", "database-ca.cert.pem", "-noout", "-enddate", directory=fleet)
    assert end.split()[-2] == str((datetime.now(UTC) + timedelta(days=201)).year + 7)
    assert [(row[3], row[0]) for row in index_rows(fleet)] == [
        ("00", "E"), ("01", "V"), ("02", "V"), ("03", "V"), ("04", "V"),
    ]  # fmt: skip
    assert (fleet / "newcerts/04.pem").read_bytes() == (fleet / "database-ca.cert.pem").read_bytes()

    files = ("--load-ca-certificate", "database-ca.cert.pem", "--load-crl", "crl/database-ca.crl")
    made = frozen_tool(clock, "crl", "--ca", fleet, directory=tmp_path, environment=environment)
    assert made.code == 0
    for name in HOSTS:
        verified = frozen_tool(clock, "verify", name, "--host", name, "--ca", fleet, directory=tmp_path)
        assert verified.code == 0, verified.messages
        gnutls = run(
            *("faketime", "-f", clock, "certtool", "--verify", *files, "--infile", f"certs/{name}.cert.pem"),
            directory=fleet,
            environment={"TZ": "UTC"},
        )
        assert gnutls.code == 0, gnutls.output


def test_everything_goes_on_after_it(fleet: Path, keys: Path, environment: dict[str, str]) -> None:
    done("init", "--renew", directory=fleet, environment=environment)
    assert tool("check", directory=fleet).output == "OK: 0 findings\n"
    listed = done("list", "--json", directory=fleet).document["certificates"]
    assert [one["name"] for one in listed] == list(HOSTS)
    plain_request(fleet, "new.example.net", keys / "host.key.pem")
    openssl(
        *("ca", "-batch", "-in", "certreqs/new.example.net.req.pem", "-out", "certs/new.example.net.cert.pem"),
        *("-extensions", "cert_ext", "-passin", f"file:{environment['DBCA_PASSPHRASE_FILE']}"),
        directory=fleet,
        environment={"OPENSSL_CONF": "./database-ca.cnf"},
    )
    done("verify", "new.example.net", directory=fleet)
    done("renew", AIKEN, "--yes", directory=fleet, environment=environment)
    done("init", "--renew", directory=fleet, environment=environment)
    done("verify", AIKEN, directory=fleet)
    assert tool("check", directory=fleet).output == "OK: 0 findings\n"


def test_certificates_that_name_the_serial_of_the_old_one_stop_it(
    fleet: Path, environment: dict[str, str], keys: Path
) -> None:
    """As easy-rsa's do: no openssl would accept them under a certificate with another serial."""
    configuration = fleet / "database-ca.cnf"
    text = configuration.read_text()
    configuration.write_text(text.replace("= keyid:always", "= keyid:always, issuer:always"))
    plain_request(fleet, "named.example.net", keys / "host.key.pem")
    done("sign", "named.example.net", "--yes", directory=fleet, environment=environment)
    configuration.write_text(text)
    before = snapshot(fleet, without=(".lock",))
    refused = tool("init", "--renew", directory=fleet, environment=environment)
    assert refusal(refused) == (
        "the certificate of named.example.net names the serial of the old CA certificate, and would expire with it"
    )
    assert "hint: dbca-openssl renew named.example.net signs it again without the serial" in refused.messages
    assert snapshot(fleet, without=(".lock",)) == before

    done("renew", "named.example.net", "--yes", directory=fleet, environment=environment)
    done("init", "--renew", directory=fleet, environment=environment)
    verified = done("verify", "named.example.net", directory=fleet).output
    assert verified.endswith("named.example.net.cert.pem: OK\n")


def test_refusals_of_renewing_itself(fleet: Path, environment: dict[str, str], tmp_path: Path) -> None:
    wrong = tmp_path / "wrong"
    wrong.write_text("not it at all\n")
    wrong.chmod(0o600)
    before = snapshot(fleet, without=(".lock",))
    for arguments, code in (
        (("--passphrase-file", wrong), 1),
        (("--organization", "other"), 2),
        (("--key", wrong), 2),
    ):
        assert tool("init", "--renew", *arguments, directory=fleet, environment=environment).code == code
        assert snapshot(fleet, without=(".lock",)) == before
    (fleet / "database-ca.req.pem").unlink()
    refused = tool("init", "--renew", directory=fleet, environment=environment)
    assert refusal(refused) == f"cannot read {fleet}/database-ca.req.pem: No such file or directory"


@pytest.fixture
def second(tmp_path: Path, keys: Path) -> Path:
    """The authority that is to take over, without a pass phrase."""
    ca = tmp_path / "second"
    openssl("genrsa", "-out", "second.key.pem", "2048", directory=tmp_path)
    done(
        *("init", "-o", ORGANIZATION, "--common-name", SECOND, "--key", tmp_path / "second.key.pem"),
        *("--no-passphrase", "--ca", ca),
        directory=tmp_path,
    )
    return ca


def rollover(old: Path, new: Path, *more: str | Path) -> dict[str, object]:
    document: dict[str, object] = done("rollover", old, "--ca", new, "--json", *more, directory=old.parent).document
    return document


def test_a_bundle_is_refreshed(fleet: Path, second: Path, environment: dict[str, str], tmp_path: Path) -> None:
    both = tmp_path / "both"
    assert rollover(fleet, second, "--output", both)["bundle"] == [str(both / name) for name in BOTH]
    for name in BOTH:
        assert (both / name).read_bytes().count(b"-----BEGIN") == 2
    done("sign", fleet / f"certreqs/{AIKEN}.req.pem", "--yes", "--ca", second, directory=tmp_path)
    assert accepted(both, fleet / f"certs/{MARGARET}.cert.pem", second / f"certs/{AIKEN}.cert.pem")
    shutil.copy(second / "database-ca.cert.pem", tmp_path)
    shutil.copy(fleet / "crl/database-ca.crl", tmp_path)
    assert not accepted(tmp_path, second / f"certs/{AIKEN}.cert.pem"), "the CRL of the old CA alone is not enough"

    done("revoke", MARGARET, "--yes", directory=fleet, environment=environment)
    rollover(fleet, second, "--output", both)
    assert not accepted(both, fleet / f"certs/{MARGARET}.cert.pem"), "a revocation by the old CA still counts"


def test_what_the_old_one_has_signed_for_clients_is_shown(fleet: Path, second: Path, tmp_path: Path) -> None:
    assert rollover(fleet, second)["clients"] == sorted(HOSTS)
    done("sign", fleet / f"certreqs/{AIKEN}.req.pem", "--yes", "--ca", second, directory=tmp_path)
    assert rollover(fleet, second)["clients"] == sorted((MARGARET, GANNIBAL))


def handshake(host: Path, server: Path, client: Path, key: Path) -> bool:
    """A server and a client of openssl that both demand certificates and lists, with the two files of a host.

    Their `-CRL` reads the first list of a file only, `-CAfile` all, as the servers' `ssl-crl` does.
    """
    trusted = host / "trusted.pem"
    trusted.write_bytes(b"".join((host / name).read_bytes() for name in BOTH))
    trust = ("-CAfile", trusted, "-crl_check_all")
    listening = subprocess.Popen(
        ["openssl", "s_server", "-accept", "127.0.0.1:0", "-naccept", "1", "-cert", server, "-key", key,
         *trust, "-Verify", "2", "-verify_return_error", "-tls1_2"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    assert listening.stdout
    with listening:
        try:
            address = next(line for line in listening.stdout if line.startswith("ACCEPT ")).split()[1]
            connected = run(
                *("openssl", "s_client", "-connect", address, "-cert", client, "-key", key),
                *(*trust, "-verify_return_error", "-tls1_2"),
                directory=host,
                stdin="Q\n",
            )
        finally:
            listening.kill()
    return connected.code == 0 and "Verify return code: 0 (ok)" in connected.output


def test_hosts_of_both_talk_to_each_other(fleet: Path, second: Path, keys: Path, tmp_path: Path) -> None:
    done("sign", fleet / f"certreqs/{AIKEN}.req.pem", "--yes", "--ca", second, directory=tmp_path)
    both = tmp_path / "both"
    rollover(fleet, second, "--output", both)
    moved, staying = second / f"certs/{AIKEN}.cert.pem", fleet / f"certs/{MARGARET}.cert.pem"
    key = keys / "host.key.pem"
    assert handshake(both, moved, staying, key)
    assert handshake(both, staying, moved, key)
    alone = tmp_path / "alone"
    alone.mkdir()
    for name in ("database-ca.cert.pem", "crl/database-ca.crl"):
        shutil.copy(second / name, alone)
    assert handshake(alone, moved, moved, key)
    assert not handshake(alone, moved, staying, key)


def test_what_cannot_follow_is_refused(fleet: Path, second: Path, keys: Path, tmp_path: Path) -> None:
    same_key, same_name = tmp_path / "same-key", tmp_path / "same-name"
    done(
        *("init", "-o", "other", "--key", keys / "plain-ca.key.pem", "--no-passphrase", "--ca", same_key),
        directory=tmp_path,
    )
    done(
        *("init", "-o", ORGANIZATION, "--key", tmp_path / "second.key.pem", "--no-passphrase", "--ca", same_name),
        directory=tmp_path,
    )
    (tmp_path / "full").mkdir()
    (tmp_path / "full/database-ca.crl").write_text("something\n")
    before = snapshot(tmp_path)
    for ca, more, why in (
        (same_key, (), "the two CAs have the same key"),
        (same_name, (), "the two CAs have the same name, and servers would mix up their CRLs"),
        (fleet, (), "the two CAs have the same key"),
        (tmp_path / "none", (), f"no CA in {tmp_path}/none: there is no database-ca.cnf"),
        (second, ("-o", "full"), "full/database-ca.crl exists already, and nothing is overwritten"),
    ):
        assert refusal(tool("rollover", fleet, "--ca", ca, *more, directory=tmp_path)) == why
    assert snapshot(tmp_path) == before


@pytest.mark.parametrize("name", [RECORD, f"certreqs/{AIKEN}.req.pem.old"])
def test_what_was_cut_is_finished_by_the_next_verb(name: str, fleet: Path, tmp_path: Path) -> None:
    """Killed once the change counts, before anything is in its place."""
    program = """
import os, signal, sys
from pathlib import Path
from dbca_openssl import transaction
transaction._finish = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
with transaction.Transaction(Path(sys.argv[1]), compared=[sys.argv[2]], tell=print) as change:
    change.write(sys.argv[2], b"content")
    change.commit((sys.argv[2],))
"""
    killed = run(sys.executable, "-c", program, fleet, name, directory=tmp_path)
    assert killed.code == -signal.SIGKILL, killed.messages
    assert not (fleet / name).exists()
    done("list", "--ca", fleet, directory=tmp_path)
    assert (fleet / name).read_text() == "content"
    assert not (fleet / ".commit").exists()


def test_nothing_is_committed_that_would_not_be_recovered(fleet: Path) -> None:
    before = snapshot(fleet, without=(".lock",))
    with Transaction(fleet, compared=["stray"], tell=pytest.fail) as change:
        change.write("stray", b"")
        with pytest.raises(ValueError, match="a commit of stray would not be recovered"):
            change.commit(("stray",))
    assert snapshot(fleet, without=(".lock",)) == before
