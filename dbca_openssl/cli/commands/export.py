"""`export`: copies of the CA's files for other programs."""

from pathlib import Path

from dbca_openssl.ca import export as exporting
from dbca_openssl.cli import output, terminal
from dbca_openssl.cli.options import Run, option, verb


@verb("ca", "lock_timeout", "yes")
def export(
    run: Run,
    public: Path = option(..., "--public", "A new directory, or one that this command has made.", "DIR"),
) -> int:
    """Copy what of the CA may be public, for monitoring.

    \b
      dbca-openssl export --public public-ca

    Configuration, CA certificate, CRL, index, certificates and the list of hosts; never a key. Run it again after each
    change: what has changed is replaced, each file by a rename. With --ca DIR, check, list, show, report and server
    probe work on the copy.
    """
    authority = run.existing_authority()
    with terminal.busy("copying"):
        changed = exporting.export(authority, run.authority(public.resolve()))
    directory = public.absolute()
    following = f"next, let monitoring have it: {output.command('check', '--ca', str(directory))}"
    count = f"{len(changed)} file{'' if len(changed) == 1 else 's'} changed"
    return output.result({"directory": directory, "changed": changed}, [f"{public}  {count}", following])
