"""`make pictures`: a real session at a real terminal, and its report in a real browser, as the README shows them.

    unshare --map-root-user --mount --uts python tests/tools/pictures.py DIRECTORY

In namespaces of its own, so that the pictures show /media/safe and a host called aiken wherever they are made. Needs
tmux, openssl and chromium.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from pathlib import Path

from rich.console import Console
from rich.terminal_theme import DIMMED_MONOKAI
from rich.text import Text

from ca.test_report import CHROMIUM, QUIET
from tools.support import HOSTS, PASSPHRASE

COLUMNS, LINES = 114, 200
SAFE = Path("/media/safe")
TOOL = Path(sys.executable).parent
STAGE = """
mount -t tmpfs none /media
mkdir /media/safe /media/etc
cp -r /etc/. /media/etc 2>/dev/null || :
rm -rf /media/etc/mysql
mkdir /media/etc/mysql
mount --bind /media/etc /etc
hostname aiken
"""
AIKEN, *OTHERS = HOSTS
SESSION = (
    "dbca-openssl init --organization example.net",
    "cd database-ca",
    f"dbca-openssl request {AIKEN}",
    f"cp /etc/mysql/ssl/{AIKEN}.req.pem certreqs/",
    f"dbca-openssl sign {AIKEN}",
    f"dbca-openssl verify {AIKEN} --host {AIKEN}",
    "dbca-openssl list",
    f"dbca-openssl revoke {OTHERS[0]} --reason keyCompromise",
    "dbca-openssl check",
    "dbca-openssl",
)


def tmux(*arguments: str) -> str:
    return subprocess.run(("tmux", "-L", "pictures", *arguments), check=True, capture_output=True, text=True).stdout


def type_line(text: str) -> str:
    """Type a line, and return the screen once the shell or a question waits for the next."""
    before = cursor()
    tmux("send-keys", "-l", text)
    tmux("send-keys", "Enter")
    while True:
        time.sleep(0.2)
        screen = tmux("capture-pane", "-p").rstrip("\n ")
        (row, column), ready = cursor(), screen.endswith(("$", ":", "[y/N]"))
        if row != before[0] and column and ready:
            return screen


def cursor() -> tuple[int, int]:
    """The row and the column of the cursor; the column is 0 while a program works."""
    row, column = tmux("display-message", "-p", "#{cursor_y} #{cursor_x}").split()
    return int(row), int(column)


def off_screen(*arguments: str | Path) -> None:
    """What happens elsewhere, or has happened before."""
    environment = {"PATH": os.environ["PATH"], "HOME": "/media", "DBCA_PASSPHRASE_FILE": "/media/phrase"}
    subprocess.run((TOOL / "dbca-openssl", *arguments), cwd=SAFE, env=environment, check=True, capture_output=True)


def others() -> None:
    """Two more hosts, one of them with a certificate that ends soon."""
    for name, days in zip(OTHERS, ("300", "20"), strict=True):
        off_screen("request", name, "--ssl-dir", f"/media/{name}")
        off_screen("sign", f"/media/{name}/{name}.req.pem", "--days", days, "--yes")


def session() -> str:
    """The screen, with its escape sequences, after the whole session."""
    shell = ("env", "-i", f"PATH={TOOL}:{os.environ['PATH']}", "HOME=/media", "TERM=tmux-256color", "PS1=$ ", "sh")
    size = ("-x", str(COLUMNS), "-y", str(LINES))
    tmux("-f", "/dev/null", "new-session", "-d", *size, "-c", str(SAFE), *shell)
    try:
        for command in SESSION:
            screen = type_line(command)
            while not screen.endswith("$"):
                screen = type_line("y" if screen.endswith("[y/N]") else PASSPHRASE)
            if command == "cd database-ca":
                others()
        return tmux("capture-pane", "-e", "-p").rstrip("\n ").removesuffix("$").rstrip("\n")
    finally:
        tmux("kill-server")


def picture(screen: str) -> str:
    """The screen as an SVG that loads nothing from anywhere."""
    with open(os.devnull, "w") as nowhere:
        console = Console(record=True, width=COLUMNS, file=nowhere)
        text = Text.from_ansi(screen)
        text.highlight_regex(r"(?m)^\$ .+$", "bold bright_white")
        console.print(text, end="\n\n")
    svg = console.export_svg(title="dbca-openssl", theme=DIMMED_MONOKAI, unique_id="session")
    return re.sub(r"\s*@font-face {.*?}", "", svg, flags=re.DOTALL)


def main(directory: Path) -> None:
    subprocess.run(("sh", "-euc", STAGE), check=True)
    (SAFE.parent / "phrase").write_text(f"{PASSPHRASE}\n")
    (SAFE.parent / "phrase").chmod(0o600)
    (directory / "session.svg").write_text(picture(session()))
    off_screen("report", "-o", "/media/report.html", "--ca", SAFE / "database-ca")
    target = f"--screenshot={directory / 'report.png'}"
    assert CHROMIUM
    subprocess.run(
        (CHROMIUM, *QUIET, "--window-size=1000,1010", target, "file:///media/report.html"),
        env=os.environ | {"HOME": "/media"},
        check=True,
        capture_output=True,
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]).absolute())
