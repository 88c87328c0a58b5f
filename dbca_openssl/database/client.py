"""The one way to a database: the real `mariadb` or `mysql` client, with the administrator's own option files.

Statements go in by standard input, so that they are on no command line, and rows come back in the client's
`--batch` format, which both clients have in common. A password is the business of the client and its option files.

Nothing that a server sends is trusted: it gets no file, and its output, its time and the client's memory are bounded.
"""

from __future__ import annotations

import re
import shutil
import signal
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any, NamedTuple

from dbca_openssl.database.findings import UnreachableError
from dbca_openssl.database.statements import PLAIN_MODE, Flavor
from dbca_openssl.errors import DatabaseCaError
from dbca_openssl.openssl import content, memory_file

SECONDS, SECONDS_IN_ALL = 10, 60
"""How long the client tries to connect, and how long it may take for everything."""

LARGEST_OUTPUT = 4 << 20
"""Bytes of rows, and as many of messages, that a server may send."""

LARGEST_MEMORY = 256 << 20
"""Bytes of memory that the client may take; a result with endless columns would fill it before the first row."""

# An option file may allow what a server must not have, or change the format of what is read here.
_SAFE = (
    "--local-infile=0",  # else a server may answer any statement by asking for a file, such as the CA key
    "--loose-load-data-local-dir=",  # MySQL: files in that directory are given even so
    "--quick",  # rows are not collected in memory
    "--skip-safe-updates",  # which leaves rows out
    *("--skip-force", "--delimiter=;"),
    *("--skip-table", "--skip-vertical", "--skip-html", "--skip-xml", "--skip-raw", "--column-names"),
)

_LAST = "SELECT 'row' AS last"
_LAST_OUTPUT = "last\nrow\n"
"""What must be at the end of all rows, since a client exits 0 where an option file made it skip the statements."""

_ESCAPES = {"n": "\n", "t": "\t", "0": "\0", "\\": "\\"}


class Row(dict[str, str]):
    """The cells of a row by column name; NULL is the text `NULL`."""

    def __missing__(self, name: str) -> str:
        """Raise DatabaseCaError."""
        raise DatabaseCaError(f"the server's answer has no column {name}")

    def unhex(self, name: str) -> bytes:
        """The bytes that a cell has in hex. Raises DatabaseCaError where it has not."""
        try:
            return bytes.fromhex(self[name])
        except ValueError:
            raise DatabaseCaError(f"the column {name} of the server's answer is not in hex") from None

    def text(self, name: str) -> str:
        """The text that a cell has in hex. Raises DatabaseCaError as `unhex` does."""
        return self.unhex(name).decode("utf-8", "replace")


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
            *("--batch", "--binary-mode", "--default-character-set=utf8mb4", f"--connect-timeout={SECONDS}", *_SAFE),
            *(("--ssl",) if self.tls else ()),
        )

    def query(self, statement: str) -> Iterator[Row]:
        """The rows of one statement, unread by the time that it returns. Raises DatabaseCaError."""
        output = self._run(statement, _LAST)
        if not output.endswith(_LAST_OUTPUT):
            raise _not_rows("they are not whole")
        if output == _LAST_OUTPUT:  # without rows there is no line of column names
            return iter(())
        header, *rows = output.removesuffix(f"\n{_LAST_OUTPUT}").split("\n")  # other line ends are text
        names = _cells(header)
        return (_row(names, _cells(line)) for line in rows)

    def one(self, statement: str) -> Row:
        """The row of a statement that has one. Raises DatabaseCaError."""
        rows = list(self.query(statement))
        if len(rows) != 1:
            raise _not_rows(f"{len(rows)} instead of one")
        return rows[0]

    def execute(self, *statements: str) -> None:
        """Run statements whose strings are quoted for `PLAIN_MODE`. Raises DatabaseCaError at the first that fails."""
        self._run(PLAIN_MODE, *statements)

    def server_flavor(self) -> Flavor:
        """What the server is, as it says itself. Raises DatabaseCaError where it does not answer."""
        version = self.one("SELECT VERSION() AS version")["version"]
        return "mariadb" if "mariadb" in version.lower() else "mysql"

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

    def _run(self, *statements: str) -> str:
        import sh  # slow to import, and only the commands that talk to a server need it

        program, *arguments = self.command()
        with ExitStack() as stack:
            output, messages = (stack.enter_context(memory_file()) for _ in range(2))
            try:
                finished: Any = sh.Command(program)(
                    *arguments,
                    _in="".join(f"{statement};\n" for statement in statements).encode(),
                    _out=output,
                    _err=messages,
                    _tty_in=False,
                    _timeout=SECONDS_IN_ALL,
                    _preexec_fn=_limited,
                    _ok_code=tuple(range(-64, 256)),
                    _return_cmd=True,
                )
            except sh.CommandNotFound:
                raise DatabaseCaError(f"cannot run {program}: there is no such program") from None
            except sh.TimeoutException:
                raise UnreachableError(f"{program} timed out after {SECONDS_IN_ALL} seconds") from None
            code, said = finished.exit_code, content(messages).decode("utf-8", "replace")
            if code == -signal.SIGXFSZ:
                raise UnreachableError(f"the server sent more than {LARGEST_OUTPUT // 1024} KiB")
            if code < 0:
                raise DatabaseCaError(f"{program} was ended by signal {-code}", detail=said)
            if code:
                raise _failure(program, said)
            return content(output).decode("utf-8", "replace")


def _limited() -> None:
    """What the client may take, set in its process before it starts (setrlimit(2))."""
    import resource

    signal.signal(signal.SIGXFSZ, signal.SIG_DFL)  # Python ignores it, and so would the client
    for limit, value in (
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_FSIZE, LARGEST_OUTPUT),
        (resource.RLIMIT_DATA, LARGEST_MEMORY),
    ):
        with suppress(ValueError):  # the limit that there is already is lower
            resource.setrlimit(limit, (value, value))


def _cells(line: str) -> list[str]:
    return [re.sub(r"\\([nt0\\])", lambda match: _ESCAPES[match.group(1)], cell) for cell in line.split("\t")]


def _row(names: list[str], cells: list[str]) -> Row:
    if len(names) != len(cells):
        raise _not_rows(f"{len(cells)} cells under {len(names)} names")
    return Row(zip(names, cells, strict=True))


def _not_rows(why: str) -> DatabaseCaError:
    return DatabaseCaError(
        f"the client did not print the rows that were asked for: {why}",
        "an option file of the client changes what it prints, such as silent or one-database in [mysql]; "
        "--defaults-file FILE names another",
    )


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
