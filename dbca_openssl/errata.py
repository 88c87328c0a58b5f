"""Where the guide does not work as written: its text, what happens, and the fix."""

from __future__ import annotations

from typing import NamedTuple


class Erratum(NamedTuple):
    """One place in the guide; `fix` is what the tool does instead."""

    number: int
    guide: str
    happens: str
    fix: str


ERRATA = tuple(
    Erratum(number, *columns)
    for number, columns in enumerate(
        (
            (
                "the configuration file is called `database_ca.cnf` in the text and `database-ca.cnf` in the command",
                "OPENSSL_CONF names a file that does not exist",
                "it is called `database-ca.cnf`",
            ),
            (
                "`cd /database-ca`",
                "this names a directory in the root of the file system, which does not exist",
                "a relative path to the directory that was just made: `cd database-ca`",
            ),
            (
                "the options of the CA's request are in the section `[ ca_req ]`",
                "`openssl req` reads `[ req ]`; it fails, after it has printed the new encrypted key",
                "a section `[ req ]` with the same values, after the guide's text",
            ),
            (
                "`default_keyfile = private/mariadatabase-ca.key.pem`",
                "`openssl ca` looks for `private/database-ca.key.pem`",
                "the added `[ req ]` names `private/database-ca.key.pem`",
            ),
            (
                "`subjectAltName = @subject_alt_name` names a section that does not exist",
                "self-signing fails",
                "the section is added: the CA's own name as a `dirName`, or the URI of the CA certificate if the "
                "name is not ASCII, because openssl writes such a `dirName` wrongly",
            ),
            (
                "`@auth_info_access` and `crl_dist` name sections that do not exist",
                "self-signing fails",
                "the sections are added, with the paths where the guide puts the files, `file:///etc/mysql/ssl/...`, "
                "or with `--url`",
            ),
            (
                "the CA certificate is signed with `policy = cert_policy`",
                "openssl drops the organization from the CA's name",
                "`-policy ca_policy`, the section that the guide has for the CA",
            ),
            (
                "`crl = $dir/database-ca.crl` in the configuration, `crl/database-ca.crl` in the command",
                "the CRL has two places",
                "the place in the command",
            ),
            (
                "dates are written with `date +%y%m%d000000Z`",
                "openssl reads the year 2050 as 1950",
                "the same dates as YYYYMMDD000000Z",
            ),
            (
                "`default_days = 368 # Two years`",
                "the certificates are valid for one year and three days",
                "the text is unchanged; `--days` sets another number",
            ),
            (
                "`openssl req -new` is typed a second time",
                "openssl empties the CA key before it asks for a pass phrase",
                "the tool refuses: a key is never overwritten",
            ),
            (
                "the CA's common name is the organization and 53 more characters",
                "it has more than the allowed 64 characters for every organization longer than `example.net`",
                "the longest of a few shorter names that fits, and the tool says so; or `--common-name`",
            ),
            (
                "the CA certificate has the serial 00, and host certificates have no SAN",
                "newer wolfSSL refuses the serial 00, and Go's TLS library the missing SAN",
                "the guide's way by default; with `--profile modern` serials start at 01 and the name is also a SAN",
            ),
            (
                "the guide ends at the signed certificate",
                "no file is delivered, no server is configured, TLS is not enforced",
                "`deploy` and `enroll` deliver the files; the `server` verbs configure, enforce and check",
            ),
        ),
        start=1,
    )
)
"""All of them, in the order of the guide."""
