"""The manual page and the words for completion, made of the help: `python -m dbca_openssl.cli.manual`.

Both lie in the package, since an installation has to be able to copy the one and read the other.
"""

from __future__ import annotations

import re
import textwrap
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from dbca_openssl import __version__, render
from dbca_openssl.cli import grammar
from dbca_openssl.cli.grammar import Parameter, Verb

PACKAGE = Path(__file__).parents[1]

PAGE, WORDS = PACKAGE / "share/man/man1/dbca-openssl.1", PACKAGE / "cli/grammar.json"

COMMON, COMMON_TO_SERVERS = 6, 5
"""An option that so many verbs have, or `server` verbs, is explained once."""


def page(verbs: Sequence[Verb]) -> str:
    """The manual page in man(7)."""
    bare = verbs[0]
    servers = [verb for verb in verbs if verb.words.startswith("server ")]
    common = _shared([verb for verb in verbs if verb not in servers], COMMON)
    of_servers = [one for one in _shared(servers, COMMON_TO_SERVERS) if one not in common]
    variables = {one.variable: one.flags[-1] for one in bare.options + tuple(common) if one.variable}
    (exit_codes,) = (text for text in bare.paragraphs if text.startswith("Exit codes: "))
    return render.rendered(
        "dbca-openssl.1.j2",
        version=__version__,
        name=_prose(bare.summary[0].lower() + bare.summary[1:]),
        description=[_paragraph(text) for text in (*bare.paragraphs[1:], bare.paragraphs[0]) if text != exit_codes],
        exit_codes=_prose(exit_codes.removeprefix("Exit codes: ").capitalize()),
        options=[_entry(one) for one in (*common, *(one for one in bare.options if one not in common))],
        verbs=[_verb(verb, common, of_servers) for verb in verbs[1:]],
        variables=[{"name": name, "flag": _bold(flag)} for name, flag in variables.items()],
        ssl_dir=_prose(render.SSL_DIR),
    )


def _verb(verb: Verb, common: Sequence[Parameter], of_servers: Sequence[Parameter]) -> dict[str, object]:
    elsewhere = [*common, *(of_servers if verb.words != "server" else ())]
    own = [*verb.arguments, *(one for one in verb.options if one not in elsewhere)]
    if verb.words == "server":
        own += of_servers
    others = [one for one in verb.options if one in elsewhere]
    places = {"OPTIONS" if one in common else "server": None for one in others}
    return {
        "usage": _prose(f"{verb.words} {re.sub('[{}]', '', verb.usage)}", sentences=False),
        "summary": _prose(verb.summary),
        "parts": [*map(_paragraph, verb.paragraphs), *map(_entry, own)],
        "others": ",\n".join(_bold(one.flags[-1]) for one in others),
        "where": " and ".join(places),
    }


def _shared(verbs: Sequence[Verb], least: int) -> list[Parameter]:
    counts = Counter(one for verb in verbs for one in verb.options)
    return [one for one, count in counts.items() if count >= least]


def _entry(parameter: Parameter) -> str:
    words = parameter.shown.split(" ")
    head = " ".join(_bold(word) if word.startswith("-") else rf"\fI{_prose(word)}\fR" for word in words)
    return f".TP\n{head}\n{_prose(parameter.text)}"


def _paragraph(text: str) -> str:
    if text.startswith("  "):
        lines = (_prose(line.removeprefix("  "), sentences=False) for line in text.splitlines())
        return "\n".join((".PP", ".EX", *lines, ".EE"))
    return f".PP\n{_prose(' '.join(text.split()))}"


def _bold(flag: str) -> str:
    comma = "," if flag.endswith(",") else ""
    return rf"\fB{_prose(flag.removesuffix(','))}\fR{comma}"


def _prose(text: str, *, sentences: bool = True) -> str:
    """`text` as roff shows it letter by letter; each sentence begins a line, as roff wants it."""
    letters = {"\\": r"\e", "-": r"\-", "'": r"\(aq", "`": r"\(ga", "^": r"\(ha", "~": r"\(ti"}
    if sentences:  # no command, option or file is hyphenated
        text = re.sub(r"(?<!\S)(?=-|[.]?/|[a-z]+[-./_][A-Za-z0-9])", r"\\%", text)
    plain = "".join(letters.get(letter, letter) for letter in text).replace(r"\e%", r"\%")
    lines = re.split(r"(?<=[a-z)\]][.]) +(?=[A-Z[])", plain) if sentences else [plain]
    if sentences:
        lines = [part for line in lines for part in textwrap.wrap(line, 78, break_on_hyphens=False)]
    return "\n".join(rf"\&{line}" if line.startswith(".") else line for line in lines)


if __name__ == "__main__":
    read = grammar.verbs()
    PAGE.write_text(page(read), encoding="utf-8")
    WORDS.write_text(grammar.as_data(read), encoding="utf-8")
