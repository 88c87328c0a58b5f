"""`export`: copies of the CA's files, or of a client's key and certificate, for other programs."""

from pathlib import Path

from dbca_openssl import names
from dbca_openssl.ca import export as exporting
from dbca_openssl.cli import output, terminal
from dbca_openssl.cli.options import Run, UsageError, argument, flag, option, verb
from dbca_openssl.host.export import Bundle, Format, make, script

FORMAT = option("--format", "PKCS#12, for Java and .NET, or certificate and key in one PEM file.")


@verb("ca", "ssl_dir", "new", "lock_timeout", "print_", "yes")
def export(
    run: Run,
    name: str | None = argument(
        "[NAME]", "Whose key and certificate to put into one file, where the key is.", default=None
    ),
    public: Path | None = option("--public", "A new directory, or one that this command has made.", "DIR"),
    format_: Format | None = FORMAT,
    legacy: bool = flag("--legacy", "PKCS#12 that Java before 8u301 reads: 3DES and SHA-1."),
) -> int:
    """Copy what of the CA may be public, or make a key store.

    \b
      dbca-openssl export --public public-ca
      dbca-openssl export backup@margaret --format pkcs12 --ssl-dir ~/.mysql/ssl
      dbca-openssl export app.example.net --format pkcs12 --print > export.sh

    With --public: configuration, CA certificate, CRL, index, certificates and the list of hosts; never a key. Run it
    again after each change: what has changed is replaced, each file by a rename. With --ca DIR, check, list, show,
    report and server probe work on the copy.

    With --format: private/NAME.p12 or private/NAME.bundle.pem in --ssl-dir, beside the key, for its owner alone. Where
    the key is on another host, --print prints a script for it, which needs only openssl there. A pass phrase is for
    PKCS#12; openssl in a script asks for it, or reads it from --new-passphrase-file there.
    """
    if (name is None) == (public is None):
        raise UsageError("name a NAME, or give --public DIR")
    if public is not None:
        if format_ or legacy or run.print_ or run.new_passphrase_file or run.new_passphrase_fd is not None:
            raise UsageError("--public takes neither a format nor a pass phrase, and prints no script")
        return _public(run, public)
    if format_ is None:
        raise UsageError("missing option --format")
    with_passphrase = format_ == "pkcs12"
    if not with_passphrase and (legacy or run.new_passphrase_file or run.new_passphrase_fd is not None):
        raise UsageError("a PEM file has no pass phrase, and no algorithms")
    bundle = Bundle(names.entity_name(name or ""), format_, run.directory(), legacy)
    if run.print_:
        return output.script(script(bundle, run.new_passphrase_file and run.new_passphrase_file.absolute()))
    made = bundle.directory / bundle.file
    make(
        bundle,
        run.program(),
        (lambda: run.new_passphrase(f"New pass phrase of {made}: ")) if with_passphrase else None,
        output.tell,
        run.lock_timeout,
    )
    return output.result({"file": made, "format": format_}, [f"{made}  key and certificate of {bundle.name}"])


def _public(run: Run, public: Path) -> int:
    authority = run.existing_authority()
    with terminal.busy("copying"):
        changed = exporting.export(authority, run.authority(public.resolve()))
    directory = public.absolute()
    following = f"next, let monitoring have it: {output.command('check', '--ca', str(directory))}"
    count = f"{len(changed)} file{'' if len(changed) == 1 else 's'} changed"
    return output.result({"directory": directory, "changed": changed}, [f"{public}  {count}", following])
