"""`playbook`: an Ansible playbook for many hosts."""

from dbca_openssl.ca.hosts import KnownHost
from dbca_openssl.cli import output
from dbca_openssl.cli.options import Run, option, verb
from dbca_openssl.host import playbook as playbooks


@verb("ca", "ssl_dir", "owner", "profile", "bits")
def playbook(
    run: Run,
    hosts: str = option("databases", "--hosts", "Which hosts of the inventory.", "GROUP"),
) -> int:
    """Print an Ansible playbook that enrolls many hosts.

    \b
      dbca-openssl playbook > databases.yml
      ansible-playbook -i inventory databases.yml --check
      ansible-playbook -i inventory databases.yml

    It begins with a note on the inventory, and on the pass phrase. It needs ansible-core here, and Python on the hosts.
    Run again, it does only what is missing.
    """
    where = KnownHost("localhost").changed(directory=run.ssl_dir, owner=run.owner or "mysql")
    text = playbooks.playbook(
        playbooks.Fleet(hosts, run.authority().directory, where, run.profile_of("localhost"), run.bits)
    )
    return output.verbatim({"playbook": text}, text)
