"""`make deb`: a Debian package of the one file, with completion, the manual page, and timers that are not started.

The units are those that the pages show, so that there is one text of them.
"""

from __future__ import annotations

import gzip
import os
import re
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

from dbca_openssl import __version__
from manual.page import PACKAGE, PAGE
from packages import pyz

CONTROL = """\
Package: dbca-openssl
Version: {version}
Architecture: all
Section: database
Priority: optional
Maintainer: {maintainer}
Depends: python3 (>= 3.11), openssl
Recommends: openssh-client
Suggests: mariadb-client | default-mysql-client, mailx
Description: private certificate authority for MariaDB and MySQL
 It runs the real "openssl req" and "openssl ca", and leaves what plain openssl
 leaves. It needs no network. Two timers, which are not started, check the
 authority every day and renew every week what is due on the hosts.
"""

PAGES = ("recipes.md", "rotate.md")
"""They show the units."""

SHARE = {  # where Debian's own shells look
    "bash-completion/completions/dbca-openssl": "bash-completion/completions/dbca-openssl",
    "fish/vendor_completions.d/dbca-openssl.fish": "fish/vendor_completions.d/dbca-openssl.fish",
    "zsh/site-functions/_dbca-openssl": "zsh/vendor-completions/_dbca-openssl",
}


def write(target: Path) -> None:
    """Write the package; the same sources make the same bytes, with the same dpkg-deb."""
    with tempfile.TemporaryDirectory() as place:
        root, program = Path(place, "root"), Path(place, "program")
        pyz.write(program, "/usr/bin/python3 -I")
        for name, data in _files(program):
            path = root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
        for path in (root, *root.rglob("*")):
            path.chmod(0o755 if path.is_dir() or path.parent.name == "bin" else 0o644)
            os.utime(path, (pyz.epoch(), pyz.epoch()))
        subprocess.run(
            ["dpkg-deb", "--root-owner-group", "-Zgzip", "--build", root, target],  # noqa: S607  Debian's, wherever it is
            env=os.environ | {"SOURCE_DATE_EPOCH": str(pyz.epoch())},
            stdout=subprocess.DEVNULL,
            check=True,
        )


def _files(program: Path) -> Iterator[tuple[str, bytes]]:
    maintainer = f"{os.environ.get('DEBFULLNAME', 'root')} <{os.environ.get('DEBEMAIL', 'root@localhost')}>"
    yield "DEBIAN/control", CONTROL.format(version=__version__, maintainer=maintainer).encode()
    yield "usr/bin/dbca-openssl", program.read_bytes()
    with zipfile.ZipFile(program) as archive:
        texts = [f"{name}:\n\n{archive.read(name).decode()}" for name in archive.namelist() if "LICENSE" in name]
    yield "usr/share/doc/dbca-openssl/copyright", "\n\n".join(texts).encode()
    yield "usr/share/man/man1/dbca-openssl.1.gz", gzip.compress(PAGE.read_bytes(), mtime=0)
    for source, place in SHARE.items():
        yield f"usr/share/{place}", (PACKAGE / "share" / source).read_bytes()
    for page in PAGES:
        text = (pyz.ROOT / "docs" / page).read_text().replace("/usr/local/bin/", "/usr/bin/")
        for name, unit in re.findall(r"^# /etc/systemd/system/(\S+)\n(.*?\n)(?=\n?# |```)", text, re.M | re.S):
            yield f"usr/lib/systemd/system/{name}", unit.encode()


if __name__ == "__main__":
    write(Path(sys.argv[1]))
