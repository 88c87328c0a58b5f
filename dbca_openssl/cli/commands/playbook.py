"""`playbook`: an Ansible role for many hosts."""

from pathlib import Path

from dbca_openssl.cli import output
from dbca_openssl.cli.options import Run, option, verb
from dbca_openssl.host import playbook as playbooks


@verb()
def playbook(
    run: Run,
    role: Path = option("--role", "Where the role is written; Ansible calls it by the last part.", "DIR", default=...),
) -> int:
    """Write an Ansible role that enrolls and renews many hosts.

    \b
      dbca-openssl playbook --role roles/dbca
      ansible-playbook -i database-ca/database-ca.hosts site.yml --check
      ansible-playbook -i database-ca/database-ca.hosts site.yml

    Its README.md has a site.yml and an inventory. It needs ansible-core here, and Python on the hosts.
    A file that is there is never overwritten.
    """
    written = playbooks.write_role(role)
    return output.result(
        {"role": str(role), "written": [str(path) for path in written]},
        [*map(str, written), f"next, read {role / 'README.md'}"],
    )
