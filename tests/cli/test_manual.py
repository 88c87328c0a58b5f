"""The manual page: of the same text as the help, found by man, and nothing in it that a formatter complains about."""

from __future__ import annotations

import re
import shutil
import sys
from pathlib import Path

import pytest

from dbca_openssl.ca import backup, layout, rollover
from manual import grammar, page
from tools.support import ROOT, run, tool

VERBS = grammar.verbs()
LOCALE = {"LC_ALL": "C.UTF-8", "MANWIDTH": "100"}


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The page as man shows it in a pipe."""
    directory = tmp_path_factory.mktemp("manual")
    finished = run("man", "--warnings", "-l", page.PAGE, directory=directory, environment=LOCALE)
    assert (finished.code, finished.messages) == (0, "")
    return re.sub("\N{HYPHEN}\n *", "", finished.output)  # words that it has divided


def test_the_page_is_the_one_that_the_help_makes() -> None:
    assert page.PAGE.read_text() == page.page(VERBS), "run `make manual`"


def test_make_manual_writes_what_is_kept(tmp_path: Path) -> None:
    ignored = shutil.ignore_patterns("man", "grammar.json", "__pycache__")
    package = Path(shutil.copytree(ROOT / "dbca_openssl", tmp_path / "dbca_openssl", ignore=ignored))
    shutil.copytree(ROOT / "docs/manual", tmp_path / "docs/manual", ignore=ignored)
    docs = {"PYTHONPATH": "docs"}
    finished = run(sys.executable, "-m", "manual.page", directory=tmp_path, environment=docs)
    assert (finished.code, finished.output, finished.messages) == (0, "", "")
    for path in (page.PAGE, page.DATA):
        assert (package / path.relative_to(page.PACKAGE)).read_bytes() == path.read_bytes()


def test_no_formatter_complains(tmp_path: Path) -> None:
    for program in (("mandoc", "-Tlint"), ("groff", "-man", "-ww", "-Tutf8", "-z")):
        finished = run(*program, page.PAGE, directory=tmp_path)
        assert (finished.code, finished.output, finished.messages) == (0, "", ""), program


def test_it_names_every_file_and_every_variable(text: str) -> None:
    parts = dict(re.findall(r"^([A-Z][A-Z ]+)\n(.*?)(?=^[A-Z]|\Z)", text, re.MULTILINE | re.DOTALL))
    names = {value for value in vars(layout).values() if isinstance(value, str) and re.search(r"database-ca\.", value)}
    for name in (*names, *layout.DIRECTORIES, backup.BACKUP, rollover.RECORD):
        assert name in parts["FILES"]
    sources = "".join(path.read_text() for path in (ROOT / "dbca_openssl").rglob("*.py"))
    variables = set(re.findall(r"DBCA_[A-Z_]+|NO_COLOR", sources))
    assert set(re.findall(r"DBCA_[A-Z_]+|NO_COLOR", parts["ENVIRONMENT"])) == variables


def test_it_fits_into_80_columns(tmp_path: Path) -> None:
    shown = run("man", "-l", page.PAGE, directory=tmp_path, environment=LOCALE | {"MANWIDTH": "80"}).output
    assert [line for line in shown.splitlines() if len(line) > 80] == []


def test_it_has_a_name_by_which_it_is_found(tmp_path: Path) -> None:
    finished = run("lexgrog", page.PAGE, directory=tmp_path)
    assert f'"dbca-openssl - {VERBS[0].summary[0].lower()}{VERBS[0].summary[1:]}"' in finished.output


def test_it_has_the_sections_of_a_manual_page(text: str) -> None:
    assert re.findall(r"^[A-Z][A-Z ]+$", text, re.MULTILINE) == [
        *("NAME", "SYNOPSIS", "DESCRIPTION", "OPTIONS", "COMMANDS"),
        *("ENVIRONMENT", "FILES", "EXIT STATUS", "SEE ALSO"),
    ]


@pytest.mark.parametrize("verb", VERBS[1:], ids=lambda verb: verb.words.replace(" ", "-"))
def test_it_has_all_that_the_help_of_a_verb_says(verb: grammar.Verb, text: str, tmp_path: Path) -> None:
    (part,) = re.findall(rf"^   {verb.words} \[OPTIONS\].*?(?=^   ?\S|^\S)", text, re.MULTILINE | re.DOTALL)
    plain, everything = " ".join(part.split()), " ".join(text.split())
    for paragraph in (verb.summary, *verb.paragraphs):
        assert " ".join(paragraph.split()) in plain
    for option in verb.options:
        assert re.search(rf"(?<=\s){re.escape(option.flags[-1])}(?=[\s,:])", part), option.shown
    for parameter in (*verb.options, *verb.arguments):
        assert f"{parameter.shown} {' '.join(parameter.text.split())}" in everything
    shown = " ".join(tool(*verb.words.split(), "--help", directory=tmp_path).output.split())
    for parameter in (*verb.options, *verb.arguments):  # and it is the help that the command itself prints
        assert f"{parameter.shown} {' '.join(parameter.text.split())}" in shown
