"""How a sweep stands: a live table on a terminal, plain lines otherwise; its results at the end."""

import contextlib
import shutil
import statistics
import sys
import time
from collections.abc import Mapping, Sequence
from typing import Any

from snnr.cli.common import note, percent, say
from snnr.cli.pace import clock, duration
from snnr.cli.screen import cut, print_table, width

from snnr.errors import printable
from snnr.sweep import Follower, Planned, Sweep

_REFRESH = 0.2  # seconds between two states of the table
#: columns of a row that say how a run went, and not what it was
_OUTCOME = ("run", "status", "accuracy", "loss", "connectivity", "epochs_done", "seconds",
            "seconds_per_epoch", "error", "checkpoint", "seed", "threads")  # fmt: skip


class Board(Follower):
    """Follows a sweep. What ended is a line each; below, on a terminal, what is under way."""

    def __init__(self, quiet: bool) -> None:
        self.quiet = quiet
        self.terminal = not quiet and sys.stderr is not None and sys.stderr.isatty()
        self._running: dict[str, dict[str, Any]] = {}
        self._drawn = 0
        self._due = 0.0

    def begin(self, sweep: Sweep, left: Sequence[Planned]) -> None:
        done = len(sweep.runs) - len(left)
        if done and not self.quiet:
            say(f"{done} of {len(sweep.runs)} runs are finished already")

    def event(self, sweep: Sweep, name: str, event: Mapping[str, Any]) -> None:
        kind = event["event"]
        if kind in ("finished", "stopped", "failed"):
            self._running.pop(name, None)
            self._line(self._ended(sweep, name, event))
        elif sweep.rows[name]["status"] != "finished":
            # a cluster may tell the end of a run before its last epoch
            self._follow(sweep, name, event)
        if self.terminal and (kind not in ("step", "epoch") or time.monotonic() >= self._due):
            self._draw(sweep)

    def _follow(self, sweep: Sweep, name: str, event: Mapping[str, Any]) -> None:
        """Take note of a run that goes on."""
        if event["event"] == "warning":
            self._line(f"{name}: warning: {event['text']}")
            return
        state = self._running.setdefault(name, {"since": time.monotonic()})
        if event["event"] == "epoch":
            state.pop("steps", None)
        state.update(event)
        if event["event"] == "epoch" and not self.terminal:
            self._line(f"{name}: {self._state(sweep, name, state)}")

    def end(self, sweep: Sweep) -> None:
        self._clear()

    def stopping(self) -> None:
        # inside of a signal handler, where the stream may be busy with another line
        if not self.quiet:
            with contextlib.suppress(RuntimeError):
                self._clear()
                say("saving the runs that are under way (Ctrl-C again: at once, unsaved)")

    def _ended(self, sweep: Sweep, name: str, event: Mapping[str, Any]) -> str:
        row = sweep.rows[name]
        place = f"{sweep.count('finished')}/{len(sweep.runs)}"
        if event["event"] == "failed":
            return f"[{place}] {name} failed: {event['error']}"
        if event["event"] == "stopped":
            return f"[{place}] {name} stopped after {row['epochs_done']} epochs"
        return (
            f"[{place}] {name}: {percent(row['accuracy'])} at {percent(row['connectivity'])}"
            f", {row['epochs_done']} epochs, {duration(row['seconds'])}"
        )

    def _state(self, sweep: Sweep, name: str, state: Mapping[str, Any]) -> str:
        done, epochs = state.get("epoch", 0), sweep.rows[name]["epochs"]
        text = f"epoch {done}/{epochs}"
        if "steps" in state and self.terminal:
            text = f"epoch {done + 1}/{epochs} step {state['step']:,}/{state['steps']:,}"
        elif state.get("event") == "started" and self.terminal:
            text = f"epoch {done}/{epochs}, compiling what is new"
        if "test_accuracy" in state:
            text += f"  {percent(state['test_accuracy'])} at {percent(state['connectivity'])}"
        return text

    def _line(self, text: str) -> None:
        if not self.quiet:
            self._clear()
            note(text)

    def _draw(self, sweep: Sweep) -> None:
        self._due = time.monotonic() + _REFRESH
        columns, height = width(sys.stderr), shutil.get_terminal_size().lines
        waiting = len(sweep.runs) - len(self._running) - sum(
            map(sweep.count, ("finished", "failed"))
        )  # fmt: skip
        lines = [
            f"{sweep.count('finished')} of {len(sweep.runs)} finished, {len(self._running)} "
            f"running, {waiting} waiting, {sweep.count('failed')} failed"
        ]
        states = {
            name: f"{self._state(sweep, name, state)}  {clock(time.monotonic() - state['since'])}"
            for name, state in self._running.items()
        }
        # a long name gives way to how it goes
        room = max(8, columns - 5 - max(map(len, states.values()), default=0))
        longest = min(room, max(map(len, states), default=0))
        lines += [f"  {cut(name, room):<{longest}}  {state}" for name, state in states.items()]
        shown = [printable(line)[: columns - 1] for line in lines[: max(1, height - 2)]]
        self._clear()
        # the cursor stays in the last line, so that whatever comes next clears the table first
        say("\n".join(shown), nl=False)
        self._drawn = len(shown)

    def _clear(self) -> None:
        if self.terminal and self._drawn:
            up = f"\x1b[{self._drawn - 1}A" if self._drawn > 1 else ""
            say(f"\r{up}\x1b[J", nl=False)
            self._drawn = 0


def summary(rows: Sequence[Mapping[str, Any]]) -> None:
    """One line per setting: means over its seeds, of the runs that are finished."""
    finished = [row for row in rows if row["status"] == "finished"]
    if not finished:
        return
    columns = dict.fromkeys(key for row in rows for key in row if key not in _OUTCOME)
    # a setting that only some methods have, with one value, tells nothing that the method does not
    values = {k: {str(r[k]) for r in rows if r.get(k) is not None} for k in columns}
    told = [k for k in columns if k == "method" or len(values[k]) > 1]
    groups: dict[tuple[Any, ...], list[Mapping[str, Any]]] = {}
    for row in finished:
        groups.setdefault(tuple(str(row.get(key)) for key in told), []).append(row)
    print_table(
        (*(key.replace("_", "-") for key in told), "seeds", "accuracy", "spread", "connectivity",
         "s/epoch"),
        [
            (*("-" if value == "None" else value for value in setting), *_means(group))
            for setting, group in groups.items()
        ],
        keys=len(told),
    )  # fmt: skip


def _means(group: Sequence[Mapping[str, Any]]) -> tuple[str, ...]:
    accuracy = [row["accuracy"] for row in group]
    spread = f"±{100 * statistics.stdev(accuracy):.2f}" if len(group) > 1 else "-"
    return (
        str(len(group)), percent(statistics.mean(accuracy)), spread,
        percent(statistics.mean(row["connectivity"] for row in group)),
        f"{statistics.mean(row['seconds_per_epoch'] for row in group):.2f}",
    )  # fmt: skip
