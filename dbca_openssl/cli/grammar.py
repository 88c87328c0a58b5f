"""What every verb takes, read off the command line itself: for the manual page, and as data for completion."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import typer

from dbca_openssl.cli.main import build

EXPECTED = {
    "FILE": ("files",),
    "FILE.html": ("files",),
    "PATH": ("files",),
    "CERT KEY": ("files",),
    "DIR": ("directories",),
    "OLD": ("directories",),
    "HOST": ("certificates",),
    "HOST[:PORT]": ("certificates",),
    "[HOST[:PORT]]": ("certificates",),
    "ADDRESS[:PORT]": ("certificates",),
    "[USER@]HOST...": ("hosts",),
    "NAME...": ("certificates",),
    "NAME|FILE": ("certificates", "files"),
    "NAME|FILE...": ("waiting", "files"),
    "NAME|SERIAL|FILE": ("certificates", "serials", "files"),
}
"""What stands for the value of a parameter in the help, and where completion finds what it may be."""

EXPECTED_OF = {
    ("revoke", "what"): ("valid", "valid serials", "files"),
    ("server require", "certificate"): ("certificates",),
}
"""The same for single parameters of a verb, where the word in the help does not tell."""


@dataclass(frozen=True)
class Parameter:
    """An option (`flags`, such as `-o` and `--organization`) or an argument (none) of a verb.

    `shown` and `text` are the two columns of the help; `values` is how many words follow the option, -1 for any
    number; `expects` is where completion finds what they may be: one of `completion.SOURCES`, or `=` and a choice.
    """

    flags: tuple[str, ...]
    shown: str
    text: str
    values: int
    expects: tuple[str, ...]
    variable: str


@dataclass(frozen=True)
class Verb:
    """A verb by its words, such as `server probe`; the bare command has none.

    `usage` is what stands for its options and arguments, `paragraphs` are those of its help: examples are indented.
    """

    words: str
    usage: str
    summary: str
    paragraphs: tuple[str, ...]
    options: tuple[Parameter, ...]
    arguments: tuple[Parameter, ...]


def verbs() -> list[Verb]:
    """The bare command and every verb, in the order of the help."""
    return list(_verbs(typer.main.get_command(build()), ""))


def as_data(grammar: list[Verb]) -> str:
    """What completion has to know, as JSON with an option on each line: see `completion.Grammar`."""
    document = {
        verb.words: {
            "summary": verb.summary,
            "arguments": [[one.values, *one.expects] for one in verb.arguments],
            "options": {
                " ".join(one.flags): [re.split(r"  ?\[|[.;:] ", one.text)[0].rstrip("."), one.values, *one.expects]
                for one in verb.options
            },
        }
        for verb in grammar
    }
    text = json.dumps(document, indent=1)
    return re.sub(r"\[[^][{}]*\]", lambda match: re.sub(r"\s*\n\s*", " ", match[0]), text) + "\n"


def _verbs(command: Any, words: str, above: Any = None) -> Iterator[Verb]:
    context = typer.Context(command, parent=above, info_name=words, **command.context_settings)
    parameters = [(one, _parameter(one, words, context)) for one in command.get_params(context)]
    summary, *paragraphs = (command.help or "").split("\n\n")
    yield Verb(
        words,
        " ".join(command.collect_usage_pieces(context)),
        summary.rstrip("."),
        tuple(text.removeprefix("\b\n") for text in paragraphs),
        tuple(ours for theirs, ours in parameters if theirs.param_type_name == "option"),
        tuple(ours for theirs, ours in parameters if theirs.param_type_name == "argument"),
    )
    for name, below in getattr(command, "commands", {}).items():
        yield from _verbs(below, f"{words} {name}".lstrip(), context)


def _parameter(parameter: Any, verb: str, context: Any) -> Parameter:
    is_flag = getattr(parameter, "is_flag", False)
    shown, text = parameter.get_help_record(context)
    choices = tuple(f"={choice}" for choice in getattr(parameter.type, "choices", ()))
    metavar = "" if is_flag else parameter.make_metavar(context)
    return Parameter(
        tuple(sorted(parameter.opts, key=len)) if parameter.param_type_name == "option" else (),
        shown,
        text,
        0 if is_flag else parameter.nargs,
        choices or EXPECTED_OF.get((verb, parameter.name)) or EXPECTED.get(metavar, ()),
        parameter.envvar or "",
    )
