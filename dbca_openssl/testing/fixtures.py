"""The pytest fixtures: `database_ca` for the session, `fresh_database_ca` for each test. PYTEST_DONT_REWRITE."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from dbca_openssl.testing.throwaway import ThrowawayAuthority


@pytest.fixture(scope="session")
def _database_ca_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A CA that is only copied; with pytest-xdist each worker has its own."""
    return ThrowawayAuthority.make(tmp_path_factory.mktemp("database-ca-template")).root


@pytest.fixture(scope="session")
def database_ca(_database_ca_template: Path, tmp_path_factory: pytest.TempPathFactory) -> ThrowawayAuthority:
    """A throw-away CA that the tests of the session share: issue, revoke."""
    return _copied(_database_ca_template, tmp_path_factory)


@pytest.fixture
def fresh_database_ca(_database_ca_template: Path, tmp_path_factory: pytest.TempPathFactory) -> ThrowawayAuthority:
    """A throw-away CA for one test, which has issued nothing yet; all have the same key."""
    return _copied(_database_ca_template, tmp_path_factory)


def _copied(template: Path, directories: pytest.TempPathFactory) -> ThrowawayAuthority:
    return ThrowawayAuthority(Path(shutil.copytree(template, directories.mktemp("database-ca") / "ca")))
