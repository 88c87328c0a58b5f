"""`completion`: print the script by which a shell completes command lines."""

from importlib import resources
from typing import Literal

from dbca_openssl.cli import output
from dbca_openssl.cli.options import Run, argument, verb

SCRIPTS = {  # in `share`, which an installation copies to where shells look
    "bash": "share/bash-completion/completions/dbca-openssl",
    "zsh": "share/zsh/site-functions/_dbca-openssl",
    "fish": "share/fish/vendor_completions.d/dbca-openssl.fish",
}


@verb()
def completion(
    run: Run,
    shell: Literal["bash", "zsh", "fish"] = argument("SHELL", "bash, zsh or fish."),
) -> int:
    """Print the script by which a shell completes command lines.

    \b
      source <(dbca-openssl completion bash)     # in ~/.bashrc
      source <(dbca-openssl completion zsh)      # in ~/.zshrc, after compinit
      dbca-openssl completion fish > ~/.config/fish/completions/dbca-openssl.fish

    It completes verbs, options, names, serials and files. Where the command was installed for all users, the shells
    find the script by themselves.
    """
    text = (resources.files("dbca_openssl") / SCRIPTS[shell]).read_text(encoding="utf-8")
    return output.verbatim({"shell": shell, "text": text}, text)
