"""What the tests of `check` and `repair` damage a CA with."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tools.damage import AIKEN, NEW, sign_plainly
from tools.support import ORGANIZATION, done, openssl, plain_request


@pytest.fixture(scope="session")
def others(pristine_fleet: Path, keys: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The same CA after one more signature by plain openssl, and another CA of the same name."""
    directory = tmp_path_factory.mktemp("others")
    signed = Path(shutil.copytree(pristine_fleet, directory / "signed"))
    plain_request(signed, NEW, keys / "host.key.pem")
    sign_plainly(signed, keys / "phrase", NEW)
    done(
        *("init", "-o", ORGANIZATION, "--key", keys / "host.key.pem", "--no-passphrase", "--ca", directory / "twin"),
        directory=directory,
    )
    shutil.copy(signed / f"certreqs/{AIKEN}.req.pem", directory / "twin/certreqs")
    openssl(
        *("ca", "-batch", "-in", f"certreqs/{AIKEN}.req.pem", "-out", f"certs/{AIKEN}.cert.pem"),
        *("-extensions", "cert_ext"),
        directory=directory / "twin",
        environment={"OPENSSL_CONF": "./database-ca.cnf"},
    )
    return signed, directory / "twin"
