"""For the tests of other projects: a throw-away authority, and `pytest_plugins = ["dbca_openssl.testing"]`.

With that line in the conftest.py at the top, tests have the fixtures `database_ca` and `fresh_database_ca`. Without
pytest there are `throwaway_authority` and the classes; pytest is only imported by `fixtures`.

It is no entry point (pytest11): the tool may be installed beside anybody's pytest, and then must not be in it.

PYTEST_DONT_REWRITE: there are no assertions to rewrite, and a conftest.py may import this before it names the plugin.
"""

from dbca_openssl.testing.throwaway import Issued, ThrowawayAuthority, throwaway_authority

__all__ = ["Issued", "ThrowawayAuthority", "throwaway_authority"]

pytest_plugins = ["dbca_openssl.testing.fixtures"]  # pytest follows this from plugin to plugin
