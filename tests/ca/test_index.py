"""The index is read piece by piece, with the same rows, times and complaints as line by line."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime

import pytest

from dbca_openssl import dates
from dbca_openssl.ca import index
from dbca_openssl.errors import DatabaseCaError

LINES = [
    *(f"V\t2811{day:02}120000Z\t\t{day:02X}\tunknown\t/CN=host{day}.example.net" for day in range(1, 30)),
    "R\t20510101000000Z\t261124120000Z,superseded\t30\tunknown\t/O=example.net/CN=aiken",
    "E\t200101000000Z\t\t31\tunknown\t/CN=株式会社",
]


@pytest.mark.parametrize("piece", [1, 100, 1 << 20])
def test_pieces_have_the_same_rows(monkeypatch: pytest.MonkeyPatch, piece: int) -> None:
    monkeypatch.setattr(index, "_PIECE", piece)
    found = list(index.each("".join(f"{line}\n" for line in LINES).encode()))
    assert ["\t".join([*row[:4], "unknown", row[4]]) for row in found] == LINES


@pytest.mark.parametrize("piece", [1, 100, 1 << 20])
@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("V\t2811\t\t33\tunknown\t/CN=x", "line 20 is not one of its rows"),
        ("", "line 20 is not one of its rows"),
        ("V\t280230120000Z\t\t33\tunknown\t/CN=x", "has the date 280230, which no calendar has"),
    ],
)
def test_a_wrong_line_is_named_wherever_the_pieces_end(
    monkeypatch: pytest.MonkeyPatch, piece: int, line: str, why: str
) -> None:
    monkeypatch.setattr(index, "_PIECE", piece)
    text = "".join(f"{one}\n" for one in [*LINES[:19], line, *LINES[19:]])
    with pytest.raises(DatabaseCaError, match=why):
        list(index.each(text.encode()))


def test_a_calendar_agrees_with_the_times_themselves() -> None:
    moments = ["261123235959Z", "261124000000Z", "261124115959Z", "261124120000Z", "261124120001Z", "261225120000Z"]
    moments += ["20510101000000Z", "500101000000Z", "99991231235959Z"]
    for text, at in itertools.product(moments, moments[:6]):
        end, now = dates.asn1_time(text), dates.asn1_time(at)
        expected = f"{end:%Y-%m-%d}", dates.days_left(end, now), end <= now
        calendar = dates.Calendar(now)
        assert (calendar(text), calendar(text)) == (expected, expected), (text, at)
    assert dates.Calendar(datetime(2026, 11, 24, tzinfo=UTC))("20270101000000Z")[1] == 38
