"""Our docstrings as reStructuredText: sections with a line below them, and lists of entries
``name : what it is``, in a section or without one."""

import re
from typing import Any

from sphinx.application import Sphinx

ENTRY = re.compile(r"^(?P<names>[^\s:`][^:`]{0,60}?) : (?P<text>.+)$")
QUOTED = re.compile(r"(``.*?``|`.*?`)")


def plain(line: str) -> str:
    """`line` with nothing in it but names between backticks that means something in
    reStructuredText."""
    parts = QUOTED.split(line)
    parts[::2] = [re.sub(r"([*|])", r"\\\1", part) for part in parts[::2]]
    return "".join(parts)


def translated(lines: list[str]) -> list[str]:
    told: list[str] = []
    inside = False  # the entry before goes on while lines are indented
    number = 0
    while number < len(lines):
        line = lines[number]
        below = lines[number + 1] if number + 1 < len(lines) else ""
        entry = ENTRY.match(line)
        if line and re.fullmatch("-{3,}", below) and len(below) == len(line):
            told += [f".. rubric:: {line}", ""]
            number += 1
        elif entry:
            told += ["", f"**{plain(entry['names'])}**", f"    {plain(entry['text'])}"]
            inside = True
        elif inside and line.startswith(" "):
            told.append(f"    {plain(line.strip())}")
        else:
            told += [""] if inside and line else []
            told.append(plain(line))
            inside = False
        number += 1
    return told


def process(app: Sphinx, what: str, name: str, found: Any, options: Any, lines: list[str]) -> None:
    lines[:] = translated(lines)


def setup(app: Sphinx) -> dict[str, Any]:
    app.connect("autodoc-process-docstring", process)
    return {"parallel_read_safe": True}
