"""The whole path, init to verify, where things are not as usual: paths, umask, locale, user, a stick without modes."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tools.support import Finished, run, snapshot

HOST = "aiken.example.net"


def _whole_path(
    root: Path, keys: Path, *, before: tuple[str | Path, ...] = (), environment: dict[str, str] | None = None
) -> Finished:
    """init, request, sign, crl, verify and list in `root`; what they printed and said, together."""
    ca, ssl = root / "database-ca", root / "ssl"
    given = {"DBCA_PASSPHRASE_FILE": str(keys / "phrase"), "PYTHONDONTWRITEBYTECODE": "1"} | (environment or {})
    output = messages = ""
    for arguments in (
        ("init", "-o", "example.net", "--key", keys / "ca.key.pem", "--ca", ca),
        ("request", HOST, "--bits", "2048", "--ssl-dir", ssl),
        ("sign", ssl / f"{HOST}.req.pem", "--yes", "--ca", ca),
        ("crl", "--ca", ca),
        ("verify", HOST, "--host", HOST, "--ca", ca),
        ("list", "--ca", ca),
    ):
        command = (*before, sys.executable, "-m", "dbca_openssl", *arguments)
        finished = run(*command, directory=Path("/"), environment=given)
        assert finished.code == 0, (arguments, finished.messages)
        output, messages = output + finished.output, messages + finished.messages
    return Finished(0, output, messages)


def _modes(root: Path) -> dict[str, int]:
    """The modes that are not those of public files and directories, 644 and 755."""
    found = {name: int(mode, 8) for name, (mode, _) in snapshot(root).items()}
    return {name: mode for name, mode in found.items() if mode != (0o755 if (root / name).is_dir() else 0o644)}


AS_IT_SHOULD_BE = {
    "database-ca/.lock": 0o600,
    "database-ca/private": 0o700,
    "database-ca/private/.rnd": 0o600,
    "database-ca/private/database-ca.key.pem": 0o600,
    "ssl/.lock": 0o600,
    "ssl/private": 0o700,
    f"ssl/private/{HOST}.key.pem": 0o600,
}
"""What is not public, as the guide's commands leave it under the umask 022."""


@pytest.mark.parametrize(
    "name",
    [
        'two words, it\'s "quoted"',
        "-Zürich-日本 $HOME;`id`\\x #1 {a,b}[c]*?",
        "back\tand\x1bforth, line\nend",
        os.fsdecode(b"not utf-8 \xff"),
    ],
)
def test_odd_paths(name: str, tmp_path: Path, keys: Path) -> None:
    root = tmp_path / name
    root.mkdir()
    _whole_path(root, keys)
    assert _modes(root) == AS_IT_SHOULD_BE


@pytest.mark.parametrize("umask", ["000", "022", "077", "777"])
def test_any_umask_gives_the_same_modes(umask: str, tmp_path: Path, keys: Path) -> None:
    _whole_path(tmp_path, keys, before=("sh", "-c", f'umask {umask}; exec "$@"', "sh"))
    assert _modes(tmp_path) == AS_IT_SHOULD_BE


@pytest.mark.parametrize("locale", ["C", "de_DE.ISO-8859-1"])
def test_any_locale(locale: str, tmp_path: Path, keys: Path) -> None:
    root = tmp_path / "Zürich"
    root.mkdir()
    _whole_path(root, keys, environment={"LC_ALL": locale})


def test_an_output_that_cannot_show_the_path_is_no_failure(tmp_path: Path, keys: Path) -> None:
    root = tmp_path / "Zürich"
    root.mkdir()
    _whole_path(root, keys, environment={"PYTHONIOENCODING": "ascii"})


@pytest.mark.parametrize("encoding", ["utf-8:strict", "ascii:strict"])
def test_a_path_that_is_no_text_is_printed(encoding: str, tmp_path: Path, keys: Path) -> None:
    root = tmp_path / os.fsdecode(b"\xff")
    root.mkdir()
    printed = _whole_path(root, keys, environment={"PYTHONIOENCODING": encoding}).output
    assert f"\n{tmp_path}/\\udcff/ssl/{HOST}.req.pem  a request for {HOST}\n" in printed


def test_a_result_that_cannot_be_written_is_no_change_undone(tmp_path: Path, ca: Path, keys: Path) -> None:
    command = f"exec {sys.executable} -m dbca_openssl crl --ca {ca} --passphrase-file {keys}/phrase > /dev/full"
    finished = run("sh", "-c", command, directory=tmp_path)
    assert finished.code == 1
    assert finished.messages == (
        "dbca-openssl: the result cannot be written to standard output: the disk is full\n"
        "hint: the work itself is done\n"
    )
    assert (ca / "database-ca.crlnum").read_text() == "02\n"


def test_another_user(keys: Path) -> None:
    """Not root: by setpriv where root runs the tests, else as we are."""
    with tempfile.TemporaryDirectory() as directory:  # pytest's own is closed to others
        root = Path(directory, "home")
        root.mkdir()
        own_keys = Path(shutil.copytree(keys, Path(directory, "keys")))
        before: tuple[str | Path, ...] = ()
        if os.geteuid() == 0:
            before = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--inh-caps=-all")
            if _hidden_from_others():  # Python itself is in root's home: may read everything, but not write it
                before = (*before[:-1], "--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search")
            for path in (Path(directory), root, own_keys, *own_keys.rglob("*")):
                shutil.chown(path, 65534, 65534)
        _whole_path(root, own_keys, before=before)
        assert _modes(root) == AS_IT_SHOULD_BE


def _hidden_from_others() -> bool:
    command = (
        "setpriv",
        "--reuid=65534",
        "--regid=65534",
        "--clear-groups",
        sys.executable,
        "-c",
        "import dbca_openssl",
    )
    return subprocess.run(command, capture_output=True).returncode != 0


def test_an_authority_behind_a_link(tmp_path: Path, keys: Path) -> None:
    _whole_path(tmp_path, keys)
    (tmp_path / "link").symlink_to("database-ca")
    given = {"DBCA_PASSPHRASE_FILE": str(keys / "phrase")}
    for arguments in (("crl",), ("list",), ("verify", HOST)):
        command = (sys.executable, "-m", "dbca_openssl", *arguments, "--ca", tmp_path / "link")
        finished = run(*command, directory=Path("/"), environment=given)
        assert finished.code == 0, finished.messages
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "database-ca/database-ca.crlnum").read_text() == "03\n"


def test_reading_works_where_nothing_can_be_written(tmp_path: Path, pristine: Path) -> None:
    """As on a stick that is mounted read-only: open for writing, or make anything, fails."""
    calls = "mkdir,rename,unlink,unlinkat,flock,chmod,fchmodat"
    strace = ("strace", "-f", "-o", "/dev/null", "-e", f"trace={calls}", "-e", f"inject={calls}:error=EROFS")
    for arguments in (("list",), ("show", "00"), ("verify", pristine / "database-ca.cert.pem"), ()):
        before = snapshot(pristine)
        command = (*strace, sys.executable, "-m", "dbca_openssl", *arguments, "--ca", pristine)
        finished = run(*command, directory=Path("/"), environment={"PYTHONDONTWRITEBYTECODE": "1"})
        assert finished.code == 0, finished.messages
        assert snapshot(pristine) == before


def test_a_file_system_without_modes_and_links(tmp_path: Path, keys: Path) -> None:
    """As a FAT stick answers: chmod is not permitted, nor are links, and every directory has the mode of the mount.

    It is said where a private directory is made.
    """
    (tmp_path / "sitecustomize.py").write_text(
        "import os\nmake = os.mkdir\nos.mkdir = lambda path, *mode: make(path)\n"
    )
    calls = "chmod,fchmod,fchmodat,link,linkat,symlink,symlinkat"
    strace = ("strace", "-f", "-o", "/dev/null", "-e", f"trace={calls}", "-e", f"inject={calls}:error=EPERM")
    said = _whole_path(tmp_path, keys, before=strace, environment={"PYTHONPATH": str(tmp_path)})
    assert said.messages.count("has no modes") == 2


def _can_mount_exfat() -> bool:
    needed = ("mkfs.exfat", "mount.exfat-fuse", "losetup")
    return os.geteuid() == 0 and os.access("/dev/fuse", os.W_OK) and all(map(shutil.which, needed))


@pytest.fixture
def stick(tmp_path: Path) -> Iterator[Path]:
    """A real exFAT file system."""
    at, image = tmp_path / "stick", tmp_path / "image"
    at.mkdir()
    image.write_bytes(b"")
    os.truncate(image, 16 << 20)
    subprocess.run(["mkfs.exfat", str(image)], check=True, capture_output=True)
    device = subprocess.run(["losetup", "-f", "--show", str(image)], check=True, capture_output=True, text=True).stdout
    try:
        subprocess.run(
            ["mount.exfat-fuse", "-o", "umask=022", device.strip(), str(at)], check=True, capture_output=True
        )
        try:
            yield at
        finally:
            subprocess.run(["umount", str(at)], check=True)
    finally:
        subprocess.run(["losetup", "-d", device.strip()], check=True)


if _can_mount_exfat():

    def test_a_real_stick(stick: Path, keys: Path) -> None:
        """It works on exFAT, and says at init and at request that modes are not kept, and never again."""
        said = _whole_path(stick, keys)
        assert said.messages.count("has no modes") == 2
        assert f"the file system of {stick}/database-ca has no modes" in said.messages
        assert f"the file system of {stick}/ssl has no modes" in said.messages
