"""The manual page and the data for completion, made of the help: `make manual`, and whenever the package is built."""

from __future__ import annotations

import json
import re
import textwrap
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from dbca_openssl import __version__, render
from manual import grammar
from manual.grammar import Parameter, Verb

PACKAGE = Path(__file__).parents[2] / "dbca_openssl"

PAGE, DATA = PACKAGE / "share/man/man1/dbca-openssl.1", PACKAGE / "cli/grammar.json"

COMMON = 5
"""An option that so many verbs have is explained once."""


def write() -> None:
    """Write both files into the package, where an installation takes the page from."""
    verbs = grammar.verbs()
    PAGE.parent.mkdir(parents=True, exist_ok=True)
    PAGE.write_text(page(verbs), encoding="utf-8")
    DATA.write_text(json.dumps(grammar.as_data(verbs), indent=1), encoding="utf-8")


def page(verbs: Sequence[Verb]) -> str:
    """The manual page in man(7)."""
    bare, *others = verbs
    counts = Counter(one for verb in others for one in verb.options)
    common = list(dict.fromkeys([*(one for one, count in counts.items() if count >= COMMON), *bare.options]))
    variables = [(found[1], one.flags[-1]) for one in common if (found := re.search(r"env var: (\w+)", one.text))]
    (exit_codes,) = (text for text in bare.paragraphs if text.startswith("Exit codes: "))
    return render.rendered(
        "dbca-openssl.1.j2",
        version=__version__,
        name=_prose(bare.summary[0].lower() + bare.summary[1:]),
        description=[_paragraph(text) for text in (*bare.paragraphs[1:], bare.paragraphs[0]) if text != exit_codes],
        exit_codes=_prose(exit_codes.removeprefix("Exit codes: ").capitalize()),
        options=map(_entry, common),
        verbs=[_verb(verb, common) for verb in others],
        variables=[{"name": name, "flag": _bold(flag)} for name, flag in variables],
        ssl_dir=_prose(render.SSL_DIR),
    )


def _verb(verb: Verb, common: Sequence[Parameter]) -> dict[str, object]:
    own = [one for one in (*verb.arguments, *verb.options) if one not in common]
    return {
        "usage": _prose(f"{verb.words} {re.sub('[{}]', '', verb.usage)}", sentences=False),
        "summary": _prose(verb.summary),
        "parts": [*map(_paragraph, verb.paragraphs), *map(_entry, own)],
        "others": ",\n".join(_bold(one.flags[-1]) for one in verb.options if one in common),
    }


def _entry(parameter: Parameter) -> str:
    words = parameter.shown.split(" ")
    head = " ".join(_bold(word) if word.startswith("-") else rf"\fI{_prose(word)}\fR" for word in words)
    return f".TP\n{head}\n{_prose(parameter.text)}"


def _paragraph(text: str) -> str:
    if text.startswith("  "):
        lines = (_prose(line.removeprefix("  "), sentences=False) for line in text.splitlines())
        return "\n".join((".PP", ".RS -3n", ".EX", *lines, ".EE", ".RE"))
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
    write()
