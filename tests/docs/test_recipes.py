"""The recipes of `docs/`, typed as they are written: from easy-rsa's directory to ours, cron, systemd and CI.

Those that reach hosts are in `host/test_recipes.py`.
"""

from __future__ import annotations

import importlib
import os
import re
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest

from tools.support import HOSTS, PASSPHRASE, ROOT, Finished, done, plain_request, recipe, run, tool

AIKEN, MARGARET, GANNIBAL = HOSTS
MONITOR = "monitor"
COMING = "Coming from easy-rsa, or from your own scripts"
DEBIANS_EASY_RSA = "/usr/share/easy-rsa"
SUBJECTS = {
    "cn_only": {},
    "org": {"EASYRSA_REQ_ORG": "example.net", "EASYRSA_REQ_OU": "databases", "EASYRSA_REQ_EMAIL": "me@example.net"},
}
"""easy-rsa's two kinds of subject: a common name alone, and one between an organization and a mail address."""


def typed(script: str, directory: Path, programs: Path | None = None) -> Finished:
    """Run a recipe with the tool on its PATH, after `programs`, and the pass phrase in the file `phrase`."""
    path = (programs or directory, Path(sys.executable).parent, os.environ["PATH"])
    environment = {"PATH": ":".join(map(str, path)), "DBCA_PASSPHRASE_FILE": str(directory / "phrase")}
    return run("sh", "-eu", "-c", script, directory=directory, environment=environment)


def easy_rsa(directory: Path, *commands: str, **settings: str) -> None:
    """Run commands of the real easy-rsa on `directory/pki`."""
    program = shutil.which("easyrsa", path=f"{os.environ['PATH']}:{DEBIANS_EASY_RSA}")
    assert program, "install easy-rsa (Debian: apt install easy-rsa)"
    environment = {
        "EASYRSA": str(Path(program).parent),
        "EASYRSA_PKI": str(directory / "pki"),
        "EASYRSA_OPENSSL": shutil.which("openssl", path=os.defpath) or "",  # Debian's: 3.1.0 knows no 4.0
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


def test_easy_rsas_directory_is_taken_over_and_the_work_goes_on(easy_rsas: Path, keys: Path) -> None:
    kept = {path: path.read_bytes() for path in (easy_rsas / "pki").rglob("*") if path.is_file()}
    taken = typed(recipe(COMING), easy_rsas)
    assert "fix: " in taken.output, taken.messages
    ca, environment = easy_rsas / "database-ca", {"DBCA_PASSPHRASE_FILE": str(easy_rsas / "phrase")}
    listed = done("list", "--json", directory=ca).document["certificates"]
    assert sorted((one["name"], one["status"]) for one in listed) == [
        (AIKEN, "valid"), (MARGARET, "valid"), (MARGARET, "valid"), (MONITOR, "revoked"),
    ]  # fmt: skip
    assert {path: path.read_bytes() for path in kept} == kept

    checked = tool("check", "--json", directory=ca).document
    assert {finding["code"] for finding in checked["findings"]} == {"duplicate-name", "attributes"}
    older = next(one["serial"] for one in listed if one["name"] == MARGARET)
    fix = next(finding["fix"] for finding in checked["findings"] if finding["code"] == "duplicate-name")
    assert fix == "dbca-openssl revoke SERIAL, of all but one of them: dbca-openssl list has the serials"
    done("revoke", older, "--yes", directory=ca, environment=environment)
    (ca / "database-ca.index.attr").write_text("unique_subject = yes\n")
    assert tool("check", "--deep", directory=ca).output == "OK: 0 findings\n"
    assert not accepted(ca, f"newcerts/{older}.pem")
    assert accepted(ca, f"certs/{MARGARET}.cert.pem")

    plain_request(ca, GANNIBAL, keys / "host.key.pem")
    done("sign", GANNIBAL, "--yes", directory=ca, environment=environment)
    assert accepted(ca, f"certs/{GANNIBAL}.cert.pem")
    done("revoke", AIKEN, "--yes", directory=ca, environment=environment)
    assert not accepted(ca, f"certs/{AIKEN}.cert.pem")
    assert accepted(ca, f"certs/{MARGARET}.cert.pem")
    assert tool("check", "--deep", directory=ca).output == "OK: 0 findings\n"


def test_cron_mails_what_is_wrong_and_nothing_else(fleet: Path) -> None:
    mail = fleet.parent / "mail"
    mail.write_text('#!/bin/sh\n{ echo "$@"; cat; } > mailed\n')
    mail.chmod(0o755)
    text = (ROOT / "docs/recipes.md").read_text()
    (line,) = re.findall(r"^    30 6 \* \* \* +(.*)$", text, re.MULTILINE)
    assert "%" not in line, "cron takes it for a line end"
    command = line.replace("/media/safe/database-ca", str(fleet))
    assert typed(command, fleet.parent).output == ""
    assert not (fleet.parent / "mailed").exists()
    (fleet / "certs" / f"{AIKEN}.cert.pem").unlink()
    assert typed(command, fleet.parent).code == 0
    subject, found = (fleet.parent / "mailed").read_text().splitlines()[:2]
    assert subject == "-s database CA root"
    assert found.startswith("WARNING: 1 finding: certs: ")
    fleet.rename(fleet.parent / "absent")
    assert typed(command, fleet.parent).code == 0
    assert (fleet.parent / "mailed").read_text().splitlines()[1].startswith("UNKNOWN: no CA in ")


def test_systemd_takes_the_units(fleet: Path) -> None:
    analyze = shutil.which("systemd-analyze")
    assert analyze, "install systemd (Debian: apt install systemd)"
    text = recipe("Every day", "ini").replace("/usr/local/bin", str(Path(sys.executable).parent))
    units = dict(re.findall(r"^# /etc/systemd/system/(\S+)\n(.*?)(?=^# |\Z)", text, re.MULTILINE | re.DOTALL))
    for name, unit in units.items():
        (fleet.parent / name).write_text(unit)
    verified = run(analyze, "verify", *(f"./{name}" for name in units), directory=fleet.parent)
    assert (verified.code, verified.output, verified.messages) == (0, "", "")
    (command,) = re.findall("^ExecStart=(.*)$", units["dbca-check.service"], re.MULTILINE)
    assert run(*command.replace("/media/safe/database-ca", str(fleet)).split(), directory=fleet.parent).code == 0
    absent = run(*command.split(), directory=fleet.parent)
    assert (absent.code, absent.output.startswith("UNKNOWN: no CA in /media/safe")) == (3, True)


def test_ci_has_certificates_in_a_moment(tmp_path: Path) -> None:
    yaml: Any = importlib.import_module("yaml")
    steps = yaml.safe_load(recipe("CI", "yaml"))["steps"]
    ran = typed(steps[-1]["run"], tmp_path)
    assert ran.code == 0, ran.messages
    assert "localhost.cert.pem: OK" in ran.output
    settings = (tmp_path / "tls/server.cnf").read_text()
    named = re.findall(r"^ssl_\w+ *= (\S+)$", settings, re.MULTILINE)
    assert len(named) == 4
    assert all(Path(name).is_file() for name in named)
