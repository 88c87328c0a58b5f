"""The pages say what the code does: every verb is explained, nothing is made up, no link is dead."""

from __future__ import annotations

import html
import re
from pathlib import Path
from typing import Any

import pytest
import typer

from dbca_openssl.cli.main import build
from dbca_openssl.errata import ERRATA
from tools.support import PAGES, ROOT, tool

README = (ROOT / "README.md").read_text()
ALL_PAGES = (*PAGES, ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md")
NOT_OURS = {"--diff", "--execute", "--forks", "--help", "--limit", "--list", "--local-infile", "--now", "--policy"}
NOT_OURS |= {"--key-type", "--keypairgen", "--label", "--login", "--token-label", "--write-object"}
"""`--help`, and options of Ansible, the database clients, systemctl, openssl and pkcs11-tool that the pages show."""

NOT_PLAIN = re.compile(
    r"\b(mend\w*|heal\w*|settl\w*|cure\w*|complain\w*|succession|glance|authorit\w+|alternative names?|"
    r"revocation lists?|over since|ended|cut short|good for|as it stands|as they stand|organisation\w*)\b",
    re.IGNORECASE,
)
"""Words for which the documentation has another one: fix, recover, expired, CA, SAN, CRL, interrupted, valid."""


def commands(group: Any, before: str = "") -> dict[str, Any]:
    """Every command by its words, such as `sign` and `server probe`."""
    found: dict[str, Any] = {}
    for name, command in group.commands.items():
        found |= commands(command, f"{name} ") if hasattr(command, "commands") else {before + name: command}
    return found


HELP = typer.main.get_command(build())
COMMANDS = commands(HELP)
PARAMETERS = [parameter for command in (HELP, *COMMANDS.values()) for parameter in command.params]
OPTIONS = {option for parameter in PARAMETERS for option in (*parameter.opts, *parameter.secondary_opts)}


def name_of(page: Path) -> str:
    return str(page.relative_to(ROOT))


def rows(page: str, heading: str = "") -> list[list[str]]:
    """The cells of the tables of a page, or of its part under a heading, without the heads of the tables."""
    text = (ROOT / page).read_text()
    if heading:
        text = re.split(r"^#+ ", text.partition(f"# {heading}\n")[2], flags=re.MULTILINE)[0]
    tables = re.findall(r"^\|--.*\n((?:\|.*\n)+)", text, re.MULTILINE)
    return [re.split(r"(?<!\\) \| ", line[2:-2]) for table in tables for line in table.splitlines()]


@pytest.mark.parametrize("verb", COMMANDS)
def test_every_verb_is_explained(verb: str) -> None:
    table = "\n".join(first for first, _ in rows("README.md", "Commands"))
    word = verb.removeprefix("server ")
    assert re.search(rf"[` |]{word}[` |\\]", table), f"the README's table of commands has no {verb}"
    command = COMMANDS[verb]
    assert re.search(rf"^ *\b(?:sudo )?dbca-openssl {verb}\b", command.help, re.MULTILINE), (
        f"{verb} --help has no example"
    )
    for parameter in command.params:
        assert getattr(parameter, "help", None), f"{verb} --help does not explain {parameter.opts}"


def test_every_verb_has_its_task() -> None:
    page = (ROOT / "docs/tasks.md").read_text()
    assert [verb for verb in COMMANDS if not re.search(rf"`{verb}[` ]", page)] == ["completion"]


@pytest.mark.parametrize(
    "command", re.findall(r"`(?!dbca-openssl`)([a-z][^`]*)`", (ROOT / "docs/tasks.md").read_text())
)
def test_a_task_is_done_with_verbs_and_options_that_are_there(command: str) -> None:
    words = command.removeprefix("dbca-openssl ").split()
    if words[0] in ("VERB", "database-ca.hosts"):
        return
    verb = " ".join(words[:2]) if words[0] in ("server", "client") else words[0]
    options = {option for one in COMMANDS[verb].params for option in one.opts}
    assert {word for word in words if word.startswith("--")} <= options


def test_the_verbs_of_a_server_have_their_page() -> None:
    explained = {words.split()[1] for first, _ in rows("docs/servers.md") for words in [first.strip("`")]}
    assert explained == {verb.removeprefix("server ") for verb in COMMANDS if verb.startswith("server ")}


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_no_command_and_no_option_is_made_up(page: Path) -> None:
    text = page.read_text()
    for first, second in re.findall(r"dbca-openssl ([a-z]+)(?: ([a-z]+))?", text):
        assert first in COMMANDS or f"{first} {second}" in COMMANDS, (first, second)
    for option in re.findall(r"(?<=[` ])--[a-z]+[a-z-]*", text):
        assert option in OPTIONS | NOT_OURS, option


def test_the_shared_options_and_variables_are_those_of_the_code() -> None:
    table = rows("docs/commands.md", "Options that verbs share")
    shared = {first.strip("`").split()[0] for first, _ in table if first.startswith("`--")}
    times = {option: sum(option in one.opts for one in PARAMETERS) for option in OPTIONS}
    assert shared <= OPTIONS
    assert {option for option in shared if times[option] == 1} == set()
    documented = {first.strip("`"): second.strip("`") for first, second in table if first.startswith("`DBCA_")}
    code = {one.envvar: one.opts[0] for one in PARAMETERS if one.envvar}
    assert documented == code


@pytest.mark.parametrize(
    ("arguments", "code", "heading"),
    [
        (("--version",), 0, "Exit codes"),
        (("list",), 1, "Exit codes"),
        (("lst",), 2, "Exit codes"),
        (("list", "--al"), 2, "Exit codes"),
        (("check",), 3, "Exit codes of the commands for monitoring"),
        (("check", "--al"), 3, "Exit codes of the commands for monitoring"),
    ],
)
def test_the_exit_codes_are_those_of_the_page(
    arguments: tuple[str, ...], code: int, heading: str, tmp_path: Path
) -> None:
    assert str(code) in [first for first, _ in rows("docs/commands.md", heading)]
    assert tool(*arguments, directory=tmp_path).code == code


def anchors(page: Path) -> set[str]:
    """What a link can name in a page: its headings, as forges write them."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading).strip().lower().replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", ALL_PAGES, ids=name_of)
def test_no_link_is_dead(page: Path) -> None:
    for link in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        target, _, anchor = link.partition("#")
        found = (page.parent / target).resolve() if target else page
        assert found.is_file(), link
        assert not anchor or anchor in anchors(found), link


def test_the_readme_is_short_and_leads_to_every_page() -> None:
    assert len(README.encode()) < 11_000
    linked = {ROOT / link for link in re.findall(r"\]\((docs/[a-z-]+\.md)\)", README)}
    assert linked == set(PAGES[1:])


@pytest.mark.parametrize("page", ALL_PAGES, ids=name_of)
def test_the_words_are_plain(page: Path) -> None:
    text = re.sub(r"```.*?```|`[^`\n]*`|\*\*Create a Certificate Authority\*\*", "", page.read_text(), flags=re.DOTALL)
    text = text.replace("certificate authority (CA)", "").replace("SAN (subject alternative name)", "")
    text = text.replace("CRL (certificate revocation list)", "").replace("**Revocation List (CRL)**", "")
    assert not [found.group() for found in NOT_PLAIN.finditer(text)]


def test_the_pictures_are_there_and_show_commands_that_are() -> None:
    pictures = [page.parent / name for page in PAGES for name in re.findall(r"!\[[^\]]+\]\((\S+)\)", page.read_text())]
    assert [path.name for path in pictures] == ["session.svg", "report.png"]
    assert all(0 < path.stat().st_size < 150_000 for path in pictures)
    shown = html.unescape(re.sub("<[^>]+>", "\n", pictures[0].read_text())).replace("\N{NO-BREAK SPACE}", " ")
    typed = re.findall(r"^\$ dbca-openssl ?([a-z]*)(.*)$", shown, re.MULTILINE)
    assert {verb for verb, _ in typed} == {"", "init", "request", "sign", "verify", "list", "revoke", "check"}
    for verb, rest in typed:
        options = {option for one in COMMANDS[verb].params for option in one.opts} if verb else set()
        assert set(re.findall(r"--[a-z-]+", rest)) <= options, verb
    assert not re.search(r"/home|/root|/tmp|http", shown)


def test_the_table_of_errata_is_the_one_of_the_command(tmp_path: Path) -> None:
    table = [tuple(row) for row in rows("docs/errata.md")]
    assert table == [(str(one.number), one.guide, one.happens, one.fix) for one in ERRATA]
    printed = tool("guide", "--json", directory=tmp_path).document["errata"]
    assert [tuple(map(str, one.values())) for one in printed] == table


def test_contributing_names_files_that_exist() -> None:
    named = re.findall(r"`((?:dbca_openssl|templates|tests|docs)/[^`\s]*)`", (ROOT / "CONTRIBUTING.md").read_text())
    assert len(named) > 20
    assert [path for path in named if not (ROOT / path).exists()] == []
