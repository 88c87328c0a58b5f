"""The bare command: the state of the CA, and what to do next."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import partial

import typer

from dbca_openssl import __version__, dates
from dbca_openssl.ca import check as checking
from dbca_openssl.ca import index, listing
from dbca_openssl.ca.layout import INDEX, Authority
from dbca_openssl.cli import output, results
from dbca_openssl.cli.main import DONE
from dbca_openssl.cli.options import Run, flag, verb
from dbca_openssl.crls import Crl
from dbca_openssl.errors import DatabaseCaError
from dbca_openssl.finding import REPAIR

CRL_SOON = listing.SOON // 2
"""Days from which on a new CRL is asked for."""

CRL_FIX = "dbca-openssl crl"
BEHIND = ", and the CA has changed since"


@verb("ca")
def status(
    run: Run,
    context: typer.Context,
    version: bool = flag("--version", "Print the version."),
) -> int:
    """A private certificate authority for MariaDB and MySQL.

    \b
      dbca-openssl init --organization example.net
      dbca-openssl request aiken.example.net   # on the host aiken
      dbca-openssl sign aiken.example.net
      dbca-openssl verify aiken.example.net
      dbca-openssl                             # the state, and what is next

    It drives the real openssl req and openssl ca, and follows one guide step by step.

    Exit codes: 0 done; 1 refused or failed, nothing changed (of several hosts: some failed, and are named); 2 wrong
    usage; 3 a bug of dbca-openssl; 130 interrupted. What monitoring calls (check, server check, server probe, server
    replication --check) has the codes of its plugins: 0 OK, 1 warning, 2 critical, 3 unknown or wrong usage.
    """
    if context.invoked_subcommand is not None:
        for name in ("ca", "openssl"):
            if getattr(context.get_parameter_source(name), "name", "") == "COMMANDLINE":
                context.fail(f"--{name} stands before the verb; options stand after it")
        return DONE
    if version:
        return output.result({"version": __version__}, [f"dbca-openssl {__version__}"])
    authority = run.authority()
    try:
        authority.require()
    except DatabaseCaError:
        if run.ca is not None:
            raise
        first = "dbca-openssl init --organization NAME"
        return output.result(
            {"directory": None, "next": [first]},
            ["no CA here yet", *results.next_lines([first, "dbca-openssl --help"])],
        )
    found = listing.status(authority)
    crl, own, at = found.revocation_list, found.own, found.at
    soon = [row.name for row in found.ending_soon]
    following = next_commands(authority, found)
    following = following or [results.command(authority, "list")]
    counts, saved = found.counts, found.saved
    return output.result(
        {
            "directory": str(authority.directory),
            "common_name": own.common_name,
            "not_after": own.end,
            "days_left": dates.days_left(own.end, at),
            "crl_next_update": crl.end if crl else None,
            "crl_days_left": dates.days_left(crl.end, at) if crl else None,
            "certificates": counts,
            "ending_soon": soon,
            "waiting": found.waiting,
            "last_backup": saved.at if saved else None,
            "next": following,
        },
        [
            f"{own.common_name} in {authority.directory}",
            *output.fields(
                {
                    "CA": _until(own.end, at, listing.SOON),
                    "CRL": _until(crl.end, at, CRL_SOON) if crl else output.coloured("none", "critical"),
                    "signed": ", ".join(f"{count} {word}" for word, count in counts.items()),
                    "expiring": output.coloured(_some(soon), "warning") if soon else None,
                    "waiting": _some(found.waiting) if found.waiting else None,
                    "backup": saved and dates.shown(saved.at) + (BEHIND if found.is_behind else ""),
                }
            ),
            *results.next_lines(following),
        ],
    )


def _until(end: datetime, at: datetime, soon: int) -> str:
    """Until when something is valid, coloured where that is within `soon` days or past."""
    left = dates.days_left(end, at)
    word = "critical" if left < 0 else "warning" if left < soon else ""
    return f"until {dates.shown(end)} (" + output.coloured(f"{left} days", word) + ")"


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")


def next_commands(authority: Authority, found: listing.Status) -> list[str]:
    """The commands that the state of the CA asks for, in their order."""
    command = partial(results.command, authority)
    urgent = checking.urgent(authority, found)
    crl, fixes = found.revocation_list, [one.fix for one in urgent]
    lines = [
        command("repair") if one.fix == REPAIR else f"{command('check')}  # {one.text}"
        for one in urgent
        if one.code != "crl"
    ]
    lines = list(dict.fromkeys(lines))
    is_renewed = dates.days_left(found.own.end, found.at) < listing.SOON
    if is_renewed:
        lines.append(command("init", "--renew"))
    known, ending = results.known_hosts(authority), [row.name for row in (*found.expired, *found.ending_soon)]
    if known and found.counts["expired"] > len(found.expired):  # of those that openssl has marked, who is in the list
        last = {row.name: row for row in index.some(authority.read(INDEX), names=known)}
        ending += [row.name for row in last.values() if row.name in known and row.state == index.EXPIRED]
    is_due = crl is None or bool({CRL_FIX, checking.DELIVER_FIRST} & {*fixes}) or _is_ending(crl, found.at)
    waiting = ["--all"] if len(found.waiting) > 3 else found.waiting
    lines += [command("sign", name) for name in waiting]
    servers = {name for name, host in known.items() if not host.is_client}
    if servers and (is_due or is_renewed or ending):
        others = [name for name in ending if name not in servers]
        if crl is None:
            lines.append(command("crl"))  # rotate has to read the one that is there
        if others:
            lines.append(command("renew", *(others if len(others) <= 5 else ["--expiring", "30"]), "--no-crl"))
            lines += (line.strip() for line in results.deploy_lines(authority, others[:5]))
        lines.append(command("rotate", "--all"))
    elif checking.DELIVER_FIRST in fixes:
        deploy = f"{command('deploy', 'HOST...')}  # the"
        lines += [f"{deploy} new certificates, before the CRL", command("crl"), f"{deploy} CRL"]
    else:
        lines += [command("crl")] if is_due else []
        lines += [command("renew", "--expiring", str(listing.SOON))] if ending else []
        if not found.is_empty and (is_due or is_renewed or ending):
            lines += (line.strip() for line in results.deploy_lines(authority))
    if found.is_behind:
        lines.append(command("backup", "FILE.tar.gz"))
    if found.is_empty and not lines and not authority.is_public():
        lines = results.first_lines(authority, is_saved=found.saved is not None)
    return lines


def _is_ending(crl: Crl, at: datetime) -> bool:
    """Whether a CRL has less than CRL_SOON days left, and less than half of its life, so that `rotate` renews it."""
    return crl.end - at < min(timedelta(CRL_SOON), (crl.end - crl.start) / 2)
