"""`report`: its figures, its text, and its looks in a real browser."""

from __future__ import annotations

import base64
import errno
import hashlib
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

from dbca_openssl.ca import listing
from dbca_openssl.ca import report as reporting
from dbca_openssl.ca.layout import Authority
from dbca_openssl.errors import DatabaseCaError
from tools.support import HOSTS, done, frozen_tool, plain_request, refusal, snapshot, tool
from tools.workshop import Workshop

AUTHORITY = "example.net Database Clients and Servers Certification Authority"
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
            self.rows[-1][-1] += f"\n{data}" if self._within[-1] == "small" else data
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
    today = f"{datetime.now(UTC):%Y-%m-%d}"
    by_serial = {row["serial"]: row for row in rows}
    until = {serial: row["not_after"][:10] for serial, row in by_serial.items()}
    left = {serial: f"\n{row['days_left']} days left" for serial, row in by_serial.items()}
    what = ["server or client", "RSA 2048"]
    assert page.rows[1:4] == [
        [f"{HOSTS[2]}\nno SAN", *what, "03", today, until["03"] + left["03"], "valid"],
        [f"{HOSTS[1]}\nno SAN", *what, "04", today, until["04"] + left["04"], "valid"],
        [f"{HOSTS[0]}\nno SAN", *what, "01", today, until["01"], f"revoked\n{today}, cessationOfOperation"],
    ]
    assert [row for row in page.rows if len(row) == 2] == [
        ["Reason", "Certificates"], ["cessationOfOperation", "1"], ["superseded", "1"],
    ]  # fmt: skip
    former = page.rows.index(["Name", "Serial", "Issued", "Valid until", "Status", "Revoked", "Reason"])
    assert page.rows[former + 1] == [HOSTS[1], "02", today, until["02"], "revoked", today, "superseded"]
    assert page.rows[former + 2][0] == "When"
    glance = frozen_tool(clock, "--json", directory=fleet).document
    assert page.figures["days left of the CA certificate"] == str(glance["days_left"])
    assert page.figures["days left of the CRL"] == str(glance["crl_days_left"])
    assert page.figures["0 found by check"] == "ok"


def test_what_was_done_and_what_is_next(
    fleet: Path, keys: Path, workshop: Workshop, environment: dict[str, str], tmp_path: Path
) -> None:
    """With the facts of `database-ca.hosts`, and of the certificates themselves."""
    aiken, margaret, gannibal = HOSTS
    done("renew", margaret, "--yes", "--no-crl", directory=fleet, environment=environment)
    done("revoke", aiken, "--yes", "--no-crl", directory=fleet, environment=environment)
    (fleet / f"certreqs/{aiken}.req.pem").write_bytes(workshop.req(ext="subjectAltName = DNS:db1,IP:192.0.2.7"))
    done(
        *("sign", aiken, "--yes", "--allow-alt-name", "db1", "--allow-alt-name", "192.0.2.7"),
        directory=fleet,
        environment=environment,
    )
    done("backup", tmp_path / "backup.tar", directory=fleet)
    plain_request(fleet, "new.example.net", keys / "host.key.pem")
    (fleet / "database-ca.hosts").write_text(
        f"[databases]\n{aiken} dbca_profile=modern\nabram.example.net\n[clients]\n{gannibal}\n"
    )
    text = report(fleet, tmp_path / "report.html")
    page = Page(text)
    by_name = {row[0].partition("\n")[0]: row for row in page.rows[1:5]}
    assert by_name[aiken][:4] == [f"{aiken}\nSAN db1, 192.0.2.7", "server\nmodern", "EC P-256", "05"]
    assert [row[1] for name, row in by_name.items() if name != aiken] == [
        "server\nguide", "client\nguide", "server or client",
    ]  # fmt: skip
    assert by_name["abram.example.net"][6] == "no certificate yet"
    begin = page.rows.index(["When", "What", "Name", "Serial", "Details"])
    events = [row[1:] for row in page.rows[begin + 1 :]]
    assert sorted(events) == sorted(
        [
            *(["signed", name, f"0{number}", ""] for number, name in enumerate(HOSTS, 1)),
            ["renewed", margaret, "04", ""],
            ["revoked", margaret, "02", "superseded"],
            ["revoked", aiken, "01", "no reason given"],
            ["signed with another key", aiken, "05", ""],
            ["CRL made", "", "", "number 0"],
            ["backup made", "", "", ""],
            ["CA certificate begins", AUTHORITY, "00", ""],
        ]
    )
    assert [row[0] for row in page.rows[begin + 1 :]] == sorted(
        (row[0] for row in page.rows[begin + 1 :]), reverse=True
    )
    following = tool("--json", directory=fleet).document["next"]
    assert "dbca-openssl sign new.example.net" in following
    assert re.findall("<li><code>(.*)</code>", text) == [
        html.escape(line).replace("&#x27;", "&#39;") for line in following
    ]


def test_of_too_many_it_shows_those_that_expire_first_and_the_newest_others(
    fleet: Path, environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    aiken, margaret, gannibal = HOSTS
    done("renew", margaret, "--yes", "--no-crl", directory=fleet, environment=environment)
    done("revoke", aiken, "--yes", "--no-crl", directory=fleet, environment=environment)
    authority = Authority(fleet)

    def shown() -> tuple[list[str], str]:
        text = reporting.page(authority, listing.status(authority), [])
        table = text.partition("<h2>Hosts and clients</h2>")[2].partition("<h2>")[0]
        left = re.search(r"(\d+) others, which expire later", table)
        return re.findall(r'<td class="name">([^<]+)', table), left[1] if left else ""

    assert shown() == ([gannibal, margaret, aiken], "")
    monkeypatch.setattr(reporting, "MOST", 1)
    assert shown() == ([gannibal], "2"), "the newest that is past is the former one, which stands elsewhere"


def test_it_stands_for_itself(fleet: Path, tmp_path: Path) -> None:
    """It loads nothing, runs one script, and has everything also where that does not run."""
    text = report(fleet, tmp_path / "report.html")
    page = Page(text)
    assert not re.search(r"https?:|//[a-z]|url\(|@import", text)
    assert not {"link", "img", "iframe", "object"} & set(page.tags)
    assert not [name for name, _ in page.attributes if name.startswith("on") or name in ("src", "href")]
    (script,) = re.findall("<script>(.*?)</script>", text, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    (policy,) = re.findall('Content-Security-Policy" content="([^"]*)"', text)
    assert {"default-src 'none'", f"script-src 'sha256-{digest}'"} <= set(policy.split("; "))
    assert '<p id="filter" hidden>' in text


def test_what_is_hostile_is_text(tmp_path: Path, keys: Path) -> None:
    ca = tmp_path / "hostile"
    done(
        *("init", "-o", HOSTILE, "--common-name", HOSTILE, "--key", keys / "plain-ca.key.pem", "--no-passphrase"),
        *("--ca", ca),
        directory=tmp_path,
    )
    with open(ca / "database-ca.index", "a") as index:
        index.write(
            f"R\t300101000000Z\t260101000000Z,<b>why</b>\t7F\tunknown\t/CN={HOSTILE}\u202e\x1b{{{{ 7 * 7 }}}}\n"
        )
    text = report(ca, tmp_path / "report.html")
    assert text.count("<script") == 1
    assert "&lt;script&gt;alert(1)&lt;/script&gt; &amp; &#34;Söhne&#34;" in text
    assert r"Söhne&#34;\u202e\x1b{{ 7 * 7 }}" in text
    assert "&lt;b&gt;why&lt;/b&gt;" in text


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


def test_it_replaces_its_own_page_and_nothing_else(fleet: Path, keys: Path, tmp_path: Path) -> None:
    page, other = tmp_path / "report.html", tmp_path / "other"
    first = report(fleet, page, "2027-01-01 00:00:00")
    page.chmod(0o640)
    second = report(fleet, page, "2027-02-01 00:00:00")
    assert "on 2027-01-01" in first and "on 2027-02-01" in second
    assert page.stat().st_mode & 0o777 == 0o640
    assert not list(tmp_path.glob(".commit*"))
    done(
        *("init", "-o", "example.org", "--key", keys / "host.key.pem", "--no-passphrase", "--ca", other),
        directory=tmp_path,
    )
    (tmp_path / "of-another-ca.html").write_text(report(other, tmp_path / "other.html"))
    (tmp_path / "mine.html").write_text("mine")
    (tmp_path / "edited.html").write_text(f" {second}")
    (tmp_path / "link.html").symlink_to(page)
    os.mkfifo(tmp_path / "fifo.html")
    before = snapshot(tmp_path)
    for name in ("of-another-ca", "mine", "edited", "link", "fifo"):
        target = tmp_path / f"{name}.html"
        assert refusal(tool("report", "-o", target, directory=fleet)) == (
            f"{target} exists already, and nothing is overwritten"
        )
    assert refusal(tool("report", "-o", "database-ca.cnf", directory=fleet)).startswith(
        "database-ca.cnf exists already"
    )
    (tmp_path / ".commit.report.html").write_text("mine")
    before = snapshot(tmp_path)
    refused = tool("report", "-o", page, directory=fleet)
    assert refusal(refused) == f"{tmp_path}/.commit.report.html exists already, and nothing is overwritten"
    assert snapshot(tmp_path) == before


def test_a_full_disk_leaves_no_part_of_a_page(fleet: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    old, new = tmp_path / "old.html", tmp_path / "new.html"
    text = report(fleet, old)
    before = snapshot(tmp_path)

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    for path in (old, new):
        with pytest.raises(DatabaseCaError, match=f"^cannot write {re.escape(str(path))}: the disk is full"):
            reporting.write(Authority(fleet), path, text)
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


MEASURE = """{
const wide = [...document.querySelectorAll("body *")].filter(
  one => !one.closest("style") && one.getBoundingClientRect().right > document.documentElement.clientWidth + 1);
const cut = [...document.querySelectorAll(".name, .date, .axis i, td, li, h1")].filter(
  one => one.offsetParent && one.scrollWidth > one.clientWidth + 1 && getComputedStyle(one).display != "inline");
const labels = [...document.querySelectorAll(".line .name, .line .date, .axis i")].filter(one => one.offsetParent);
const boxes = labels.map(one => { const r = document.createRange(); r.selectNodeContents(one);
  return r.getBoundingClientRect(); }).filter(box => box.width);
const overlap = boxes.filter((a, i) => boxes.some((b, j) => i < j && a.left < b.right - 1 && b.left < a.right - 1
  && a.top < b.bottom - 4 && b.top < a.bottom - 4));
const table = document.querySelector("table.sortable"), heads = table.tHead.rows[0].cells;
const order = () => [...table.tBodies[0].rows].filter(row => !row.hidden).map(row => row.cells[3].textContent).join();
const sorted = [0, 3, 3].map(column => { heads[column].firstChild.click(); return order(); });
const field = document.querySelector("#filter input");
field.value = "RSA HOST02";
field.dispatchEvent(new Event("input"));
const [ground] = getComputedStyle(document.body).backgroundColor.match(/\\d+/);
parent.document.body.prepend(`(${name}: ${[...sorted, order(), ground].join(" ")})`);
parent.document.body.prepend(`[${name}: ${boxes.length} ${wide.length} ${cut.length} ${overlap.length}]`);
}"""
ATTACK = "parent.document.body.prepend('at' + 'tacked')"


def test_a_browser_shows_all_of_it(
    chromium: str, ca: Path, keys: Path, environment: dict[str, str], tmp_path: Path
) -> None:
    """Nothing is wider than a telephone or cut off, and no label of the time line lies on another.

    Its script sorts and filters, another one does not run, and where the browser is dark, it is dark.
    """
    frames = []
    names = [f"host{number:02}.a-department-with-a-long-name.example.net" for number in range(60)]
    for begin, count in ((0, 0), (0, 3), (3, 60)):
        for name in names[begin:count]:
            plain_request(ca, name, keys / "host.key.pem")
        done("sign", "--all", "--yes", directory=ca, environment=environment)
        text = report(ca, tmp_path / f"{count}.html").replace("</body>", f"<script>{MEASURE}</script></body>")
        allowed = base64.b64encode(hashlib.sha256(MEASURE.encode()).digest()).decode()
        text = text.replace("script-src ", f"script-src 'sha256-{allowed}' ")
        text = html.escape(text.replace("<header>", f"<script>{ATTACK}</script><header>"))
        frames += [
            f'<iframe name="{count} at {width}" width={width} height=900 srcdoc="{text}"></iframe>'
            for width in (400, 1200)
        ]
    page = tmp_path / "frames.html"
    page.write_text(f'<!DOCTYPE html><meta charset="utf-8"><body>{"".join(frames)}</body>', encoding="utf-8")
    dumped = browse(chromium, tmp_path / "home", page, "--blink-settings=preferredColorScheme=0", "--dump-dom")
    measured = {
        (int(count), int(width)): tuple(map(int, figures.split()))
        for count, width, figures in re.findall(r"\[(\d+) at (\d+): ([\d ]+)\]", dumped)
    }
    assert set(measured) == {(count, width) for count in (0, 3, 60) for width in (400, 1200)}
    for (count, _), (labels, *wrong) in measured.items():
        assert labels >= 2 * (count + 2) + 1
        assert wrong == [0, 0, 0]
    up = [f"{number:02X}" for number in range(1, 61)]
    found = re.search(r"\(60 at 400: ([^)]*)\)", dumped)
    assert found, "the script of the page does not run"
    dark = "21"
    assert found[1].split() == [",".join(up), ",".join(up), ",".join(reversed(up)), "03", dark]
    assert "attacked" not in dumped
