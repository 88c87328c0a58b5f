"""Shell completion: what bash, zsh and fish make of it at a terminal, and what the command answers them."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import sys
from collections.abc import Iterable
from pathlib import Path

import pytest

from dbca_openssl.cli.completion import GRAMMAR
from manual import grammar
from tools.support import HOSTS, ROOT, done, run, tool
from tools.terminal import typed

AIKEN, MARGARET, GANNIBAL = HOSTS
WAITING = "zeus.example.net"
CLIENT = "backup@margaret"

PATH = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
PROMPT = "ready> "

BASH = f"""\
PS1='{PROMPT}'
bind 'set bell-style none'
bind 'set enable-bracketed-paste off'
bind 'set completion-query-items 0'
bind -x '"\\C-g": echo "<$READLINE_LINE>"; READLINE_LINE='
source <(dbca-openssl completion bash)
"""

ZSH = f"""\
PS1='{PROMPT}'
unset zle_bracketed_paste
unsetopt prompt_cr prompt_sp beep
autoload -Uz compinit
compinit -D -u
show() {{ print -r -- $'\\n'"<$BUFFER>"; BUFFER=; zle reset-prompt }}
zle -N show
bindkey '^G' show
bindkey '^I' complete-word
zle -C all complete-word _generic
bindkey '^[*' all
zstyle ':completion:all::::' completer _all_matches _complete
zstyle ':completion:all:*' insert true
source <(dbca-openssl completion zsh)
"""

ONE, ALL, SHOW = "\t", "\x1b*", "\x07"
"""The keys that complete a word, put in all that it may be, and print the line."""

SHELLS = ("bash", "zsh", "fish")

COMPLETE = (sys.executable, "-m", "dbca_openssl", "__complete", "fish")

Expected = tuple[tuple[str, set[str]], ...]

NAMES: Expected = (
    ("sign z", {WAITING}),
    ("sign ", {WAITING, CLIENT}),
    ("sign backup@m", {CLIENT}),
    (f"sign {CLIENT} ", {WAITING}),
    (f"sign --yes --days 30 {CLIENT} z", {WAITING}),
    ("revoke ", {AIKEN, MARGARET, "01", "02"}),
    ("show ", {AIKEN, MARGARET, GANNIBAL, "01", "02", "03"}),
    ("show 0", {"01", "02", "03"}),
    ("renew ma", {MARGARET}),
    ("verify ai", {AIKEN}),
    (f"verify {AIKEN} --host ai", {AIKEN}),
    ("fetch z", {WAITING}),
    ("deploy root@ma", {f"root@{MARGARET}"}),
    ("server settings g", {GANNIBAL}),
    ("server probe a", {AIKEN}),
    ("server require app@% --certificate m", {MARGARET}),
    ("sign --ca=database-ca z", {WAITING}),
    ('sign --ca "the ca" z', {WAITING}),
    ("sign --ca the\\ ca z", {WAITING}),
    ("sign --ca ~/database-ca z", {WAITING}),
    ("sign --ca=$HOME/database-ca z", {WAITING}),
    ("sign --ca nowhere z", set()),
)
"""The start of a command line, and all that its last word may become, by the names in the CA."""

WORDS: Expected = (
    ("s", {"sign", "show", "server"}),
    ("server pro", {"probe"}),
    ("list --exp", {"--expired", "--expiring"}),
    (
        "list ",
        {
            *("--ca", "--trust-directory", "--openssl", "--json", "--verbose", "--help"),
            *("--valid", "--expired", "--revoked", "--expiring"),
        },
    ),
    ("check --format ", {"text", "prometheus"}),
    ("check --format=p", {"--format=prometheus"}),
    ("revoke x --reason k", {"keyCompromise"}),
    ("render o", {"openssl.cnf"}),
    ("completion ", set(SHELLS)),
    ("sign --days ", set()),
    ("no-such-verb ", set()),
)
"""The same by what the verbs take."""

FILES = (
    ("sign --passphrase-file phr", "phrase of mine"),
    ("sign --passphrase-file=phr", "--passphrase-file=phrase of mine"),
    ("sign --ca data", "database-ca/"),
    ("sign --ca=data", "--ca=database-ca/"),
    ("rollover data", "database-ca/"),
    ("sign ./pile/zeu", "./pile/zeus.req.pem"),
    ("server probe x --canary pile/zeu", "pile/zeus.req.pem"),
    ("server probe x --canary a.cert.pem pile/zeu", "pile/zeus.req.pem"),
)
"""The start of a command line, and the one file or directory that its last word may become."""


@pytest.fixture(scope="module")
def place(pristine_fleet: Path, keys: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with a CA that has three certificates, one revoked, two requests that wait, and odd files."""
    directory = tmp_path_factory.mktemp("completion")
    ca = Path(shutil.copytree(pristine_fleet, directory / "database-ca"))
    given = ("--yes", "--no-crl", "--passphrase-file", keys / "phrase")
    done("revoke", GANNIBAL, *given, directory=directory)
    for name in (WAITING, CLIENT, "odd name", "$(touch bad)", "`touch bad`", "-x", "ünicode"):
        (ca / f"certreqs/{name}.req.pem").write_text("not a request")
    (ca / "certs/line\nend.cert.pem").write_text("not a certificate")
    (directory / "the ca").symlink_to("database-ca")
    (directory / "pile").mkdir()
    for name in ("phrase of mine", "pile/zeus.req.pem"):
        (directory / name).write_text("")
    (directory / "bashrc").write_text(BASH)
    (directory / ".zshrc").write_text(ZSH)
    return directory


def at_a_shell(shell: str, place: Path, keys: list[str]) -> list[str]:
    """The command lines that come of `keys` at a prompt of bash or zsh."""
    program = ("bash", "--rcfile", "bashrc", "-i") if shell == "bash" else ("zsh", "-d", "-i")
    finished = typed(
        answers=[*((PROMPT, key + SHOW) for key in keys), (PROMPT, "exit\n")],
        directory=place,
        program=program,
        environment={"TERM": "dumb", "PATH": PATH, "ZDOTDIR": str(place)},
    )
    lines = re.findall(r"<(.*?) ?>[\r\n]+", finished.output)
    assert len(lines) == len(keys), finished.output
    rest = finished.output
    for line in lines:  # nothing is on the screen but what was typed and completed
        rest = rest.replace(line, "")
    assert not re.search(r"error|not found|Traceback|dbca-openssl:", rest), finished.output
    return lines


def of_fish(place: Path, lines: Iterable[str]) -> dict[str, list[str]]:
    """What fish itself offers for each of some command lines."""
    script = 'dbca-openssl completion fish | source; for line in $argv; echo; complete -C "dbca-openssl $line"; end'
    given = list(lines)
    finished = run("fish", "--no-config", "-c", script, *given, directory=place, environment={"PATH": PATH})
    assert finished.code == 0 and not finished.messages, finished.messages
    _, *answers = re.split(r"^\n", finished.output, flags=re.MULTILINE)
    found = [[one.split("\t")[0] for one in answer.splitlines()] for answer in answers]
    return dict(zip(given, found, strict=True))


@pytest.mark.parametrize("shell", SHELLS)
def test_a_shell_completes_verbs_options_choices_names_and_serials(shell: str, place: Path) -> None:
    expected = dict(NAMES + WORDS)
    if shell == "fish":
        found = {line: set(offered) for line, offered in of_fish(place, expected).items()}
    else:
        lines = at_a_shell(shell, place, [f"dbca-openssl {line}{ALL}" for line in expected])
        found = {
            line: set(completed.removeprefix(f"dbca-openssl {line.rpartition(' ')[0]}").split()) - {line.split(" ")[-1]}
            for line, completed in zip(expected, lines, strict=True)
        }
    assert found == expected
    assert not (place / "bad").exists()


@pytest.mark.parametrize("shell", SHELLS)
def test_a_shell_completes_files_where_a_file_is_expected(shell: str, place: Path) -> None:
    if shell == "fish":
        assert of_fish(place, dict(FILES)) == {line: [name] for line, name in FILES}
        return
    lines = at_a_shell(shell, place, [f"dbca-openssl {line}{ONE}" for line, _ in FILES])
    found = [shlex.split(line)[-1] for line in lines]
    assert found == [name for _, name in FILES]


@pytest.mark.parametrize("shell", SHELLS)
def test_a_shell_stays_silent_where_the_command_is_gone(shell: str, place: Path) -> None:
    if shell == "fish":
        script = "dbca-openssl completion fish | source; set PATH /usr/bin:/bin; complete -C 'dbca-openssl sign z'"
        finished = run("fish", "--no-config", "-c", script, directory=place, environment={"PATH": PATH})
        assert (finished.output, finished.messages) == ("", "")
    else:
        keys = ["PATH=/usr/bin:/bin\n", f"dbca-openssl sign z{ONE}"]
        assert at_a_shell(shell, place, keys) == ["", "dbca-openssl sign z"]


@pytest.mark.parametrize(
    ("words", "environment"),
    [
        (("sign", "--ca", "nowhere", ""), {}),
        (("sign", ""), {"DBCA_CA": "/dev/null"}),
        (("sign", ""), {"DBCA_CA": "\udcff\n$(touch bad)"}),
        (("sign", "\udcff"), {}),
        (("--", "--", "="), {}),
        (("\\", "'", '"'), {}),
        ((), {}),
    ],
)
@pytest.mark.parametrize("shell", SHELLS)
def test_the_answer_is_never_an_error(
    shell: str, words: tuple[str, ...], environment: dict[str, str], tmp_path: Path
) -> None:
    (tmp_path / "database-ca").mkdir()
    (tmp_path / "database-ca/database-ca.index").write_bytes(b"V\tx\n\xff\t\t\t\t\t\n\nR\t1\t2\t3\t4\t/CN=a\n")
    finished = tool("__complete", shell, *words, directory=tmp_path, environment=environment)
    assert (finished.code, finished.messages) == (0, "")
    assert finished.output.splitlines()[0] in ("words", "files")
    assert not (tmp_path / "bad").exists()


HOSTILE = ("$(touch bad)", "\x1b[31m01", "01; touch bad", "01\u202e", "")
"""Serials in an index that somebody has made up."""


def test_only_what_no_shell_and_no_terminal_obeys_is_offered(tmp_path: Path) -> None:
    (tmp_path / "database-ca/certs").mkdir(parents=True)
    for name in ("a", "b", "c", "line\nend", "$(touch bad)"):
        (tmp_path / f"database-ca/certs/{name}.cert.pem").write_text("")
    rows = [f"V\t991231235959Z\t\t{serial}\tunknown\t/CN=a\n" for serial in HOSTILE]
    rows += ["V\t\x1b[31m31235959Z\t\t02\tunknown\t/CN=b\n", "V\t20991231235959Z\t\t03\tunknown\t/CN=c\n"]
    (tmp_path / "database-ca/database-ca.index").write_text("".join(rows))
    for shell in SHELLS:
        answer = tool("__complete", shell, "show", "", directory=tmp_path).output
        assert answer.isascii()
        assert [line.split("\t")[0] for line in answer.splitlines()] == ["words", "a", "b", "c", "03"]
        assert not re.search(r"[^\t\n -~]", answer)


def test_it_says_what_state_a_certificate_is_in(tmp_path: Path) -> None:
    (tmp_path / "database-ca/certs").mkdir(parents=True)
    states = {
        "gone": ("R\t20991231235959Z\t260101000000Z", "revoked"),
        "later": ("V\t20991231235959Z\t", "valid until 2099-12-31"),
        "over": ("V\t200131235959Z\t", "valid until 2020-01-31"),
    }
    rows = [f"{row}\t0{number}\tunknown\t/CN={name}\n" for number, (name, (row, _)) in enumerate(states.items())]
    (tmp_path / "database-ca/database-ca.index").write_text("".join(rows))
    for name in states:
        (tmp_path / f"database-ca/certs/{name}.cert.pem").write_text("")
    answer = tool("__complete", "zsh", "verify", "", directory=tmp_path).output
    assert answer.splitlines()[1:] == [
        f"{name}\tserial 0{number}, {state}" for number, (name, (_, state)) in enumerate(states.items())
    ]


def test_few_names_and_many_have_the_same_descriptions(tmp_path: Path) -> None:
    """A few names are searched in the index; of many all rows are read."""
    (tmp_path / "database-ca/certs").mkdir(parents=True)
    rows = [f"V\t20991231235959Z\t\t{number:02X}\tunknown\t/CN=host{number}" for number in range(10, 40)]
    (tmp_path / "database-ca/database-ca.index").write_text("\n".join(rows))  # the last line has no end
    for number in range(10, 40):
        (tmp_path / f"database-ca/certs/host{number}.cert.pem").write_text("")
    whole = tool("__complete", "zsh", "verify", "", directory=tmp_path).output.splitlines()[1:]
    assert whole == [f"host{number}\tserial {number:02X}, valid until 2099-12-31" for number in range(10, 40)]
    few = tool("__complete", "zsh", "verify", "host3", directory=tmp_path).output.splitlines()[1:]
    assert few == [line for line in whole if line.startswith("host3")]
    serials = tool("__complete", "bash", "revoke", "27", directory=tmp_path).output.splitlines()[1:]
    assert serials == ["27"]


def test_a_fifo_in_place_of_the_index_does_not_stop_the_shell(tmp_path: Path) -> None:
    (tmp_path / "database-ca/certs").mkdir(parents=True)
    (tmp_path / "database-ca/certs/a.cert.pem").write_text("")
    os.mkfifo(tmp_path / "database-ca/database-ca.index")
    answer = run("timeout", "20", *COMPLETE, "show", "", directory=tmp_path)
    assert (answer.code, answer.output) == (0, "words\na\t\n")


def test_an_answer_needs_neither_openssl_nor_what_is_slow_to_import(place: Path) -> None:
    script = (
        "import sys; from dbca_openssl.cli.main import main\n"
        "sys.argv = ['dbca-openssl', '__complete', 'fish', 'show', '']; main(); print(*sys.modules)"
    )
    finished = run(sys.executable, "-c", script, directory=place, environment={"PATH": "/nowhere"})
    *answer, modules = finished.output.splitlines()
    assert len(answer) == 1 + 6, finished.messages
    ours = {name for name in modules.split() if name.startswith("dbca_openssl")}
    assert ours == {
        *("dbca_openssl", "dbca_openssl.ownership"),
        *("dbca_openssl.cli", "dbca_openssl.cli.main", "dbca_openssl.cli.completion"),
    }
    assert not {"typer", "subprocess", "dataclasses", "pathlib", "datetime", "typing", "rich"} & set(modules.split())


def test_the_data_for_completion_are_those_of_the_command_line() -> None:
    made = json.dumps(grammar.as_data(grammar.verbs()))
    assert json.loads(Path(GRAMMAR).read_text()) == json.loads(made), "run `make manual`"


def test_every_value_that_can_be_completed_is() -> None:
    """A value is a choice, a file, a directory or a name in the CA; nothing can be offered for the others."""
    free = {
        parameter.shown.rpartition(" ")[2]
        for verb in grammar.verbs()
        for parameter in (*verb.options, *verb.arguments)
        if parameter.values and not parameter.expects
    }
    assert free == {"NAME", "N", "KIND", "URL", "DAYS", "SECONDS", "USER", "USER@HOST"}


def test_the_verb_prints_the_script_that_is_installed(tmp_path: Path) -> None:
    for shell in SHELLS:
        text = done("completion", shell, directory=tmp_path).output
        assert text == done("completion", shell, "--json", directory=tmp_path).document["text"]
        (path,) = (ROOT / "dbca_openssl/share").glob(f"{'bash-completion' if shell == 'bash' else shell}/*/*")
        assert text == path.read_text()
