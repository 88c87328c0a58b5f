"""What is wrong with a command line, in our words, and what was meant instead."""

from __future__ import annotations

import re
from collections.abc import Iterable
from difflib import get_close_matches
from typing import Any

from dbca_openssl.errors import DatabaseCaError
from dbca_openssl.names import shown


def explained(problem: Any) -> DatabaseCaError:
    """The error to show for typer's exception `problem`; its last hint is the help of the verb."""
    context: Any = getattr(problem, "ctx", None)
    command = context.command_path if context else "dbca-openssl"
    message = problem.format_message().removesuffix(".")
    meant: list[str] = []
    verbs = getattr(getattr(context, "command", None), "commands", ())
    if flag := getattr(problem, "option_name", ""):
        if "No such option" in message:
            message = f"unknown option {flag if flag.isprintable() else shown(flag)}"
            meant = list(problem.possibilities or ())
    elif unknown := re.match(r"No such command '(.*?)'", message, re.DOTALL):
        words = command.split()[1:]
        message = f"unknown command {shown(' '.join((*words, unknown[1])))}"
        meant = [f"{command} {one}" for one in _similar(unknown[1], verbs)]
    elif message == "Missing command":
        message = f"{command.removeprefix('dbca-openssl ')} needs a verb: {', '.join(verbs)}"
    elif missing := re.fullmatch(r"Missing option '(?:-\w' / ')?(.*)'", message):
        message = f"missing option {missing[1]}"
    elif choice := re.search(r"'([^']*)' is not one of ", message):
        meant = _similar(choice[1], problem.param.type.choices)
    message = re.sub(r"is not a valid float( range)?\b", "is not a number", message)
    message = re.sub(r"is not a valid int(eger)?( range)?\b", "is not a whole number", message)
    return DatabaseCaError(message, *([f"did you mean: {' or '.join(meant)}"] if meant else []), f"{command} --help")


def _similar(word: str, words: Iterable[str]) -> list[str]:
    """The words that one may be a mistyped form, or the beginning, of."""
    words = list(words)
    lower = {one.lower(): one for one in words}
    return [lower[one] for one in get_close_matches(word.lower(), lower, n=2)] or [
        one for one in words if word and one.lower().startswith(word.lower())
    ]
