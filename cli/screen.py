"""What fits the terminal: its width, wrapped text, names and values, tables."""

import os
import re
import sys
from collections.abc import Iterator, Sequence
from typing import TextIO

import click

from snnr.errors import printable

#: columns where no terminal says how many it has
COLUMNS = 80
#: columns that a text beside others should have; with less it goes below them
_BESIDE = 24


def width(stream: TextIO | None = None) -> int:
    """Columns of the terminal behind a stream (by default stdout). A number in $COLUMNS wins; where
    there is no terminal it is 80, so that what is kept in a file looks the same everywhere."""
    told = os.environ.get("COLUMNS", "")
    if told.isascii() and told.isdigit() and 0 < int(told) < 100_000:
        return int(told)
    target = sys.stdout if stream is None else stream
    try:
        found = os.get_terminal_size(target.fileno()).columns if target.isatty() else 0
    except (OSError, ValueError, AttributeError):
        found = 0
    return found or COLUMNS


def wrapped(text: str, columns: int, indent: str = "  ") -> str:
    """The text in lines of at most so many columns, broken at blanks; a longer word (a path) stays
    whole, so that it can be copied. `indent` stands in front of all lines but the first."""
    lines: list[str] = []
    for line in text.split("\n"):
        words = re.split(r" (?!%\W?(?: |$))", line)  # 5 % is one word
        now = words[0]
        for word in words[1:]:
            if len(now) + 1 + len(word) <= columns or not now.strip():
                now += " " + word
            else:
                lines.append(now.rstrip())
                now = indent + word
        lines.append(now)
    return "\n".join(lines)


def cut(name: str, room: int) -> str:
    """A name in at most so many columns, without its middle where it is longer."""
    if len(name) <= room:
        return name
    return f"{name[: (room - 1) // 2]}..{name[len(name) - room + 2 + (room - 1) // 2 :]}"


def pairs(rows: Sequence[tuple[str, str]], columns: int) -> Iterator[str]:
    """Lines of names and values, aligned; what does not fit goes on below the values."""
    room = max(len(name) for name, _ in rows)
    indent = " " * min(room + 2, columns // 3)
    for name, value in rows:
        yield wrapped(printable(f"{name:<{room}}  {value}"), columns, indent)


def print_text(text: str) -> None:
    """A sentence, within the terminal."""
    click.echo(wrapped(printable(text), width()))


def print_pairs(rows: Sequence[tuple[str, str]]) -> None:
    """Names and values, aligned, within the terminal."""
    for line in pairs(rows, width()):
        click.echo(line)


def print_table(
    titles: Sequence[str],
    rows: Sequence[Sequence[str]],
    left: Sequence[int] = (0,),
    keys: int = 1,
    text: bool = False,
) -> None:
    """Columns, aligned to the right but for those in `left`, within the terminal.

    Parameters
    ----------
    keys : first columns that name a row, and are repeated where a table is printed in pieces.
    text : the last column is text, which may be broken, or stand in a line of its own.
    """
    for line in table(titles, rows, width(), left, keys, text):
        click.echo(line)


def table(
    titles: Sequence[str],
    rows: Sequence[Sequence[str]],
    columns: int,
    left: Sequence[int] = (0,),
    keys: int = 1,
    text: bool = False,
) -> Iterator[str]:
    """The lines of `print_table` for so many columns.

    Where a table is too wide its titles take several lines, then it comes in pieces, then each row
    is a list of names and values. Nothing is left out.
    """
    cells = [[printable(cell) for cell in row] for row in rows]
    one = [[title] for title in titles]
    several = [_head(t, size) for t, size in zip(titles, _bodies(cells, len(titles)), strict=True)]
    for heads in (one, several):
        sizes = _sizes(heads, cells)
        if _total(sizes) <= columns:
            yield from _lines(heads, cells, sizes, left)
            return
        beside = min(_BESIDE, sizes[-1]) if heads is one else 0
        if text and _total(sizes[:-1]) + 2 + beside <= columns:
            yield from _with_text(heads, cells, sizes[:-1], left, columns)
            return
    heads, sizes = several, _sizes(several, cells)
    parts = _even(sizes, keys, columns)
    if len(_even(_sizes(one, cells), keys, columns)) == len(parts):
        heads, sizes = one, _sizes(one, cells)
        parts = _even(sizes, keys, columns)
    if not parts:
        for number, row in enumerate(cells):
            if number:
                yield ""
            yield from pairs(list(zip(titles, row, strict=True)), columns)
        return
    for number, part in enumerate(parts):
        if number:
            yield ""
        yield from _lines(
            [heads[i] for i in part], [[row[i] for i in part] for row in cells],
            [sizes[i] for i in part], [k for k, i in enumerate(part) if i in left],
        )  # fmt: skip


def _bodies(cells: Sequence[Sequence[str]], count: int) -> list[int]:
    """The longest cell of each column, without its title."""
    return [max((len(row[i]) for row in cells), default=0) for i in range(count)]


def _sizes(heads: Sequence[Sequence[str]], cells: Sequence[Sequence[str]]) -> list[int]:
    """Columns that each column of a table takes."""
    sizes = (max(map(len, head)) for head in heads)
    return [max(pair) for pair in zip(sizes, _bodies(cells, len(heads)), strict=True)]


def _total(sizes: Sequence[int]) -> int:
    return sum(sizes) + 2 * (len(sizes) - 1)


def _head(title: str, size: int) -> list[str]:
    """A title in lines about as wide as what stands below it."""
    return wrapped(title, max(size, *map(len, title.split())), "").split("\n")


def _even(sizes: Sequence[int], keys: int, columns: int) -> list[list[int]]:
    """Which columns stand together: in as few pieces as fit, all about as wide; none where the
    first `keys`, which are in front of each, leave no room."""
    fewest = _pieces(sizes, keys, columns)
    tries = (_pieces(sizes, keys, narrow) for narrow in range(1, columns + 1))
    return next((parts for parts in tries if len(parts) == len(fewest)), fewest)


def _pieces(sizes: Sequence[int], keys: int, columns: int) -> list[list[int]]:
    """The same, each piece as full as it goes."""
    first = list(range(keys))
    parts = [list(first)]
    for i in range(keys, len(sizes)):
        if _total([sizes[k] for k in (*parts[-1], i)]) > columns:
            if len(parts[-1]) == keys or _total([sizes[k] for k in (*first, i)]) > columns:
                return []
            parts.append(list(first))
        parts[-1].append(i)
    return parts


def _lines(
    heads: Sequence[Sequence[str]],
    cells: Sequence[Sequence[str]],
    sizes: Sequence[int],
    left: Sequence[int],
) -> Iterator[str]:
    """Titles and rows of a table that fits."""
    tall = max(map(len, heads))
    above = [[*[""] * (tall - len(head)), *head] for head in heads]
    for row in (*zip(*above, strict=True), *cells):
        yield "  ".join(
            text.ljust(size) if i in left else text.rjust(size)
            for i, (text, size) in enumerate(zip(row, sizes, strict=True))
        ).rstrip()


def _with_text(
    heads: Sequence[Sequence[str]],
    cells: Sequence[Sequence[str]],
    sizes: Sequence[int],
    left: Sequence[int],
    columns: int,
) -> Iterator[str]:
    """A table whose last column is broken to fit, or goes below the others."""
    room = columns - _total(sizes) - 2
    indent = " " * (columns - room)
    title = " ".join(heads[-1])
    beside = room >= max(len(title), min(_BESIDE, _bodies(cells, len(heads))[-1]))
    before = list(_lines(heads[:-1], [row[:-1] for row in cells], sizes, left))
    tall = len(before) - len(cells)
    *above, under = before[:tall]
    yield from above
    yield f"{under:<{columns - room}}{title}" if beside else under
    for line, row in zip(before[tall:], cells, strict=True):
        broken = wrapped(row[-1], room, "").split("\n")
        if beside and max(map(len, broken)) <= room:
            yield f"{line:<{columns - room}}{broken[0]}".rstrip()
            yield from (indent + more for more in broken[1:])
        else:
            yield line
            yield "    " + wrapped(row[-1], columns - 4, "    ")
