"""Text within the terminal."""

import io
import os
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from snnr.cli.screen import pairs, table, width, wrapped

TITLES = ("layer", "dead neurons", "connectivity", "why")
ROWS = [["1_linear", "12", "50.00 %", "it is so"], ["2_a", "3,456", "0.10 %", "a/path/to/it"]]


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True

    def fileno(self) -> int:
        return 99


def test_the_width_is_that_of_the_terminal_and_80_elsewhere(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    monkeypatch.setattr(os, "get_terminal_size", lambda _: os.terminal_size((123, 40)))
    assert width(Terminal()) == 123
    assert width(io.StringIO()) == 80
    monkeypatch.setenv("COLUMNS", "60")
    assert width(Terminal()) == width(io.StringIO()) == 60
    for odd in ("0", "-5", "wide", "9" * 30, ""):
        monkeypatch.setenv("COLUMNS", odd)
        assert width(Terminal()) == 123
    monkeypatch.setattr(os, "get_terminal_size", lambda _: os.terminal_size((0, 0)))
    assert width(Terminal()) == 80


def lines(columns: int, **more: Any) -> list[str]:
    return list(table(TITLES, ROWS, columns, **{"left": (0, 3), **more}))


def test_a_table_that_fits_is_one() -> None:
    assert lines(80) == [
        "layer     dead neurons  connectivity  why",
        "1_linear            12       50.00 %  it is so",
        "2_a              3,456        0.10 %  a/path/to/it",
    ]


def test_titles_take_several_lines_before_a_table_comes_in_pieces() -> None:
    assert lines(46) == [
        "             dead",
        "layer     neurons  connectivity  why",
        "1_linear       12       50.00 %  it is so",
        "2_a         3,456        0.10 %  a/path/to/it",
    ]
    # with the titles in one line again where that fits
    assert lines(36) == [
        "layer     dead neurons  connectivity",
        "1_linear            12       50.00 %",
        "2_a              3,456        0.10 %",
        "",
        "layer     why",
        "1_linear  it is so",
        "2_a       a/path/to/it",
    ]
    # as few as there can be, and about as wide
    rows = [["k", *["x" * 6] * 5]]
    told = list(table("kabcde", rows, 32, left=()))
    assert [len(line) for line in told if "x" in line] == [25, 17]
    assert len(list(table("kabcde", rows, 33, left=()))) == 5
    assert lines(32, keys=3)[:3] == ["layer         1_linear", "dead neurons  12",
                                     "connectivity  50.00 %"]  # fmt: skip


def test_text_in_the_last_column_is_broken_or_goes_below() -> None:
    rows = [["a", "word " * 8 + "end"], ["b", "x" * 30]]
    told = list(table(("n", "text"), rows, 28, left=(0, 1), text=True))
    assert told == [
        "n  text",
        "a  word word word word word",
        "   word word word end",
        "b",
        "    " + "x" * 30,
    ]
    assert list(table(("n", "text"), rows, 60, left=(0, 1), text=True))[1:] == [
        "a  " + rows[0][1], "b  " + rows[1][1],
    ]  # fmt: skip


def test_a_share_is_not_torn() -> None:
    assert wrapped("at 50 %, or 5 % of %all", 8) == "at 50 %,\n  or 5 %\n  of\n  %all"


def test_names_and_values_are_aligned() -> None:
    told = list(pairs([("ab", "one two three"), ("c", "x/" * 9)], 14))
    assert told == ["ab  one two\n    three", "c\n    " + "x/" * 9]


words = st.text("abc", min_size=1, max_size=12)


@given(st.lists(words, max_size=30).map(" ".join), st.integers(12, 40))
def test_wrapping_loses_nothing_and_fits(text: str, columns: int) -> None:
    told = wrapped(text, columns, "")
    assert all(len(line) <= columns for line in told.split("\n"))
    assert told.split() == text.split()


@given(
    st.integers(1, 5).flatmap(
        lambda n: st.tuples(
            st.lists(words, min_size=n, max_size=n),
            st.lists(st.lists(words, min_size=n, max_size=n), max_size=4),
        )
    ),
    st.integers(28, 90),
    st.booleans(),
)
def test_a_table_fits_whatever_is_in_it(
    content: tuple[Sequence[str], Sequence[Sequence[str]]], columns: int, text: bool
) -> None:
    titles, rows = content
    told = "\n".join(table(titles, rows, columns, text=text))
    assert all(len(line) <= columns for line in told.split("\n"))
    for row in rows:
        for cell in row:
            assert cell in told
