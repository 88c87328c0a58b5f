"""The only module that sends SQL: through the real `mariadb` or `mysql` client, with its own option files.

Statements go in by standard input, so that they are on no command line, and rows come back in the client's
`--batch` format, which both clients have in common. Passwords are left to the client and its option files.

A server is not trusted: it gets no file, and its output, its time and the client's memory are bounded.
"""

from __future__ import annotations

import re
import shutil
import signal
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from dbca_openssl.database.handshake import Target, There
from dbca_openssl.database.statements import PLAIN_MODE, Flavor
from dbca_openssl.errors import DatabaseCaError, UnreachableError
from dbca_openssl.names import printable
from dbca_openssl.openssl import TIMED_OUT, content, memory_file

SECONDS, SECONDS_IN_ALL = 10, 60
"""How long the client tries to connect, and how long it may take for everything."""

LARGEST_OUTPUT = 4 << 20
"""Bytes of rows, and as many of messages, that a server may send."""

LARGEST_MEMORY = 256 << 20
"""Bytes of memory that the client may take; a result with endless columns would fill it before the first row."""

# An option file may let a server have files, or change the format that is read here.
_SAFE = (
    "--local-infile=0",  # else a server can answer any statement by asking for a file, such as the CA key
    "--loose-load-data-local-dir=",  # MySQL sends files from that directory even so
    "--quick",  # rows are not collected in memory
    "--skip-safe-updates",  # which leaves rows out
    *("--skip-force", "--delimiter=;", "--column-names"),
    *("--skip-table", "--skip-vertical", "--skip-html", "--skip-xml", "--skip-raw"),
)

_LAST = "SELECT 'row' AS last"
_LAST_OUTPUT = "last\nrow\n"
"""Must follow all rows: a client exits 0, too, where an option file made it skip the statements."""

_ESCAPES = {"n": "\n", "t": "\t", "0": "\0", "\\": "\\"}


class Row(dict[str, str]):
    """The cells of a row by column name; NULL is the text `NULL`."""

    def __missing__(self, name: str) -> str:
        """Raise DatabaseCaError."""
        raise DatabaseCaError(f"the server's answer has no column {name}")

    def unhex(self, name: str) -> bytes:
        """The bytes of a cell in hex. Raises DatabaseCaError where it is not in hex."""
        try:
            return bytes.fromhex(self[name])
        except ValueError:
            raise DatabaseCaError(f"the column {name} of the server's answer is not in hex") from None

    def text(self, name: str) -> str:
        """The text of a cell in hex. Raises DatabaseCaError as `unhex` does."""
        return self.unhex(name).decode("utf-8", "replace")


class Client(NamedTuple):
    """How to reach a server; what is None is left to the client and its option files, such as `~/.my.cnf`.

    `program` is the client's path, or None for `mariadb`, else `mysql` (with the flavor `mysql` only the latter).
    With `tls` a client of MariaDB connects with TLS only; that of 10.5 uses no TLS by default. With `there` the client
    of that host is run, and the files are its files.
    """

    program: str | None = None
    flavor: Flavor | None = None
    defaults_file: Path | str | None = None
    socket: Path | str | None = None
    host: str | None = None
    port: int | None = None
    user: str | None = None
    tls: bool = False
    there: There | None = None

    def command(self) -> tuple[str, ...]:
        """The program and its options. Raises DatabaseCaError where no client is installed."""
        names = self._names()
        program = self.program or next(filter(None, map(shutil.which, names)), None)
        if program is None:
            raise DatabaseCaError(
                f"the client {' or '.join(names)} is not installed",
                "Debian: apt install mariadb-client-core (or mysql-client-core); --client-program PATH names another",
            )
        return (program, *self._options())

    def _options(self) -> tuple[str, ...]:
        given = (
            ("--defaults-file", self.defaults_file),  # must be the first
            ("--socket", self.socket),
            ("--host", self.host),
            ("--port", self.port),
            ("--user", self.user),
        )
        return (
            *(f"{option}={value}" for option, value in given if value is not None),
            *("--batch", "--binary-mode", "--default-character-set=utf8mb4", f"--connect-timeout={SECONDS}", *_SAFE),
            *(("--ssl",) if self.tls else ()),
        )

    def query(self, statement: str) -> list[Row]:
        """The rows of one statement. Raises UnreachableError where the server does not answer, and DatabaseCaError."""
        output = self._run(statement, _LAST)
        if not output.endswith(_LAST_OUTPUT):
            raise _not_rows("they are not whole")
        if output == _LAST_OUTPUT:  # without rows there is no line of column names
            return []
        lines = output.removesuffix(f"\n{_LAST_OUTPUT}").split("\n")  # other line ends are text
        names, *rows = (_cells(line) for line in lines)
        for cells in rows:
            if len(cells) != len(names):
                raise _not_rows(f"{len(cells)} cells under {len(names)} names")
        return [Row(zip(names, cells, strict=True)) for cells in rows]

    def one(self, statement: str) -> Row:
        """The row of a statement that has one. Raises DatabaseCaError."""
        rows = self.query(statement)
        if len(rows) != 1:
            raise _not_rows(f"{len(rows)} instead of one")
        return rows[0]

    def execute(self, *statements: str) -> None:
        """Run statements with strings quoted for `PLAIN_MODE`.

        Raises UnreachableError where the server does not answer, and DatabaseCaError at the first that fails.
        """
        self._run(PLAIN_MODE, *statements)

    def server_flavor(self) -> Flavor:
        """MariaDB or MySQL, as given, or by its version. Raises DatabaseCaError where it does not answer."""
        if self.flavor is not None:
            return self.flavor
        version = self.one("SELECT VERSION() AS version")["version"]
        return "mariadb" if "mariadb" in version.lower() else "mysql"

    def _names(self) -> tuple[str, ...]:
        return (self.program,) if self.program else ("mysql",) if self.flavor == "mysql" else ("mariadb", "mysql")

    def _run(self, *statements: str) -> str:
        text = "".join(f"{statement};\n" for statement in statements).encode()
        if self.there is not None:
            result = self.there.run(self._names(), self._options(), text)
            return _rows(self._names()[0], result.code, result.output, result.messages)
        import sh  # slow to import, and only the commands that talk to a server need it

        program, *arguments = self.command()
        with memory_file() as output, memory_file() as messages:
            try:
                finished: Any = sh.Command(program)(
                    *arguments,
                    _in=text,
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
            said = content(messages).decode("utf-8", "replace")
            return _rows(program, finished.exit_code, content(output), said)


def _rows(program: str, code: int, output: bytes, said: str) -> str:
    """What a client that succeeded has printed. Raises DatabaseCaError with the reason where it did not."""
    if code == TIMED_OUT:
        raise UnreachableError(f"{program} timed out after {SECONDS_IN_ALL} seconds")
    if code == -signal.SIGXFSZ:
        raise UnreachableError(f"the server sent more than {LARGEST_OUTPUT // 1024} KiB")
    if code < 0:
        raise DatabaseCaError(f"{program} was ended by signal {-code}", detail=said)
    if code:
        raise _failure(program, said)
    return output.decode("utf-8", "replace")


class Reached(NamedTuple):
    """A server: the name that its certificate must have, where it listens (None: it says so), and how to reach it."""

    name: str
    where: Target | None
    client: Client


def _limited() -> None:
    """Set the limits of the client in its process before it starts (setrlimit(2))."""
    import resource

    signal.signal(signal.SIGXFSZ, signal.SIG_DFL)  # Python ignores it, and so would the client
    limits = {resource.RLIMIT_CORE: 0, resource.RLIMIT_FSIZE: LARGEST_OUTPUT, resource.RLIMIT_DATA: LARGEST_MEMORY}
    for limit, value in limits.items():
        with suppress(ValueError):  # a lower limit was set already
            resource.setrlimit(limit, (value, value))


def _cells(line: str) -> list[str]:
    return [re.sub(r"\\([nt0\\])", lambda match: _ESCAPES[match.group(1)], cell) for cell in line.split("\t")]


def _not_rows(why: str) -> DatabaseCaError:
    return DatabaseCaError(
        f"the client did not print the rows that were asked for: {why}",
        "an option file of the client changes what it prints, such as silent or one-database in [mysql]; "
        "--defaults-file FILE names another",
    )


def _failure(program: str, messages: str) -> DatabaseCaError:
    lines = [line.strip() for line in messages.splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith("ERROR")] or lines[-1:] or ["it printed no message"]
    match = re.match(r"ERROR (\d+)\b", errors[0])
    number = int(match.group(1)) if match else 0
    kind = UnreachableError if number in _UNREACHABLE else DatabaseCaError
    hints = (_HINTS[number],) if number in _HINTS else ()
    return kind(f"{Path(program).name}: {printable(errors[0])}", *hints, detail=messages)


_UNREACHABLE = (2002, 2003, 2005, 2006, 2013, 2026)
"""No connection, a lost connection, or no TLS."""

_HINTS = {
    1044: "--user or --defaults-file names another account",
    1142: "--user or --defaults-file names another account, which may read mysql.user",
    1227: "--user or --defaults-file names another account, which has the privilege",
    **dict.fromkeys((1045, 1698), "--defaults-file FILE names an option file with the user and password of [client]"),
    **dict.fromkeys(
        (2002, 2003, 2005),
        "--socket, --host, --port and --defaults-file say where the server is; with --all, in database-ca.hosts,"
        " dbca_socket and dbca_defaults_file",
    ),
    2026: "dbca-openssl server probe shows what the server serves; skip-ssl in an option file turns TLS off",
}
