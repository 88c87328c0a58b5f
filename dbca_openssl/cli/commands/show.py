"""`show`: one certificate in full."""

from typing import Any

from dbca_openssl import dates
from dbca_openssl.ca import index, listing
from dbca_openssl.cli import output, results
from dbca_openssl.cli.options import Run, argument, verb


@verb("ca")
def show(
    run: Run,
    what: str = argument("NAME|SERIAL|FILE", "A name in certs/, a serial, or a file."),
) -> int:
    """Show one certificate in full.

    \b
      dbca-openssl show aiken.example.net
      dbca-openssl show 01
    """
    found = listing.details(run.authority(), what)
    certificate, row, at = found.certificate, found.row, dates.now()
    status = row.status(at) if row else "not in the index"
    revoked_at = row.revoked_at if row else None
    kind, bits = found.key
    document: dict[str, Any] = {
        "name": certificate.common_name,
        "serial": index.serial_text(certificate.serial),
        "status": status,
        "revoked_at": revoked_at,
        "reason": row.reason if row else None,
        "issuer": found.issuer,
        "key": {"type": kind, "bits": bits},
        "key_usage": found.key_usage,
        "extended_key_usage": found.extended_key_usage,
        "alternative_names": [f"{kind}:{name}" for kind, name in certificate.alternative_names],
        "not_before": certificate.start,
        "not_after": certificate.end,
        "days_left": dates.days_left(certificate.end, at),
        "sha256": found.fingerprint,
        "path": found.path,
    }
    status = output.coloured(status)
    if revoked_at:
        status += f" on {dates.shown(revoked_at)}" + (f", {document['reason']}" if document["reason"] else "")
    return output.result(
        document,
        [
            certificate.common_name,
            *output.fields(
                {
                    "serial": document["serial"],
                    "status": status,
                    "issuer": found.issuer,
                    "key": f"RSA {bits} bits" if kind == "RSA" else kind,
                    "usages": ", ".join((*found.key_usage, *found.extended_key_usage)) or "any",
                    "SAN": ", ".join(document["alternative_names"]) or results.NO_SAN,
                    "from": dates.shown(certificate.start),
                    "until": f"{dates.shown(certificate.end)} ({document['days_left']} days)",
                    "sha256": found.fingerprint,
                    "file": found.path,
                }
            ),
        ],
    )
