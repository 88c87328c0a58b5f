"""The only door to a database: the real `mariadb` or `mysql` client, with the administrator's own option files.

Statements go in by standard input, so that they are on no command line, and rows come back as the client's
`--batch` format, which both clients have in common. A password is the business of the client and its option files.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from dbca_openssl.database.statements import PLAIN_MODE, Flavor
from dbca_openssl.errors import DatabaseCaError, UnreachableError

SECONDS = 10
"""How long the client tries to connect."""

_ESCAPES = {"n": "\n", "t": "\t", "0": "\0", "\\": "\\"}

Row = Mapping[str, str]


class Client(NamedTuple):
    """How to reach a server; None everywhere is what the client itself finds in `~/.my.cnf` and the like.

    `program` is the client's path, or None for the first of `mariadb` and `mysql` that there is (of the wanted flavor).
    With `tls` a client of MariaDB uses TLS or does not connect; that of 10.5 uses none unasked.
    """

    program: str | None = None
    flavor: Flavor | None = None
    defaults_file: Path | None = None
    socket: Path | None = None
    host: str | None = None
    port: int | None = None
    user: str | None = None
    tls: bool = False

    def command(self) -> tuple[str, ...]:
        """The program and its options. Raises DatabaseCaError where no client is installed."""
        given = (
            ("--defaults-file", self.defaults_file),  # must be the first
            ("--socket", self.socket),
            ("--host", self.host),
            ("--port", self.port),
            ("--user", self.user),
        )
        return (
            self._program(),
            *(f"{option}={value}" for option, value in given if value is not None),
            *("--batch", "--binary-mode", "--default-character-set=utf8mb4", f"--connect-timeout={SECONDS}"),
            *(("--ssl",) if self.tls else ()),
        )

    def query(self, statement: str) -> list[Row]:
        """The rows of one statement, each by column name; NULL is the text `NULL`. Raises DatabaseCaError."""
        header, *rows = self._run(f"{statement};\n").removesuffix("\n").split("\n")  # other line ends are text
        names = [_plain(cell) for cell in header.split("\t")]
        return [dict(zip(names, (_plain(cell) for cell in row.split("\t")), strict=True)) for row in rows]

    def execute(self, *statements: str) -> None:
        """Run statements whose strings are quoted for `PLAIN_MODE`. Raises DatabaseCaError at the first that fails."""
        self._run("".join(f"{statement};\n" for statement in (PLAIN_MODE, *statements)))

    def server_flavor(self) -> Flavor:
        """What the server is, as it says itself. Raises DatabaseCaError where it does not answer."""
        (row,) = self.query("SELECT VERSION() AS version")
        return "mariadb" if "mariadb" in row["version"].lower() else "mysql"

    def _program(self) -> str:
        if self.program is not None:
            return self.program
        names = ("mariadb", "mysql") if self.flavor != "mysql" else ("mysql",)
        for name in names:
            if found := shutil.which(name):
                return found
        raise DatabaseCaError(
            f"the client {' or '.join(names)} is not installed",
            "Debian: apt install mariadb-client-core (or mysql-client-core); --client-program PATH names another",
        )

    def _run(self, script: str) -> str:
        import sh  # slow to import, and only the verbs that talk to a server need it

        program, *arguments = self.command()
        try:
            finished: Any = sh.Command(program)(
                *arguments,
                _in=script.encode(),
                _tty_out=False,
                _tty_in=False,
                _ok_code=tuple(range(256)),
                _return_cmd=True,
            )
        except sh.CommandNotFound:
            raise DatabaseCaError(f"cannot run {program}: there is no such program") from None
        except sh.SignalException as error:
            raise DatabaseCaError(f"{program} was ended by a signal: {type(error).__name__}") from None
        if finished.exit_code != 0:
            raise _failure(program, finished.stderr.decode("utf-8", "replace"))
        return str(finished.stdout.decode("utf-8", "replace"))


def _plain(cell: str) -> str:
    return re.sub(r"\\([nt0\\])", lambda match: _ESCAPES[match.group(1)], cell)


def _failure(program: str, messages: str) -> DatabaseCaError:
    lines = [line.strip() for line in messages.splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith("ERROR")] or lines[-1:] or ["it says nothing"]
    plain = "".join(character if character.isprintable() else "?" for character in errors[0])
    match = re.match(r"ERROR (\d+)\b", plain)
    number = int(match.group(1)) if match else 0
    kind = UnreachableError if number in _UNREACHABLE else DatabaseCaError
    hints = (_HINTS[number],) if number in _HINTS else ()
    return kind(f"{Path(program).name}: {plain}", *hints, detail=messages)


_UNREACHABLE = (2002, 2003, 2005, 2006, 2013, 2026)
"""No connection, the server went away in the middle of it, or no TLS."""

_WHERE = "--socket, --host, --port and --defaults-file say where the server is"
_HINTS = {
    1044: "--user or --defaults-file names another account",
    1045: "--defaults-file FILE names an option file with the user and password of [client]",
    1142: "--user or --defaults-file names another account, one that may see mysql.user",
    1227: "--user or --defaults-file names another account, one that may do it",
    1698: "--defaults-file FILE names an option file with the user and password of [client]",
    2002: _WHERE,
    2003: _WHERE,
    2005: _WHERE,
    2026: "dbca-openssl server probe tells what the server serves, and --skip-ssl in an option file leaves TLS away",
}
