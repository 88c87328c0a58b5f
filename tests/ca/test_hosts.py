"""`database-ca.hosts`: what is read from it, what Ansible reads from the same text, and edits that keep the rest."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dbca_openssl.ca import hosts
from dbca_openssl.ca.hosts import KnownHost, parse
from dbca_openssl.ca.layout import HOSTS, Authority
from dbca_openssl.errors import DatabaseCaError
from tools.support import run

BY_HAND = """\
; kept by two people
[databases]
aiken.example.net   ansible_user=root rack='b # 7' dbca_owner=mysql   # the first one

# the second one is behind sudo
margaret.example.net ansible_become=true dbca_reload="systemctl reload mariadb"\tdbca_alt_names=db.example.net,IP:::1

[clients]
app  # no host

[berlin]
aiken.example.net
[databases:vars]
dbca_flavor = mariadb
dbca_connect='127.0.0.1:3307'
[europe:children]
berlin
[europe:vars]
timezone=Europe/Berlin
"""

AIKEN = KnownHost("aiken.example.net", user="root", owner="mysql", flavor="mariadb", connect="127.0.0.1:3307")


def inventory(text: str, directory: Path) -> dict[str, dict[str, object]]:
    """The variables of each host as Ansible reads the text."""
    (directory / HOSTS).write_text(text)
    program = Path(sys.executable).with_name("ansible-inventory")
    finished = run(program, "-i", HOSTS, "--list", directory=directory, environment={"LC_ALL": "C.UTF-8"})
    assert finished.code == 0, finished.messages
    found: dict[str, dict[str, object]] = json.loads(finished.output)["_meta"]["hostvars"]
    return found


def test_a_list_by_hand_is_read() -> None:
    found = parse(BY_HAND).hosts
    assert list(found) == ["aiken.example.net", "margaret.example.net", "app"]
    assert found["aiken.example.net"] == AIKEN
    assert found["aiken.example.net"].destination == "root@aiken.example.net"
    margaret = found["margaret.example.net"]
    assert margaret.sudo
    assert margaret.reload == "systemctl reload mariadb"
    assert margaret.alternative_names == (("DNS", "db.example.net"), ("IP", "::1"))
    assert found["app"].is_client
    assert not margaret.is_client


def test_an_edit_keeps_everything_else() -> None:
    changed = parse(BY_HAND).with_hosts(AIKEN._replace(user="admin", sudo=True, owner=None))
    expected = BY_HAND.replace(
        "aiken.example.net   ansible_user=root rack='b # 7' dbca_owner=mysql   # the first one",
        "aiken.example.net   ansible_user=admin rack='b # 7' ansible_become=true   # the first one",
    )
    assert changed.text == expected
    assert changed.with_hosts(AIKEN).hosts == parse(BY_HAND).hosts


def test_the_same_again_changes_nothing() -> None:
    assert parse(BY_HAND).with_hosts(AIKEN).text == BY_HAND


def test_new_hosts_and_clients_go_to_the_end_of_their_groups() -> None:
    changed = parse(BY_HAND).with_hosts(KnownHost("gannibal.example.net", profile="modern"))
    changed = changed.with_hosts(KnownHost("backup@margaret", is_client=True))
    lines = changed.text.splitlines()
    assert lines[lines.index("[clients]") - 2] == "gannibal.example.net dbca_profile=modern"
    assert lines[lines.index("app  # no host") + 1] == "backup@margaret"
    assert [line for line in lines if line not in BY_HAND.splitlines()] == [
        "gannibal.example.net dbca_profile=modern",
        "backup@margaret",
    ]


def test_a_first_host_makes_the_list() -> None:
    made = parse("").with_hosts(KnownHost("aiken.example.net"))
    assert made.text.startswith("# The hosts of this CA")
    assert "\n[databases]\naiken.example.net\n" in made.text


def test_a_client_that_becomes_a_host_moves() -> None:
    changed = parse(BY_HAND).with_hosts(KnownHost("app", owner="mysql"))
    assert not changed.hosts["app"].is_client
    assert changed.text.count("\napp") == 1


def test_ansible_reads_the_same(tmp_path: Path) -> None:
    theirs, ours = inventory(BY_HAND, tmp_path), parse(BY_HAND).hosts
    assert set(theirs) >= {"aiken.example.net", "margaret.example.net"}
    assert theirs["aiken.example.net"]["ansible_user"] == ours["aiken.example.net"].user
    assert theirs["aiken.example.net"]["dbca_connect"] == ours["aiken.example.net"].connect
    assert theirs["aiken.example.net"]["rack"] == "b # 7"
    assert theirs["margaret.example.net"]["dbca_reload"] == ours["margaret.example.net"].reload
    assert theirs["margaret.example.net"]["dbca_alt_names"] == "db.example.net,IP:::1"


def test_ansible_reads_what_is_written(tmp_path: Path) -> None:
    host = KnownHost(
        "aiken.example.net",
        address="192.0.2.7",
        user="root",
        port=2222,
        sudo=True,
        owner="mysql",
        directory="/etc/my sql/it's #1",
        connect="[::1]:3306",
        reload="sh -c 'a=\"b c\"; echo $a # x'",
        alternative_names=(("DNS", "db.example.net"),),
    )
    text = parse("").with_hosts(host).text
    assert parse(text).hosts["aiken.example.net"] == host
    theirs = inventory(text, tmp_path)["aiken.example.net"]
    assert theirs["ansible_host"] == host.address
    assert theirs["ansible_port"] == host.port
    assert theirs["dbca_ssl_dir"] == host.directory
    assert theirs["dbca_reload"] == host.reload


WORDS = st.text(st.characters(min_codepoint=32, max_codepoint=126, exclude_characters="{}"), min_size=1, max_size=30)


@given(reload=WORDS.filter(lambda text: not text[0].isspace()), directory=WORDS, comment=WORDS, own=WORDS)
def test_any_value_survives(reload: str, directory: str, comment: str, own: str) -> None:
    """And what stands beside it: a comment, and a variable of the administrator's own."""
    import shlex

    start = f"[databases]\nx.example.net mine={shlex.quote(own)} # {comment}\n"
    host = KnownHost("x.example.net", reload=reload, directory=f"/{directory}")
    changed = parse(start).with_hosts(host)
    assert changed.hosts["x.example.net"] == host
    assert changed.text.endswith(f" # {comment}\n")
    assert f"mine={shlex.quote(own)}" in changed.text
    assert changed.with_hosts(KnownHost("x.example.net")).text.split() == start.split()


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("-oProxyCommand=id", "not the name of a host"),
        ("aiken.example.net ansible_host=-oProxyCommand=id", "ansible_host="),
        ("aiken.example.net ansible_user=-l", "ansible_user="),
        ("aiken.example.net ansible_port=99999", "ansible_port="),
        ("aiken.example.net ansible_become=perhaps", "ansible_become="),
        ("aiken.example.net dbca_ssl_dir=etc", "dbca_ssl_dir="),
        ("aiken.example.net dbca_reload='{{ lookup(1) }}'", "dbca_reload="),
        ("aiken.example.net dbca_alt_names=a..b", "dbca_alt_names="),
        ("aiken.example.net dbca_onwer=mysql", "unknown variable"),
        ("aiken.example.net mysql", "not VARIABLE=VALUE"),
        ("aiken.example.net 'open", "no closing quotation"),
        ("db[01:50].example.net", "not one host"),
        ("aiken.example.net:22", "not one host"),
        ("AIKEN.example.net", "must be written aiken.example.net"),
        ("../evil", "has a '/'"),
        ("aiken.example.net \x1b[31m=x", "not printable"),
        ("[databases", "not a section"),
        ("[data bases]", "not a section"),
        ("root@aiken.example.net", "aiken.example.net ansible_user=root"),
        ("[all:vars]\ndbca_profile=none", "not guide or modern"),
    ],
)
def test_a_bad_line_is_refused_with_its_number(line: str, why: str) -> None:
    with pytest.raises(DatabaseCaError) as caught:
        parse(f"# a list\n[databases]\nmargaret.example.net\n{line}\n")
    assert why in " ".join((caught.value.message, *caught.value.hints))
    assert f"{HOSTS}, line {4 + line.count(chr(10))}: " in caught.value.message
    assert caught.value.message.isprintable()


def test_bytes_that_are_no_text_are_refused_with_their_line(tmp_path: Path) -> None:
    path, authority = tmp_path / HOSTS, Authority(tmp_path)
    assert hosts.read(authority).hosts == {}
    path.write_bytes(b"[databases]\n# \xff\n")
    with pytest.raises(DatabaseCaError, match="line 2: not UTF-8"):
        hosts.read(authority)
    path.write_bytes(b"#" * (hosts.LARGEST + 1))
    with pytest.raises(DatabaseCaError, match="more than 4 MiB"):
        hosts.read(authority)
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(DatabaseCaError, match="not a regular file"):
        hosts.read(authority)


def test_what_groups_say_holds_for_new_hosts_and_is_not_written_again() -> None:
    known = parse("[all:vars]\ndbca_profile=modern\n[databases:vars]\ndbca_owner=mysql\nansible_become=true\n")
    new = known.new("aiken.example.net")
    assert (new.profile, new.owner, new.sudo) == ("modern", "mysql", True)
    assert known.new("app", is_client=True) == KnownHost("app", is_client=True, profile="modern")
    changed = known.with_hosts(new, known.new("margaret.example.net")._replace(sudo=False, profile="guide"))
    assert changed.text.splitlines()[-2:] == [
        "aiken.example.net",
        "margaret.example.net ansible_become=false dbca_profile=guide",
    ]
    assert not changed.hosts["margaret.example.net"].sudo
    again = changed.with_hosts(changed.hosts["margaret.example.net"]._replace(sudo=True, profile="modern"))
    assert again.text.splitlines()[-1] == "margaret.example.net"


def test_what_is_named_is_taken_from_the_list_and_changed_by_what_was_asked_for() -> None:
    known = parse(BY_HAND)
    [aiken, other, app] = known.named(["admin@aiken.example.net", "OTHER.example.net", "app"])
    assert aiken == AIKEN._replace(user="admin")
    assert other == KnownHost("other.example.net", flavor="mariadb", connect="127.0.0.1:3307")
    assert not app.is_client  # it was named as a host
    assert aiken.changed(owner=None, directory="/tmp/x", sudo=True) == aiken._replace(directory="/tmp/x", sudo=True)
    assert [host.name for host in known.servers()] == ["aiken.example.net", "margaret.example.net"]
    for words in (["root@aiken.example.net", "aiken.example.net", "admin@aiken.example.net"], ["-oProxyCommand=id"]):
        with pytest.raises(DatabaseCaError):
            known.named(words)
    for wrong in ({"directory": "etc"}, {"directory": "/{{ x }}"}, {"owner": "-x"}):
        with pytest.raises(DatabaseCaError):
            aiken.changed(**wrong)
    with pytest.raises(DatabaseCaError, match="there is no host"):
        parse("[clients]\napp\n").servers()


def test_a_variable_is_changed_where_it_is_said() -> None:
    known = parse("[databases]\nx.example.net # a\r\n[berlin]\nx.example.net dbca_owner=mysql # b\n")
    changed = known.with_hosts(known.hosts["x.example.net"]._replace(owner="maria", user="root"))
    assert changed.text == (
        "[databases]\nx.example.net ansible_user=root # a\r\n[berlin]\nx.example.net dbca_owner=maria # b\n"
    )


def test_a_group_cannot_contain_itself() -> None:
    with pytest.raises(DatabaseCaError, match="contains itself"):
        parse("[a]\nx.example.net\n[a:children]\nb\n[b:children]\na\n")
