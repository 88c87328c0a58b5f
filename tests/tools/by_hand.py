"""The guide's commands as they stand in it, and somebody who types them at a real terminal and answers the prompts."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path

from tools.conversation import converse
from tools.support import GUIDE, PASSPHRASE, Finished, openssl

CONFIGURE = "export OPENSSL_CONF=./database-ca.cnf"

MAKE_DATA_FILES = """chmod 700 private
touch database-ca.index
echo 00 > database-ca.crlnum
echo 00 > database-ca.serial"""

REQUEST = f"{CONFIGURE}\nopenssl req -new -out database-ca.req.pem"

SELF_SIGN = rf"""{CONFIGURE}
openssl ca -selfsign \
    -in database-ca.req.pem \
    -out database-ca.cert.pem \
    -extensions ca_ext \
    -startdate `date +%y%m%d000000Z -u -d -1day` \
    -enddate `date +%y%m%d000000Z -u -d +5years+1day`"""

SELF_SIGN_FIXED = SELF_SIGN.replace("-extensions ca_ext", "-extensions ca_ext -policy ca_policy").replace(
    "%y%m", "%Y%m"
)
"""With the flags of errata 7 and 9."""

REVOCATION_LIST = f"{CONFIGURE}\nopenssl ca -gencrl -out crl/database-ca.crl"

HOST_REQUEST = """export OPENSSL_CONF=$PWD/openssl.cnf
export CN={name}
openssl req -new -out ${{CN}}.req.pem"""

SIGN = rf"""{CONFIGURE}
openssl ca \
    -in ./certreqs/{{name}}.req.pem \
    -out ./certs/{{name}}.cert.pem \
    -extensions cert_ext --policy cert_policy"""

_ANSWERS = {
    "Enter pass phrase for ./private/database-ca.key.pem:": PASSPHRASE,
    "Enter pass phrase for private/database-ca.key.pem:": PASSPHRASE,
    "Enter PEM pass phrase:": PASSPHRASE,
    "Sign the certificate? [y/n]:": "y",
    "certificate requests certified, commit? [y/n]": "y",
}


def typed(
    commands: str,
    directory: Path,
    environment: Mapping[str, str] | None = None,
    *,
    answers: Mapping[str, str] = _ANSWERS,
) -> Finished:
    """Type commands into sh at a terminal in `directory`, and answer what is asked there.

    What was on the screen is both outputs in one.
    """

    def answer(shown: str) -> str | None:
        for prompt, text in answers.items():
            if shown.endswith((prompt, f"{prompt} ")):
                return f"{text}\n"
        return None

    command = ("sh", "-c", f"set -e\n{commands}")
    code, screen = converse(*command, answer=answer, directory=directory, environment=environment)
    return Finished(code, screen.replace("\r\n", "\n"), "")


def typed_well(commands: str, directory: Path, environment: Mapping[str, str] | None = None) -> str:
    """Type commands of which every one must exit 0; returns what was on the screen."""
    finished = typed(commands, directory, environment)
    assert finished.code == 0, finished.output
    return finished.output


def new_directory(place: Path, configuration: str | None = None, key: Path | None = None) -> Path:
    """`place/database-ca` by the guide's commands, with its configuration and perhaps a key that is there already.

    The guide's `{certreqs,certs,...}` is written out: bash has such braces, POSIX sh does not.
    """
    directory = place / "database-ca"
    folders = " ".join(f"database-ca/{name}" for name in ("certreqs", "certs", "crl", "newcerts", "private"))
    typed_well(f"umask 022\nmkdir -p {folders}\ncd database-ca\n{MAKE_DATA_FILES}", place)
    (directory / "database-ca.cnf").write_text(configuration or (GUIDE / "database-ca.cnf").read_text())
    (directory / "database-ca.cnf").chmod(0o644)
    if key:
        shutil.copyfile(key, directory / "private/database-ca.key.pem")
        (directory / "private/database-ca.key.pem").chmod(0o600)
    return directory


def certificate_text(path: Path, *options: str) -> str:
    """What `openssl x509 -noout OPTIONS` says of a certificate."""
    return openssl("x509", "-noout", "-in", path, *options, directory=path.parent).strip()
