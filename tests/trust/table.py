"""What was tried and what came of it."""

from collections import Counter
from dataclasses import dataclass, field


@dataclass
class Row:
    """One kind of fault.

    count : faults injected, or inputs tried.
    outcomes : how often each outcome came.
    failures : a line for each thing that should not have happened.
    """

    what: str
    count: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)

    def tally(self, outcome: str) -> None:
        self.outcomes[outcome] += 1

    def fail(self, text: str) -> None:
        self.failures.append(text)

    def expect(self, fact: bool, text: str) -> None:
        """A failure with this text unless the fact holds."""
        if not fact:
            self.fail(text)


def show(rows: list[Row]) -> str:
    """The table, and the first failures of each row below it."""
    width = max(len(row.what) for row in rows)
    lines = [f"{'what':<{width}}  {'tried':>7}  {'failures':>8}  outcomes"]
    for row in rows:
        outcomes = ", ".join(f"{n} {name}" for name, n in sorted(row.outcomes.items()))
        lines.append(f"{row.what:<{width}}  {row.count:>7}  {len(row.failures):>8}  {outcomes}")
    for row in rows:
        lines += [f"{row.what}: {text}" for text in row.failures[:20]]
    return "\n".join(lines)
