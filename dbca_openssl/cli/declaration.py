"""How an option, an argument and a command line are declared: the one place that knows typer's way."""

from typing import Any

import typer

UsageError: type[Exception] = typer.BadParameter.__mro__[1]
"""typer's own base of everything that is wrong with a command line, without naming the library below typer."""

CONTEXT_SETTINGS = {"help_option_names": ["--help", "-h"], "max_content_width": 100}


def option(
    default: Any,
    flags: str,
    text: str,
    metavar: str | None = None,
    least: int | None = None,
    most: int | None = None,
    variable: str | None = None,
) -> Any:
    """An option by its `flags`, with the help `text`; a number is from `least` to `most`."""
    return typer.Option(
        default,
        *flags.split(),
        help=text,
        metavar=metavar,
        min=least,
        max=most,
        envvar=variable,
        readable=False,  # the refusal is ours, with a hint
    )


def argument(default: Any, metavar: str, text: str) -> Any:
    """An argument by its word in the usage line, with the help `text`; it is required where `default` is `...`."""
    return typer.Argument(default, metavar=metavar, help=text)


def empty_app(**settings: Any) -> typer.Typer:
    """A command line without commands yet; `settings` are typer's."""
    return typer.Typer(
        add_completion=False,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        context_settings=CONTEXT_SETTINGS,
        **settings,
    )
