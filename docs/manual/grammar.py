"""What every verb takes, by typer's own commands: for the manual page, and as data for completion."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import typer

from dbca_openssl.cli.main import build

EXPECTED = {
    "FILE, FILE.html, PATH, CERT KEY": ("files",),
    "DIR, OLD": ("directories",),
    "HOST, HOST[:PORT], [HOST[:PORT]], ADDRESS[:PORT], NAME...": ("certificates",),
    "[USER@]HOST...": ("hosts",),
    "NAME|FILE": ("certificates", "files"),
    "NAME|FILE...": ("waiting", "files"),
    "NAME|SERIAL|FILE": ("certificates", "serials", "files"),
    "revoke what": ("valid", "valid serials", "files"),
    "server require certificate, client settings name, export name": ("certificates",),
}
"""Where completion finds the values of a parameter, by what stands for them in the help, or by verb and parameter."""

SOURCES = {key: sources for keys, sources in EXPECTED.items() for key in keys.split(", ")}


@dataclass(frozen=True)
class Parameter:
    """An option (`flags`, such as `-o` and `--organization`) or an argument (none) of a verb.

    `shown` and `text` are the two columns of the help; `values` is how many words follow the option, -1 for any
    number; `expects` is what they may be: sources of `EXPECTED`, or `=` and a choice.
    """

    flags: tuple[str, ...]
    shown: str
    text: str
    values: int
    expects: tuple[str, ...]


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


def as_data(grammar: Sequence[Verb]) -> dict[str, Any]:
    """What `completion` has to know of each verb, by its words.

    `below` are the verbs of a group; `arguments` ends with None unless any number of the last one may follow.
    """
    data: dict[str, Any] = {}
    for verb in grammar:
        group, _, name = verb.words.rpartition(" ")
        if name:
            data[group]["below"][name] = verb.summary
        options = [(flag, one) for one in verb.options for flag in one.flags]
        arguments = verb.arguments
        data[verb.words] = {
            "below": {},
            "options": {flag: re.split(r"  ?\[|[.;:] ", one.text)[0].rstrip(".") for flag, one in options},
            "values": {flag: [one.values, *one.expects] for flag, one in options if one.values},
            "arguments": [one.expects for one in arguments]
            + ([] if arguments and arguments[-1].values < 0 else [None]),
        }
    return data


def _verbs(command: Any, words: str, above: Any = None) -> Iterator[Verb]:
    context = typer.Context(command, parent=above, info_name=words, **command.context_settings)
    parameters = [_parameter(one, words, context) for one in command.get_params(context)]
    summary, *paragraphs = (command.help or "").split("\n\n")
    yield Verb(
        words,
        " ".join(command.collect_usage_pieces(context)),
        summary.rstrip("."),
        tuple(text.removeprefix("\b\n") for text in paragraphs),
        tuple(one for one in parameters if one.flags),
        tuple(one for one in parameters if not one.flags),
    )
    for name, below in getattr(command, "commands", {}).items():
        yield from _verbs(below, f"{words} {name}".lstrip(), context)


def _parameter(parameter: Any, verb: str, context: Any) -> Parameter:
    is_flag = getattr(parameter, "is_flag", False)
    metavar = "" if is_flag else parameter.make_metavar(context)
    shown, text = parameter.get_help_record(context)
    choices = tuple(f"={choice}" for choice in getattr(parameter.type, "choices", ()))
    return Parameter(
        tuple(sorted((*parameter.opts, *parameter.secondary_opts), key=len))
        if parameter.param_type_name == "option"
        else (),
        shown,
        text,
        0 if is_flag else parameter.nargs,
        choices or SOURCES.get(f"{verb} {parameter.name}") or SOURCES.get(metavar, ()),
    )
