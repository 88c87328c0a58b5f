"""Where the guide's text does not run as it stands, what happens then, and what is done instead."""

from __future__ import annotations

from typing import NamedTuple


class Erratum(NamedTuple):
    """One place of the guide."""

    number: int
    guide: str
    happens: str
    mend: str


ERRATA = tuple(
    Erratum(number, *texts)
    for number, texts in enumerate(
        (
            (
                "the configuration is called `database_ca.cnf` in the text and `database-ca.cnf` in the command",
                "OPENSSL_CONF names a file that is not there",
                "`database-ca.cnf`",
            ),
            (
                "`cd /database-ca`",
                "a directory at the root of the file system, where there is none",
                "the directory that was just made, relative: `cd database-ca`",
            ),
            (
                "the options of the request stand in `[ ca_req ]`",
                "`openssl req` reads `[ req ]`; it fails, and has printed the new encrypted key by then",
                "a `[ req ]` with the same values, after the guide's text",
            ),
            (
                "`default_keyfile = private/mariadatabase-ca.key.pem`",
                "`openssl ca` looks for `private/database-ca.key.pem`",
                "the `[ req ]` after the guide's text names the latter",
            ),
            (
                "`subjectAltName = @subject_alt_name`, a section that is not there",
                "self-signing fails",
                "the section, with a `dirName` that is the authority's own name (beyond ASCII, where openssl garbles "
                "a `dirName`: the place of its certificate)",
            ),
            (
                "`@auth_info_access` and `crl_dist`, sections that are not there",
                "self-signing fails",
                "the sections, with the places where the guide puts the files: `file:///etc/mysql/ssl/...`, or `--url`",
            ),
            (
                "the authority signs itself under `policy = cert_policy`",
                "the organisation is dropped from its name",
                "`-policy ca_policy`, the section that the guide wrote for it",
            ),
            (
                "`crl = $dir/database-ca.crl` in the configuration, `crl/database-ca.crl` in the command",
                "two places for one list",
                "the command's place",
            ),
            (
                "dates by `date +%y%m%d000000Z`",
                "the year 2050 is read as 1950",
                "the same instants as YYYYMMDD000000Z",
            ),
            (
                "`default_days = 368 # Two years`",
                "one year and three days",
                "the text stays as it is; `--days` decides",
            ),
            (
                "`openssl req -new`, typed a second time",
                "empties the key of the authority before it asks for a pass phrase",
                "refused: a key is never overwritten",
            ),
            (
                "a common name of the organisation and 53 more characters",
                "more than the allowed 64 for every organisation that is longer than `example.net`",
                "the longest of a few shorter forms that fits, and it is said; or `--common-name`",
            ),
            (
                "the authority's serial is 00, and host certificates have no alternative name",
                "Go's TLS and newer wolfSSL refuse them",
                "the guide's way by default; `--profile modern` starts at 01 and makes the name an alternative name",
            ),
            (
                "ends at the signed certificate",
                "nothing is delivered, configured or enforced",
                "`deploy` and `enroll` deliver it; `server settings`, `require`, `probe` and the others do the rest",
            ),
        ),
        start=1,
    )
)
"""All of them, in the guide's order."""
