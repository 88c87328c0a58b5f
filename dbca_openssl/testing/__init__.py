"""A throw-away CA for the tests of other projects.

`pytest_plugins = ["dbca_openssl.testing"]` in the top conftest.py gives tests the fixtures `database_ca` and
`fresh_database_ca`. Without pytest, which only `fixtures` imports, there are `throwaway_authority` and the classes.
It is no pytest11 entry point, since the tool may be installed beside the pytest of others.
PYTEST_DONT_REWRITE: a conftest.py may import this before it names the plugin.
"""

from dbca_openssl.testing.throwaway import Issued, ThrowawayAuthority, throwaway_authority

__all__ = ["Issued", "ThrowawayAuthority", "throwaway_authority"]

pytest_plugins = ["dbca_openssl.testing.fixtures"]  # pytest follows this from plugin to plugin
