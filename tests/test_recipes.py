"""The README's recipes, typed as they stand: from easy-rsa's directory to ours."""

from __future__ import annotations

import os
import re
import shutil
import sys
from pathlib import Path

import pytest
from support import HOSTS, PASSPHRASE, ROOT, Finished, done, openssl, run, tool

README = (ROOT / "README.md").read_text()
AIKEN, MARGARET, GANNIBAL = HOSTS
MONITOR = "monitor"
DEBIANS_EASY_RSA = "/usr/share/easy-rsa"
SUBJECTS = {
    "cn_only": {},
    "org": {"EASYRSA_REQ_ORG": "example.net", "EASYRSA_REQ_OU": "databases", "EASYRSA_REQ_EMAIL": "me@example.net"},
}
"""easy-rsa's two kinds of subject: a common name alone, and one between an organisation and an address of mail."""


def recipe(section: str) -> str:
    """The commands in the first ```sh block of a section of the README."""
    text = README.split(f"## {section}\n")[1]
    block = re.search(r"^```sh\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    assert block
    return block.group(1)


def typed(script: str, directory: Path, phrase: Path) -> Finished:
    """Run a recipe with the tool on its PATH, the pass phrase in a file."""
    environment = {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "DBCA_PASSPHRASE_FILE": str(phrase),
    }
    return run("sh", "-eu", "-c", script, directory=directory, environment=environment)


def easy_rsa(directory: Path, *commands: str, **settings: str) -> None:
    """Run commands of the real easy-rsa on `directory/pki`."""
    program = shutil.which("easyrsa", path=f"{os.environ['PATH']}:{DEBIANS_EASY_RSA}")
    assert program, "install easy-rsa (Debian: apt install easy-rsa)"
    environment = {
        "EASYRSA": str(Path(program).parent),
        "EASYRSA_PKI": str(directory / "pki"),
        "EASYRSA_BATCH": "1",
        "EASYRSA_PASSIN": "file:phrase",
        "EASYRSA_PASSOUT": "file:./phrase",  # by the same name openssl would read the second line
        "EASYRSA_CERT_RENEW": "1000",  # days: or else 3.1 renews nothing yet
        **settings,
    }
    for command in commands:
        finished = run(program, *command.split(), directory=directory, environment=environment)
        assert finished.code == 0, finished.messages + finished.output


@pytest.fixture(params=SUBJECTS)
def easy_rsas(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A directory with easy-rsa's `pki`: a certificate of aiken's, two of margaret's, a revoked one of monitor's."""
    (tmp_path / "phrase").write_text(f"{PASSPHRASE}\n")
    (tmp_path / "phrase").chmod(0o600)
    settings = {"EASYRSA_DN": request.param, **SUBJECTS[request.param]}
    easy_rsa(tmp_path, "init-pki")
    easy_rsa(tmp_path, "build-ca", EASYRSA_REQ_CN="Example CA", **settings)
    easy_rsa(
        tmp_path,
        *(f"build-server-full {AIKEN}", f"build-server-full {MARGARET}", f"build-client-full {MONITOR}"),
        *(f"renew {MARGARET}", f"revoke {MONITOR}", "gen-crl"),
        **settings,
    )
    return tmp_path


def accepted(ca: Path, file: str) -> bool:
    """Whether openssl accepts a certificate as a server does, with the revocation list."""
    command = ("openssl", "verify", "-crl_check", "-CAfile", "database-ca.cert.pem", "-CRLfile", "crl/database-ca.crl")
    return run(*command, file, directory=ca).code == 0


def test_easy_rsas_directory_is_taken_over(easy_rsas: Path, keys: Path) -> None:
    kept = {path: path.read_bytes() for path in (easy_rsas / "pki").rglob("*") if path.is_file()}
    taken = typed(recipe("Coming from easy-rsa, or from a drawer of scripts"), easy_rsas, easy_rsas / "phrase")
    assert "mend: " in taken.output, taken.messages
    ca, environment = easy_rsas / "database-ca", {"DBCA_PASSPHRASE_FILE": str(easy_rsas / "phrase")}
    listed = done("list", "--json", directory=ca).document["certificates"]
    assert sorted((one["name"], one["status"]) for one in listed) == [
        (AIKEN, "valid"), (MARGARET, "valid"), (MARGARET, "valid"), (MONITOR, "revoked"),
    ]  # fmt: skip
    assert {path: path.read_bytes() for path in kept} == kept

    checked = tool("check", "--json", directory=ca).document
    assert {finding["code"] for finding in checked["findings"]} == {"duplicate-name", "attributes"}
    older = next(one["serial"] for one in listed if one["name"] == MARGARET)
    mend = next(finding["mend"] for finding in checked["findings"] if finding["code"] == "duplicate-name")
    assert mend == "dbca-openssl revoke SERIAL, of all but one of them: dbca-openssl list has the serials"
    done("revoke", older, "--yes", directory=ca, environment=environment)
    (ca / "database-ca.index.attr").write_text("unique_subject = yes\n")
    assert tool("check", "--deep", directory=ca).output == "OK: 0 findings\n"
    assert not accepted(ca, f"newcerts/{older}.pem")
    assert accepted(ca, f"certs/{MARGARET}.cert.pem")


def test_the_work_goes_on_there(easy_rsas: Path, keys: Path) -> None:
    typed(recipe("Coming from easy-rsa, or from a drawer of scripts"), easy_rsas, easy_rsas / "phrase")
    ca, environment = easy_rsas / "database-ca", {"DBCA_PASSPHRASE_FILE": str(easy_rsas / "phrase")}
    openssl(
        *("req", "-new", "-key", keys / "host.key.pem", "-subj", f"/CN={GANNIBAL}"),
        *("-out", ca / f"certreqs/{GANNIBAL}.req.pem"),
        directory=ca,
        environment={"OPENSSL_CONF": "/dev/null"},
    )
    done("sign", GANNIBAL, "--yes", directory=ca, environment=environment)
    assert accepted(ca, f"certs/{GANNIBAL}.cert.pem")
    done("revoke", AIKEN, "--yes", directory=ca, environment=environment)
    assert not accepted(ca, f"certs/{AIKEN}.cert.pem")
    done("crl", directory=ca, environment=environment)
    assert accepted(ca, f"certs/{MARGARET}.cert.pem")
