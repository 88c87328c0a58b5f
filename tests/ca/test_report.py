"""`report`: its figures, its text, and its looks in a real browser."""

from __future__ import annotations

import html
import os
import re
import shutil
import subprocess
from collections import Counter
from datetime import UTC, datetime, timedelta
from functools import partial
from html.parser import HTMLParser
from pathlib import Path

import pytest

from tools.support import HOSTS, done, frozen_tool, plain_request, refusal, snapshot, tool

HOSTILE = '<script>alert(1)</script> & "Söhne"'

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
QUIET = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--hide-scrollbars"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
)


class Page(HTMLParser):
    """The elements, and the text of each table row and figure."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: Counter[str] = Counter()
        self.attributes: list[tuple[str, str | None]] = []
        self.rows: list[list[str]] = []
        self.figures: dict[str, str] = {}
        self._within: list[str] = []
        self._figure = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags[tag] += 1
        self.attributes += attrs
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")
        self._within.append(tag)

    def handle_endtag(self, tag: str) -> None:
        while self._within and self._within.pop() != tag:
            pass

    def handle_data(self, data: str) -> None:
        if {"td", "th"} & set(self._within):
            self.rows[-1][-1] += data
        elif self._within[-1:] == ["b"]:
            self._figure = data.strip()
        elif self._within[-1:] == ["div"] and data.strip() and self._figure:
            self.figures[data.strip()], self._figure = self._figure, ""


def report(ca: Path, to: Path, clock: str | None = None) -> str:
    run = partial(frozen_tool, clock) if clock else done
    made = run("report", "-o", to, "--ca", ca, directory=ca)
    assert made.code == 0, made.messages
    return to.read_text(encoding="utf-8")


def test_the_figures_are_those_of_list(fleet: Path, environment: dict[str, str], tmp_path: Path) -> None:
    done("revoke", HOSTS[0], "--reason", "cessationOfOperation", "--yes", directory=fleet, environment=environment)
    done("renew", HOSTS[1], "--yes", directory=fleet, environment=environment)
    clock = f"{datetime.now(UTC) + timedelta(days=3):%Y-%m-%d %H:%M:%S}"  # days left change with the seconds
    page = Page(report(fleet, tmp_path / "report.html", clock))
    rows = frozen_tool(clock, "list", "--json", directory=fleet).document["certificates"]
    counts = Counter(row["status"] for row in rows)
    assert {word: page.figures[word] for word in ("valid", "expired", "revoked")} == {
        word: str(counts[word]) for word in ("valid", "expired", "revoked")
    }
    assert sorted(row for row in page.rows if len(row) == 5 and row[0] != "Name") == sorted(
        [
            row["name"],
            row["serial"],
            row["not_after"][:10],
            str(row["days_left"]),
            row["status"] + (f", {row['reason']}" if row["reason"] else ""),
        ]
        for row in rows
    )
    assert [row for row in page.rows if len(row) == 2] == [
        ["Reason", "Certificates"], ["cessationOfOperation", "1"], ["superseded", "1"],
    ]  # fmt: skip
    glance = frozen_tool(clock, "--json", directory=fleet).document
    assert page.figures["days left of the CA certificate"] == str(glance["days_left"])
    assert page.figures["days left of the CRL"] == str(glance["crl_days_left"])
    assert page.figures["0 found by check"] == "ok"


def test_it_stands_for_itself(fleet: Path, tmp_path: Path) -> None:
    text = report(fleet, tmp_path / "report.html")
    page = Page(text)
    assert not re.search(r"https?:|//[a-z]|url\(|@import", text)
    assert not {"script", "link", "img", "iframe", "object"} & set(page.tags)
    assert not [name for name, _ in page.attributes if name.startswith("on") or name in ("src", "href")]


def test_a_hostile_organisation_is_text(tmp_path: Path, keys: Path) -> None:
    ca = tmp_path / "hostile"
    done(
        *("init", "-o", HOSTILE, "--common-name", HOSTILE, "--key", keys / "plain-ca.key.pem", "--no-passphrase"),
        *("--ca", ca),
        directory=tmp_path,
    )
    text = report(ca, tmp_path / "report.html")
    assert "<script" not in text
    assert "&lt;script&gt;alert(1)&lt;/script&gt; &amp; &#34;Söhne&#34;" in text


def test_what_check_finds_is_on_it(fleet: Path, tmp_path: Path) -> None:
    """Also where the list is broken, or all is over."""
    (fleet / "database-ca.serial").write_text("4\n")
    (fleet / "crl/database-ca.crl").write_text("")
    text = report(fleet, tmp_path / "report.html")
    checked = tool("check", "--json", directory=fleet).document
    assert len(checked["findings"]) == 2
    for one in checked["findings"]:
        assert one["text"].replace("'", "&#39;") in text
        assert one["fix"] in text
    page = Page(text)
    assert page.figures["2 found by check"] == "critical"
    assert page.figures["days left of the CRL"] == "none"
    clock = f"{datetime.now(UTC) + timedelta(days=3000):%Y-%m-%d %H:%M:%S}"
    over = frozen_tool(clock, "report", "-o", tmp_path / "over.html", "--ca", fleet, directory=tmp_path)
    assert over.code == 0, over.messages
    assert Page((tmp_path / "over.html").read_text()).figures["expired"] == "3"


def test_nothing_is_overwritten(fleet: Path, tmp_path: Path) -> None:
    target = tmp_path / "report.html"
    target.write_text("mine")
    before = snapshot(tmp_path)
    assert refusal(tool("report", "-o", target, directory=fleet)) == (
        f"{target} exists already, and nothing is overwritten"
    )
    assert snapshot(tmp_path) == before


@pytest.fixture
def chromium() -> str:
    if CHROMIUM is None:
        if os.environ.get("CI") == "true":
            pytest.fail("chromium is missing, and CI must have it (Debian: apt install chromium)")
        pytest.skip("install chromium to see the page in a browser (Debian: apt install chromium)")
    return CHROMIUM


def browse(chromium: str, home: Path, page: Path, *options: str) -> str:
    finished = subprocess.run(
        [chromium, *QUIET, f"--user-data-dir={home}", *options, page.as_uri()],
        cwd=home.parent,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert finished.returncode == 0, finished.stderr
    return finished.stdout


MEASURE = """<script>
const wide = [...document.querySelectorAll("body *")].filter(
  one => !one.closest("style") && one.getBoundingClientRect().right > document.documentElement.clientWidth + 1);
const cut = [...document.querySelectorAll(".name, .date, .axis i, td, li, h1")].filter(
  one => one.offsetParent && one.scrollWidth > one.clientWidth + 1 && getComputedStyle(one).display != "inline");
const labels = [...document.querySelectorAll(".line .name, .line .date, .axis i")].filter(one => one.offsetParent);
const boxes = labels.map(one => { const r = document.createRange(); r.selectNodeContents(one);
  return r.getBoundingClientRect(); }).filter(box => box.width);
const overlap = boxes.filter((a, i) => boxes.some((b, j) => i < j && a.left < b.right - 1 && b.left < a.right - 1
  && a.top < b.bottom - 4 && b.top < a.bottom - 4));
parent.document.body.prepend(`[${name}: ${boxes.length} ${wide.length} ${cut.length} ${overlap.length}]`);
</script>"""


def test_a_browser_shows_all_of_it(
    chromium: str, ca: Path, keys: Path, environment: dict[str, str], tmp_path: Path
) -> None:
    """Nothing is wider than a telephone or cut off, and no label of the time line lies on another."""
    frames = []
    names = [f"host{number:02}.a-department-with-a-long-name.example.net" for number in range(60)]
    for begin, count in ((0, 0), (0, 3), (3, 60)):
        for name in names[begin:count]:
            plain_request(ca, name, keys / "host.key.pem")
        done("sign", "--all", "--yes", directory=ca, environment=environment)
        text = html.escape(report(ca, tmp_path / f"{count}.html").replace("</body>", f"{MEASURE}</body>"))
        frames += [
            f'<iframe name="{count} at {width}" width={width} height=900 srcdoc="{text}"></iframe>'
            for width in (400, 1200)
        ]
    page = tmp_path / "frames.html"
    page.write_text(f'<!DOCTYPE html><meta charset="utf-8"><body>{"".join(frames)}</body>', encoding="utf-8")
    dumped = browse(chromium, tmp_path / "home", page, "--dump-dom")
    measured = {
        (int(count), int(width)): tuple(map(int, figures.split()))
        for count, width, figures in re.findall(r"\[(\d+) at (\d+): ([\d ]+)\]", dumped)
    }
    assert set(measured) == {(count, width) for count in (0, 3, 60) for width in (400, 1200)}
    for (count, _), (labels, *wrong) in measured.items():
        assert labels >= 2 * (count + 2) + 1
        assert wrong == [0, 0, 0]


def test_it_is_drawn_in_light_and_dark_and_printed(chromium: str, fleet: Path, tmp_path: Path) -> None:
    report(fleet, tmp_path / "report.html")
    pictures = []
    for scheme in ("0", "1"):
        picture = tmp_path / f"{scheme}.png"
        browse(
            *(chromium, tmp_path / "home", tmp_path / "report.html", f"--blink-settings=preferredColorScheme={scheme}"),
            *("--window-size=800,900", f"--screenshot={picture}"),
        )
        pictures.append(picture.read_bytes())
    assert all(data.startswith(b"\x89PNG") and len(data) > 10_000 for data in pictures)
    assert pictures[0] != pictures[1]
    printed = tmp_path / "report.pdf"
    browse(chromium, tmp_path / "home", tmp_path / "report.html", f"--print-to-pdf={printed}")
    assert printed.read_bytes().startswith(b"%PDF")
