"""`server settings --galera`, on a real cluster of two nodes."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from database.conftest import AIKEN, MARGARET, REVOKED, Site
from tools.database_servers import Programs, Server, copy_data, free_port
from tools.support import MakeRequest, done, tool

LIBRARY = Path("/usr/lib/galera/libgalera_smm.so")


class Cluster:
    """Nodes that run as an unprivileged account where the tests run as root: rsync gives up its rights otherwise."""

    def __init__(self, programs: Programs, data: Path, site: Site, root: Path) -> None:
        self.programs, self.data, self.site, self.root = programs, data, site, root
        self.nodes: list[Server] = []
        self.ports: list[int] = []

    def node(self, name: str, *options: str) -> Server:
        """Start a node with the printed settings; the first one makes the cluster, and its data."""
        directory = Path(tempfile.mkdtemp(dir=self.root))
        ssl = Path(shutil.copytree(self.site.ssl(name), directory / "ssl"))
        done("server", "settings", name, "--galera", "--ssl-dir", ssl, "--output", "node.cnf", directory=directory)
        if self.ports:
            (directory / "data").mkdir()
        else:
            copy_data(self.data, directory)
            options = ("--wsrep-new-cluster", *options)
        own, receive = free_port(), free_port()
        given = [f"--wsrep-provider={LIBRARY}", "--wsrep-on=ON", "--binlog-format=ROW", "--innodb-autoinc-lock-mode=2"]
        given += ["--wsrep-cluster-name=c", f"--wsrep-node-address=127.0.0.1:{own}", "--wsrep-sst-method=rsync"]
        given += [f"--wsrep-cluster-address=gcomm://{','.join(f'127.0.0.1:{port}' for port in self.ports)}"]
        given += [f"--wsrep-sst-receive-address=127.0.0.1:{receive}"]
        server = Server(self.programs, directory, directory / "node.cnf", (*given, *options), user="nobody")
        if os.geteuid() == 0:
            subprocess.run(["chown", "-R", "nobody", directory], check=True)
        self.nodes.append(server)
        server.start(attempts=1)
        self.ports.append(own)
        return server

    def size(self) -> str:
        """How many nodes the first one knows."""
        return self.nodes[0].sql("SHOW STATUS LIKE 'wsrep_cluster_size'")[0][1]


@pytest.fixture
def cluster(programs: Programs, data: Path, site: Site, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cluster]:
    scripts = os.environ.get("DBCA_TEST_GALERA")
    assert scripts, "run it by make test-galera"
    for needed in (str(LIBRARY), "rsync", "stunnel"):
        assert shutil.which(needed) or Path(needed).exists(), (
            f"{needed} is missing: apt install galera-4 rsync stunnel4"
        )
    monkeypatch.setenv("PATH", f"{Path(scripts).absolute()}/usr/bin:{os.environ['PATH']}")
    root = Path(tempfile.mkdtemp(prefix="dbca-"))
    root.chmod(0o755)
    cluster = Cluster(programs, data, site, root)
    yield cluster
    for node in reversed(cluster.nodes):
        node.stop()
    shutil.rmtree(root)


@pytest.mark.slow
def test_two_nodes_and_who_else_gets_in(cluster: Cluster, make_request: MakeRequest, keys: Path) -> None:
    site = cluster.site
    aiken = cluster.node(AIKEN)
    aiken.sql("CREATE DATABASE d; CREATE TABLE d.t (number INT PRIMARY KEY); INSERT INTO d.t VALUES (1)")
    margaret = cluster.node(MARGARET)
    assert cluster.size() == "2"
    margaret.sql("INSERT INTO d.t VALUES (2)")
    assert aiken.sql("SELECT * FROM d.t") == [["1"], ["2"]]

    # both the replication and the transfer of the state went over TLS, with the certificates verified
    assert f"ssl://127.0.0.1:{cluster.ports[0]}" in margaret.log
    assert "Using stunnel for SSL encryption" in margaret.log
    assert "ssl-mode='VERIFY_CA'" in margaret.log
    assert "tcp://127.0.0.1" not in margaret.log

    # a node without TLS, and one of another authority, do not get in
    with pytest.raises(AssertionError, match="does not start"):
        cluster.node(MARGARET, "--wsrep-provider-options=socket.ssl=no")
    foreign = site.hosts / "foreign"
    done(
        *("init", "--organization", "Other", "--no-passphrase", "--key", keys / "host.key.pem"), directory=_new(foreign)
    )
    make_request(MARGARET, to=foreign / "database-ca/certreqs")
    done("sign", MARGARET, "--yes", directory=foreign / "database-ca")
    other = Site(foreign / "database-ca", foreign, keys / "phrase")
    (other.ssl(MARGARET) / "private").mkdir(parents=True)
    shutil.copy(keys / "host.key.pem", other.ssl(MARGARET) / f"private/{MARGARET}.key.pem")
    other.deploy(MARGARET)
    cluster.site = other
    with pytest.raises(AssertionError, match="does not start"):
        cluster.node(MARGARET)
    assert cluster.size() == "2"
    assert "certificate verify failed" in aiken.log + cluster.nodes[-1].log

    # what the comment in the settings warns of: a revoked node does
    site.revoke(REVOKED)
    site.new_list()
    site.deploy(AIKEN, MARGARET, REVOKED)
    for node in (aiken, margaret):
        shutil.copy(site.authority / "crl/database-ca.crl", node.directory / "ssl/database-ca.crl")
        node.sql("FLUSH SSL")
    cluster.site = site
    cluster.node(REVOKED)
    assert cluster.size() == "3"


def test_galera_is_for_servers_of_mariadb(tmp_path: Path) -> None:
    assert tool("server", "settings", AIKEN, "--galera", "--flavor", "mysql", directory=tmp_path).code == 2


@pytest.mark.parametrize("folder", ["a;b", "a=b", "a b"])
def test_paths_that_galera_cannot_carry(tmp_path: Path, folder: str) -> None:
    refused = tool("server", "settings", AIKEN, "--galera", "--ssl-dir", tmp_path / folder, directory=tmp_path)
    assert (refused.code, refused.output) == (1, "")
    assert "a Galera option cannot hold" in refused.messages


def _new(directory: Path) -> Path:
    directory.mkdir()
    return directory
