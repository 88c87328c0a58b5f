"""`rollover`: move the hosts from an old CA to a new one."""

import shlex
from pathlib import Path

from dbca_openssl.ca import rollover as moving
from dbca_openssl.ca.layout import request_of
from dbca_openssl.cli import output, terminal
from dbca_openssl.cli.options import Run, argument, option, verb
from dbca_openssl.command import require_absent
from dbca_openssl.plan import write_new


@verb("ca", "yes")
def rollover(
    run: Run,
    old: Path = argument(..., "OLD", "The directory of the old CA."),
    bundle: Path | None = option(None, "--output -o", "Write the files of both for the hosts there.", "DIR"),
) -> int:
    """Move the hosts from an old CA to a new one.

    \b
      dbca-openssl init -o example.net --common-name 'Database CA 2' --ca new-ca
      dbca-openssl rollover database-ca --ca new-ca --output both

    It says how far they are, and what to do next. Stage 1: deliver the certificates and CRLs of both. Stage 2: sign
    each host's request by the new one. Stage 3: all have moved; deliver the new one's files alone.
    """
    leaving, coming = run.existing_authority(old), run.existing_authority()
    with terminal.busy("comparing the two"):
        state = moving.rollover(leaving, coming)
    written = []
    if bundle is not None:
        files = moving.bundle((coming, leaving))
        for name in files:
            require_absent(bundle / name)
        bundle.mkdir(exist_ok=True)
        for name, data in files.items():
            write_new(bundle / name, data)
            written.append(str(bundle / name))
    new = str(coming.directory)
    following = {
        1: [output.command("rollover", str(old), "--ca", new, "--output", "both"), "copy both/* to every host"],
        2: [],
        3: [
            f"copy database-ca.cert.pem and crl/database-ca.crl of {shlex.quote(new)} alone to every host",
            "put the old one away",
        ],
    }[state.stage]
    moves = [output.command("sign", str(leaving.path(request_of(name))), "--ca", new) for name in state.waiting[:5]]
    return output.result(
        {"stage": state.stage, "moved": list(state.moved), "waiting": list(state.waiting), "bundle": written},
        [
            *(f"{path}  of both CAs" for path in written),
            f"stage {state.stage} of 3: {len(state.moved)} moved, {len(state.waiting)} waiting",
            "next:",
            *(f"  {line}" for line in following + moves),
        ],
    )
