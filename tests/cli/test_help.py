"""The help: a line that says what a verb does, then examples, which run as they stand, then the options."""

from __future__ import annotations

import re
import shlex
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
import typer

from dbca_openssl.cli.main import build
from manual import grammar
from tools.support import HOSTS, PASSPHRASE, run, tool

VERBS = {verb.words: verb for verb in grammar.verbs()}

ASK_A_SERVER = tuple(f"server {word}" for word in ("accounts", "check", "probe", "reload"))
ELSEWHERE = ("", "fetch", "enroll", "rotate", "server", *ASK_A_SERVER)
"""What needs a host or a server: its command line is tried here, and all of it in tests/host and tests/database."""

SHIM = f"""#!/bin/sh
# nobody is at a terminal, keys are small, and what is in /etc of a host is in a directory of the test
case $1 in
    init | request) set -- "$@" --bits 2048 ;;
    sign | renew | revoke | repair) set -- "$@" --yes ;;
    passphrase) set -- "$@" --print ;;
    export) [ "$2" = --public ] || set -- "$@" --print ;;
esac
[ "$1" != request ] || set -- "$@" --ssl-dir "$(mktemp -d "$HOME/ssl.XXXXXX")"
for word; do
    shift
    case $word in /etc/mysql/ssl/*) word=$HOME/database-ca/certs/${{word##*/}} ;; esac
    set -- "$@" "$word"
done
exec {sys.executable} -m dbca_openssl "$@"
"""


def identity(verb: grammar.Verb) -> str:
    return verb.words.replace(" ", "-") or "bare"


def examples(verb: grammar.Verb) -> list[str]:
    """The commands of the tool in the help of a verb, each in one line."""
    lines = verb.paragraphs[0].replace("\\\n", " ").splitlines()
    return [line.strip() for line in lines if re.match(r" *(sudo )?dbca-openssl", line)]


@pytest.mark.parametrize("verb", VERBS.values(), ids=identity)
def test_it_begins_with_a_short_line_and_then_examples(verb: grammar.Verb) -> None:
    assert len(verb.summary) <= 60  # so that the list of verbs shows all of it, at 80 columns
    assert verb.paragraphs[0].startswith("  ")
    assert examples(verb)
    for line in verb.paragraphs[0].splitlines():
        assert len(line) + 2 <= 80, line
    for paragraph in verb.paragraphs[1:]:
        assert not paragraph.startswith(" ")


@pytest.mark.parametrize("columns", ["80", "120"])
def test_nothing_is_cut_in_the_lists_of_verbs(columns: str, tmp_path: Path) -> None:
    for words in ((), ("server",)):
        shown = tool(*words, "--help", directory=tmp_path, environment={"COLUMNS": columns}).output
        start = " ".join(words)
        below = [verb for verb in VERBS.values() if verb.words.rpartition(" ")[0] == start and verb.words]
        for verb in below:
            assert f"{verb.summary}.\n" in shown


def parsed(group: Any, arguments: list[str]) -> None:
    """Have the command line read as the command does, and do nothing of it."""
    context = group.make_context("dbca-openssl", arguments)
    while hasattr(group, "commands"):
        name, group, arguments = group.resolve_command(context, [*context._protected_args, *context.args])
        context = group.make_context(name, arguments, parent=context)


@pytest.mark.parametrize("verb", VERBS.values(), ids=identity)
def test_every_example_is_a_command_line_that_is_understood(verb: grammar.Verb) -> None:
    group = typer.main.get_command(build())
    for line in examples(verb):
        line = re.sub(r"\$\([^)]*\)", HOSTS[0], line)
        lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
        lexer.whitespace_split = True
        words = list(lexer)
        end = next((number for number, word in enumerate(words) if set(word) <= set("|<>;&")), len(words))
        arguments = words[words.index("dbca-openssl") + 1 : end]
        assert verb.words in ("", " ".join(arguments[: len(verb.words.split())])) or "init" in arguments
        if arguments:
            parsed(group, arguments)
    with pytest.raises(Exception, match=r"(?i)no such option"):
        parsed(group, [*(verb.words.split() or ["sign"]), "--nonsense"])


@pytest.fixture
def place(keys: Path, pristine: Path, pristine_fleet: Path, make_request: Any, tmp_path: Path) -> Any:
    """A function that makes a home in which the examples of a verb can run, and returns its environment."""
    programs = tmp_path / "programs"
    programs.mkdir()
    for name, text in (
        ("dbca-openssl", SHIM),
        ("sudo", '#!/bin/sh\nexec "$@"\n'),
        ("jq", "#!/bin/sh\ncat >/dev/null\n"),
        ("mariadb", "#!/bin/sh\ncat >/dev/null\n"),
        ("hostname", "#!/bin/sh\necho aiken.example.net\n"),
    ):
        (programs / name).write_text(text)
        (programs / name).chmod(0o755)

    def make(verb: str) -> dict[str, str]:
        home = tmp_path / "home"
        home.mkdir()
        if verb == "sign":
            shutil.copytree(pristine, home / "database-ca")
            for name, *others in ((HOSTS[0],), (HOSTS[2], "db.example.net")):
                make_request(name, *others, to=home / "database-ca/certreqs")
            (home / "Downloads").mkdir()
            make_request(HOSTS[1], to=home / "Downloads")
        elif verb not in ("init", "request"):
            shutil.copytree(pristine_fleet, home / "database-ca")
            (home / "certs").symlink_to("database-ca/certs")
        (home / ".config/fish/completions").mkdir(parents=True)
        (home / ".dbca-passphrase").write_text(f"{PASSPHRASE}\n")
        (home / ".dbca-passphrase").chmod(0o600)
        shutil.copy(home / ".dbca-passphrase", home / ".new-passphrase")
        return {
            "PATH": f"{programs}:{Path(sys.executable).parent}:/usr/local/bin:/usr/bin:/bin",
            "HOME": str(home),
            "DBCA_PASSPHRASE_FILE": str(keys / "phrase"),
        }

    return make


@pytest.mark.parametrize("verb", [verb for verb in VERBS.values() if verb.words not in ELSEWHERE], ids=identity)
def test_every_example_runs(verb: grammar.Verb, place: Any) -> None:
    environment = place(verb.words)
    home = Path(environment["HOME"])
    if verb.words == "revoke":
        shutil.copy(home / "database-ca/certs" / f"{HOSTS[1]}.cert.pem", home)
    host = home / "files-of-a-host"
    if verb.words == "check":
        host.mkdir()
        for name in ("database-ca.cert.pem", "crl/database-ca.crl"):
            shutil.copy(home / "database-ca" / name, host)
    for line in examples(verb):
        line = line.replace("--ssl-dir /etc/mysql/ssl", f"--ssl-dir {host}") if host.exists() else line
        if re.search(r" --apply| --probe| --check --host| --all --reload| --advance|root@|admin@", line):
            continue  # as in ELSEWHERE
        if "0A" in line:
            line = line.replace("0A", "03")  # there are only so many
        if "backup@margaret" in line and verb.words == "deploy":
            line = line.replace("backup@margaret", HOSTS[1])
        finished = run("bash", "-c", line, directory=home, environment=environment)
        assert finished.code == 0, f"{line}\n{finished.output}{finished.messages}"
        assert "Traceback" not in finished.messages


@pytest.mark.parametrize(
    ("line", "message", "hints"),
    [
        ("sing", "unknown command 'sing'", ["did you mean: dbca-openssl sign", "dbca-openssl --help"]),
        ("sign --al", "unknown option --al", ["did you mean: --all or --ca or --cap", "dbca-openssl sign --help"]),
        ("--jsn", "unknown option --jsn", ["did you mean: --json", "dbca-openssl --help"]),
        (
            "server porbe",
            "unknown command 'server porbe'",
            ["did you mean: dbca-openssl server probe", "dbca-openssl server --help"],
        ),
        (
            "server",
            "server needs a verb: settings, accounts, require, replication, check, probe, reload",
            ["dbca-openssl server --help"],
        ),
        (
            "render databse",
            "Invalid value for 'FILE': 'databse' is not one of 'database-ca.cnf', 'openssl.cnf'",
            ["did you mean: database-ca.cnf", "dbca-openssl render --help"],
        ),
        (
            "server settings x --flavor Maria",
            "Invalid value for '--flavor': 'Maria' is not one of 'mariadb', 'mysql'",
            ["did you mean: mariadb", "dbca-openssl server settings --help"],
        ),
        ("sign --days x a", "Invalid value for '--days': 'x' is not a whole number", ["dbca-openssl sign --help"]),
        ("show", "Missing argument 'NAME|SERIAL|FILE'", ["dbca-openssl show --help"]),
        ("sign --\x1b[2J", "unknown option '--\\x1b[2J'", ["dbca-openssl sign --help"]),
    ],
)
def test_a_mistyped_command_line_tells_what_was_meant(
    line: str, message: str, hints: list[str], tmp_path: Path
) -> None:
    finished = tool(*line.split(" "), directory=tmp_path)
    assert (finished.code, finished.output) == (2, "")
    assert finished.messages.splitlines() == [f"dbca-openssl: {message}", *(f"hint: {hint}" for hint in hints)]
