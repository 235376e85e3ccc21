"""What became of the mutants, by room."""

import json
import math
from collections import Counter
from pathlib import Path
from typing import Any


def interval(caught: int, count: int) -> tuple[float, float]:
    """95 % confidence interval of a share (Wilson, JASA 22, 1927)."""
    if not count:
        return 0.0, 1.0
    z, share = 1.96, caught / count
    middle = (share + z * z / (2 * count)) / (1 + z * z / count)
    half = z / (1 + z * z / count)
    half *= math.sqrt(share * (1 - share) / count + (z / (2 * count)) ** 2)
    return middle - half, middle + half


def outcomes(folder: Path) -> list[dict[str, Any]]:
    """Of each mutant of a run the last one."""
    last = {}
    for file in sorted(folder.glob("*.jsonl")):
        for row in map(json.loads, file.read_text().splitlines()):
            if row["path"]:
                last[row["path"], row["line"], row["column"], row["what"]] = row
    return [last[key] for key in sorted(last)]


def controls(folder: Path) -> Counter[str]:
    """What came of running tests with nothing changed."""
    rows = (row for file in folder.glob("*.jsonl") for row in file.read_text().splitlines())
    return Counter(row["outcome"] for row in map(json.loads, rows) if not row["path"])


def show(folder: Path) -> str:
    """A table of a run, and the mutants that no test caught."""
    rows, control = outcomes(folder), controls(folder)
    rooms: dict[str, Counter[str]] = {}
    for row in rows:
        rooms.setdefault(_room(row["path"]), Counter())[row["outcome"]] += 1
    lines = [f"{'room':<24}{'mutants':>8}{'caught':>8}{'score':>9}"]
    for name, counts in sorted(rooms.items()):
        lines.append(_line(name, counts))
    total = sum(rooms.values(), Counter())
    low, high = interval(total["caught"], total.total())
    lines.append(f"{_line('all', total)}   95 % interval {low:.1%} to {high:.1%}")
    lines.append(f"without a change: {control['survived']} passed, {control['caught']} failed")
    for row in rows:
        if row["outcome"] != "caught":
            more = ", not all tests" if row["cut"] else ""
            name = (row["function"] or ["on import"])[0]
            lines.append(
                f"{row['path']}:{row['line']}:{row['column']} {name}: {row['what']}  "
                f"[{row['outcome']}, {row['tests']} tests{more}]"
            )
    return "\n".join(lines)


def _room(path: str) -> str:
    parts = path.split("/")
    return "/".join(parts[:2]) if len(parts) > 2 else "snnr/*.py"


def _line(name: str, counts: Counter[str]) -> str:
    share = counts["caught"] / counts.total()
    return f"{name:<24}{counts.total():>8}{counts['caught']:>8}{share:>9.1%}"
