"""A pass phrase is held to rules, and seen nowhere: in no process list, environment, message, exception, script."""

from __future__ import annotations

import os
import select
import shutil
import signal
import subprocess
import sys
import threading
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from dbca_openssl import passphrase as passphrases
from dbca_openssl.ca import guide_commands
from dbca_openssl.ca.layout import Authority
from dbca_openssl.cli.main import run as run_tool
from dbca_openssl.command import Command
from dbca_openssl.errors import DatabaseCaError
from dbca_openssl.openssl import OpenSSL
from dbca_openssl.passphrase import Passphrase
from tools.support import PASSPHRASE, MakeRequest, done, openssl, refusal, snapshot, tool
from tools.terminal import typed

AIKEN = "aiken.example.net"
PROMPT, ONCE_MORE = "Pass phrase of the CA key: ", "The same once more: "
INIT = ("init", "--organization", "example.net", "--bits", "2048")
RULE = "dbca-openssl: a pass phrase has 4 to 1023 bytes\n"
CARRIAGE_RETURN = "dbca-openssl: the pass phrase has a carriage return\nhint: "
NO_LINE_END = "dbca-openssl: a pass phrase cannot have a line end or a NUL\n"


def _phrase(directory: Path, secret: bytes, mode: int = 0o600) -> Path:
    path = directory / "a-phrase"
    path.write_bytes(secret)
    path.chmod(mode)
    return path


@pytest.fixture
def waiting(ca: Path, make_request: MakeRequest) -> Path:
    """An authority with a request that waits to be signed."""
    make_request(AIKEN, to=ca / "certreqs")
    return ca


# --- who looks at the processes


class Held:
    """The tool, held in the middle of its work: openssl waits at a FIFO before it does what `verb` says."""

    def __init__(self, directory: Path, verb: str, *arguments: str | Path, fd: int | None = None) -> None:
        self.started, self.go = directory / "started", directory / "go"
        os.mkfifo(self.started)
        os.mkfifo(self.go)
        program = directory / "held-openssl"
        program.write_text(
            f'#!/bin/sh\n[ "$1" != {verb} ] || {{ echo $$ > {self.started}; read -r line < {self.go}; }}\n'
            f'exec {shutil.which("openssl")} "$@"\n'
        )
        program.chmod(0o755)
        self.process = subprocess.Popen(
            [sys.executable, "-m", "dbca_openssl", *map(str, arguments), "--openssl", str(program)],
            cwd=directory,
            env={"PATH": os.environ["PATH"], "HOME": str(directory)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            pass_fds=() if fd is None else (fd,),
            start_new_session=True,
        )
        self.openssl = int(self.started.read_text())

    def family(self) -> Iterator[tuple[bytes, bytes]]:
        """The command line and the environment of the tool and of everything below it."""
        parents = {}
        for path in Path("/proc").glob("[0-9]*"):
            try:
                parents[int(path.name)] = int((path / "stat").read_text().rpartition(")")[2].split()[1])
            except (FileNotFoundError, ProcessLookupError):
                continue
        members = {self.process.pid}
        while more := {pid for pid, parent in parents.items() if parent in members} - members:
            members |= more
        for pid in members:
            yield Path(f"/proc/{pid}/cmdline").read_bytes(), Path(f"/proc/{pid}/environ").read_bytes()

    def finish(self) -> tuple[int, str]:
        """Let it go on to its end."""
        self.go.write_text("go\n")
        _, messages = self.process.communicate(timeout=120)
        return self.process.returncode, messages.decode()


def _looked_at(held: Held, option: bytes) -> None:
    family = list(held.family())
    assert len(family) == 2
    for command, environment in family:
        assert PASSPHRASE.encode() not in command + environment
    ((command, environment),) = [one for one in family if b"held-openssl\0" in one[0] and option in one[0]]
    assert option + b"\0fd:" in command
    assert {line.split(b"=")[0] for line in environment.split(b"\0") if line} <= {b"PATH", b"OPENSSL_CONF", b"CA_HOME"}


@pytest.mark.parametrize("way", ["file", "fd"])
def test_nobody_sees_the_passphrase_while_it_signs(way: str, waiting: Path, tmp_path: Path, keys: Path) -> None:
    if way == "file":
        held = Held(tmp_path, "ca", "sign", AIKEN, "--yes", "--ca", waiting, "--passphrase-file", keys / "phrase")
    else:
        reading, writing = os.pipe()
        os.write(writing, PASSPHRASE.encode() + b"\n")
        os.close(writing)
        given = ("--passphrase-fd", str(reading))
        held = Held(tmp_path, "ca", "sign", AIKEN, "--yes", "--ca", waiting, *given, fd=reading)
        os.close(reading)
    _looked_at(held, b"-passin")
    code, messages = held.finish()
    assert code == 0 and PASSPHRASE not in messages


def test_nobody_sees_the_passphrase_while_a_key_is_made(tmp_path: Path, keys: Path) -> None:
    held = Held(tmp_path, "req", *INIT, "--passphrase-file", keys / "phrase")
    _looked_at(held, b"-passout")
    assert held.finish()[0] == 0


def test_an_interrupt_while_openssl_works_leaves_no_child_and_no_file(
    waiting: Path, tmp_path: Path, keys: Path
) -> None:
    before = snapshot(waiting, without=(".lock",))
    held = Held(tmp_path, "ca", "sign", AIKEN, "--yes", "--ca", waiting, "--passphrase-file", keys / "phrase")
    child = os.pidfd_open(held.openssl)
    held.process.send_signal(signal.SIGINT)
    _, messages = held.process.communicate(timeout=120)
    assert held.process.returncode == 130
    assert b"Traceback" not in messages
    assert select.select([child], [], [], 60)[0] == [child]  # which says that it has ended
    os.close(child)
    assert snapshot(waiting, without=(".lock",)) == before


# --- at the terminal

_THEN = 'trap : INT; "$0" "$@"; echo "code $?"; stty -a'


def _at_a_terminal(*arguments: str | Path, answers: list[tuple[str, str | bytes]], directory: Path) -> str:
    """What a terminal shows of the tool, of its exit code, and of the terminal's state afterwards."""
    return typed(
        *("-c", _THEN, sys.executable, "-m", "dbca_openssl", *arguments),
        program=("/bin/sh",),
        answers=answers,
        directory=directory,
    ).output


@pytest.mark.parametrize("answers", [[(PROMPT, "\x03")], [(PROMPT, "halfway\x03")]], ids=["at once", "halfway"])
def test_an_interrupt_at_the_prompt(answers: list[tuple[str, str | bytes]], waiting: Path) -> None:
    before = snapshot(waiting)
    screen = _at_a_terminal("sign", AIKEN, "--yes", answers=answers, directory=waiting)
    assert "code 130\n" in screen and "Traceback" not in screen and "halfway" not in screen
    assert " echo " in screen and "-echo " not in screen
    assert snapshot(waiting) == before


def test_an_interrupt_at_the_second_prompt_of_init(tmp_path: Path) -> None:
    answers: list[tuple[str, str | bytes]] = [(PROMPT, f"{PASSPHRASE}\n"), (ONCE_MORE, "\x03")]
    screen = _at_a_terminal(*INIT, answers=answers, directory=tmp_path)
    assert "code 130\n" in screen and " echo " in screen and "-echo " not in screen
    assert list(tmp_path.iterdir()) == []


def test_init_asks_twice_and_shows_nothing(tmp_path: Path) -> None:
    made = typed(*INIT, answers=[(PROMPT, "zwölf €\n"), (ONCE_MORE, "zwölf €\n")], directory=tmp_path)
    assert made.code == 0, made.output
    assert "zw" not in made.output
    _require_opens(tmp_path, "zwölf €".encode())


def test_init_refuses_two_that_differ(tmp_path: Path) -> None:
    refused = typed(*INIT, answers=[(PROMPT, "correct\n"), (ONCE_MORE, "incorrect\n")], directory=tmp_path)
    assert refused.code == 1
    assert refused.output.endswith("dbca-openssl: the two pass phrases are not the same\n")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("typed_text", "complaint"),
    [("abc\n", RULE), ("\n", RULE), ("x" * 1024 + "\n", RULE), ("\x04", "dbca-openssl: no pass phrase was given\n")],
    ids=["3 bytes", "nothing", "1,024 bytes", "the end"],
)
def test_the_prompt_holds_to_the_rules(typed_text: str, complaint: str, tmp_path: Path) -> None:
    refused = typed(*INIT, answers=[(PROMPT, typed_text)], directory=tmp_path)
    assert refused.code == 1
    assert complaint in refused.output
    assert list(tmp_path.iterdir()) == []


def test_what_is_typed_arrives_as_it_is_in_another_encoding(tmp_path: Path) -> None:
    refused = typed(*INIT, answers=[(PROMPT, b"caf\xe9 au lait\n")], directory=tmp_path)
    assert refused.code == 1
    assert refused.output.endswith("dbca-openssl: what was typed is no text in the terminal's encoding\n")
    assert list(tmp_path.iterdir()) == []


# --- from a file or a descriptor

SECRETS = [b"four", b"x" * 1023, b" \"'$`\\%!#&*();<>|~ ", "pässwörd €".encode(), b"\xff\xfe\x01\x1b[2J", b"\ttab\t"]


@pytest.mark.parametrize("secret", SECRETS, ids=range(len(SECRETS)))
def test_any_other_bytes_are_a_passphrase(secret: bytes, tmp_path: Path) -> None:
    done(*INIT, "--passphrase-file", _phrase(tmp_path, secret + b"\nsecond line\n"), directory=tmp_path)
    _require_opens(tmp_path, secret)
    done("crl", "--passphrase-file", _phrase(tmp_path, secret), directory=tmp_path)


def _require_opens(directory: Path, secret: bytes) -> None:
    """The real openssl opens the new authority's key, with the same bytes."""
    phrase = _phrase(directory, secret + b"\n")
    key = "database-ca/private/database-ca.key.pem"
    assert "ENCRYPTED PRIVATE KEY" in (directory / key).read_text()
    openssl("pkey", "-in", key, "-passin", f"file:{phrase}", "-noout", directory=directory)


@pytest.mark.parametrize(
    ("secret", "complaint"),
    [
        (b"", RULE),
        (b"\n", RULE),
        (b"abc\n", RULE),
        (b"x" * 1024, RULE),
        (b"x" * 5000, RULE),
        (b"correct\0horse\n", NO_LINE_END),
        (b"correct horse\r\n", CARRIAGE_RETURN),
        (b"correct\rhorse\n", CARRIAGE_RETURN),
    ],
)
@pytest.mark.parametrize("way", ["file", "fd"])
def test_a_passphrase_is_held_to_what_openssl_can_take(
    way: str, secret: bytes, complaint: str, waiting: Path, tmp_path: Path
) -> None:
    before = snapshot(waiting)
    phrase = _phrase(tmp_path, secret)
    if way == "file":
        refused = tool("sign", AIKEN, "--yes", "--passphrase-file", phrase, directory=waiting)
    else:
        with phrase.open("rb") as file:
            number = file.fileno()
            refused = tool(
                *("sign", AIKEN, "--yes", "--passphrase-fd", str(number)), directory=waiting, pass_fds=(number,)
            )
    assert refused.code == 1
    assert complaint in refused.messages
    assert snapshot(waiting) == before


@pytest.mark.parametrize(("mode", "warned"), [(0o600, False), (0o640, True), (0o604, True), (0o400, False)])
def test_a_file_that_others_can_read_gets_a_warning(mode: int, warned: bool, waiting: Path, tmp_path: Path) -> None:
    phrase = _phrase(tmp_path, PASSPHRASE.encode(), mode)
    signed = done("sign", AIKEN, "--yes", "--passphrase-file", phrase, directory=waiting)
    warning = f"dbca-openssl: others can read the pass phrase file {phrase}: chmod 600 {phrase}\n"
    assert (warning in signed.messages) == warned


@pytest.mark.parametrize(("mode", "owner", "complaint"), [
    (0o620, 0, "others may write the pass phrase file {}"),
    (0o602, 0, "others may write the pass phrase file {}"),
    (0o600, 4242, "the pass phrase file {} belongs to another user"),
])  # fmt: skip
def test_a_file_that_somebody_else_decides_is_refused(
    mode: int, owner: int, complaint: str, waiting: Path, tmp_path: Path
) -> None:
    phrase, before = _phrase(tmp_path, PASSPHRASE.encode(), mode), snapshot(waiting)
    if owner:
        os.chown(phrase, owner, owner)
    for command in (("sign", AIKEN, "--yes"), ("sign", AIKEN, "--print"), ("crl",)):
        refused = tool(*command, "--passphrase-file", phrase, directory=waiting)
        assert refusal(refused) == complaint.format(phrase)
    assert snapshot(waiting) == before


def test_files_and_descriptors_that_are_none(waiting: Path, tmp_path: Path) -> None:
    before = snapshot(waiting)
    for option, value, complaint in (
        ("--passphrase-file", tmp_path, f"cannot read the pass phrase file {tmp_path}: Is a directory"),
        ("--passphrase-file", "nowhere", "cannot read the pass phrase file nowhere: No such file or directory"),
        ("--passphrase-fd", "77", "cannot read the pass phrase from descriptor 77: Bad file descriptor"),
    ):
        refused = tool("sign", AIKEN, "--yes", option, value, directory=waiting)
        assert refused.code == 1
        assert f"dbca-openssl: {complaint}" in refused.messages.splitlines()
    assert tool("sign", AIKEN, "--yes", "--passphrase-fd", "-1", directory=waiting).code == 2
    assert snapshot(waiting) == before


def test_a_fifo_gives_it_too(waiting: Path, tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo, 0o600)
    with subprocess.Popen(["sh", "-c", 'printf "%s\\n" "$1" > "$0"', str(fifo), PASSPHRASE]):
        done("sign", AIKEN, "--yes", "--passphrase-file", fifo, directory=waiting)


# --- in what is said


def test_no_exception_holds_it() -> None:
    for secret in (b"two", b"hunter-two" * 200, b"hunter-two\0", b"hunter-two\r"):
        with pytest.raises(DatabaseCaError) as caught:
            Passphrase(secret)
        told = traceback.TracebackException.from_exception(caught.value, capture_locals=True)
        del told.stack[0]  # this very function, which has it
        assert len(told.stack) == 1 and told.stack[0].locals is not None and "self" in told.stack[0].locals
        assert not any("two" in line for line in told.format())
    phrase = Passphrase(PASSPHRASE.encode(), Path("file"))
    assert PASSPHRASE not in f"{phrase!r} {phrase} {[phrase]}" and repr(phrase) == "Passphrase(********)"
    assert phrase == Passphrase(PASSPHRASE.encode())
    authority = Authority(Path("ca")).unlocked(phrase)
    given = authority.key.given_to(guide_commands.revocation_list(), Command(("version",)))
    assert [command.passphrase for command in given] == [phrase, None], "only what opens the key gets it"
    assert PASSPHRASE not in f"{authority} {authority.key} {given}"


def test_no_traceback_holds_it(
    waiting: Path, environment: dict[str, str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("something unforeseen")

    monkeypatch.setattr(OpenSSL, "make", fail)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert run_tool(["sign", AIKEN, "--yes", "--ca", str(waiting)]) == 3
    assert "dbca-openssl: this should not happen: RuntimeError: something unforeseen\n" in capsys.readouterr().err
    monkeypatch.setenv("DBCA_TRACEBACK", "1")
    with pytest.raises(RuntimeError) as caught:
        run_tool(["sign", AIKEN, "--yes", "--ca", str(waiting)])
    told = "".join(traceback.TracebackException.from_exception(caught.value, capture_locals=True).format())
    assert "Passphrase(********)" in told
    assert PASSPHRASE not in told


def test_no_message_and_no_script_holds_it(waiting: Path, tmp_path: Path) -> None:
    secret = "not the one but a secret"
    wrong = _phrase(tmp_path, secret.encode())
    for more in ((), ("--verbose",), ("--json", "--verbose"), ("--print",)):
        said = tool("sign", AIKEN, "--yes", "--passphrase-file", wrong, *more, directory=waiting)
        assert secret not in said.output + said.messages
        assert said.code == (0 if "--print" in more else 1)
    printed = tool(*INIT, "--ca", "new", "--passphrase-file", wrong, "--print", directory=tmp_path)
    assert secret not in printed.output and f"file:{wrong}" in printed.output


def test_a_pipe_is_closed_when_it_was_read_and_when_it_was_not() -> None:
    secret = Passphrase(b"x" * passphrases.LONGEST)
    before = len(list(Path("/proc/self/fd").iterdir()))
    with secret.descriptor() as reading:
        assert os.read(reading, 5000) == b"x" * passphrases.LONGEST + b"\n"
        assert os.read(reading, 1) == b""
    with secret.descriptor():
        pass
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_an_interrupt_while_openssl_is_started_leaves_no_child(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "waiting-openssl"
    program.write_text('#!/bin/sh\n[ "$1" != ca ] || read -r line < fifo\necho OpenSSL 3.0.0\n')
    program.chmod(0o755)
    os.mkfifo(tmp_path / "fifo")
    openssl = OpenSSL(str(program))
    assert openssl.version == "3.0.0"
    children = []

    class Interrupted(subprocess.Popen[bytes]):
        def __init__(self, *arguments: Any, **options: Any) -> None:
            super().__init__(*arguments, **options)
            children.append(os.pidfd_open(self.pid))
            signal.pthread_kill(threading.get_ident(), signal.SIGINT)  # the tool has no other thread

    monkeypatch.setattr(subprocess, "Popen", Interrupted)
    with pytest.raises(KeyboardInterrupt):
        openssl.run(("ca",), directory=tmp_path)
    ended = select.select(children, [], [], 10)[0] == children
    if not ended:
        signal.pidfd_send_signal(children[0], signal.SIGKILL)
    os.close(children[0])
    assert ended
    assert signal.SIGINT not in signal.pthread_sigmask(signal.SIG_BLOCK, ())
