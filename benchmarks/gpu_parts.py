"""Parts of a long run: commands under a time limit, kept in one file, taken up where it stopped."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

FORMAT = 1
#: a part is not begun with less time left, in seconds
LEAST = 45
#: between asking a command to end and ending it
GRACE = 10
TAIL = 4000

DONE, FAILED, LATE, ABSENT, WAITING = "done", "failed", "too late", "left out", "no time left"

Results = dict[str, Any]
Judge = Callable[[Results], list[str]]


def fine(results: Results) -> list[str]:
    """Nothing to object beyond the exit status."""
    return []


@dataclasses.dataclass(frozen=True)
class Command:
    """What is run; ``result`` names the JSON file it writes, kept as ``key``. Its standard output
    is the result where ``printed`` is set."""

    words: tuple[str, ...]
    key: str = ""
    result: Path | None = None
    printed: bool = False

    def shown(self, folder: Path) -> str:
        """As one would type it in that folder."""
        words = ["python" if word == sys.executable else word for word in self.words]
        return shlex.join(word.replace(f"{folder}{os.sep}", "") for word in words)


@dataclasses.dataclass(frozen=True)
class Part:
    """One part: commands one after the other, ``limit`` seconds for all of them.

    judge : says what is wrong with the results, in words.
    absent : why it cannot be run here; empty when it can.
    """

    name: str
    title: str
    limit: int
    commands: tuple[Command, ...] = ()
    judge: Judge = fine
    absent: str = ""


class Store:
    """Everything that was found so far, in a JSON file that is replaced as a whole."""

    def __init__(self, path: Path, rehearsal: bool = False) -> None:
        self.path = path
        self.content: dict[str, Any] = {"format": FORMAT, "rehearsal": rehearsal, "parts": {}}
        if path.exists():
            found = json.loads(path.read_text())
            if found.get("format") != FORMAT or found.get("rehearsal") != rehearsal:
                raise ValueError(
                    f"{path} is no file of such a run: name another with --out, or remove it"
                )
            self.content = found

    @property
    def parts(self) -> dict[str, Any]:
        """What was found, by the part's name."""
        parts: dict[str, Any] = self.content["parts"]
        return parts

    def finished(self, name: str) -> bool:
        """Whether a part need not be run again."""
        return bool(self.parts.get(name, {}).get("state") == DONE)

    def save(self) -> None:
        """Write the file."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        partial = self.path.with_suffix(".partial")
        partial.write_text(json.dumps(self.content, indent=1) + "\n")
        partial.replace(self.path)


def end(process: subprocess.Popen[bytes]) -> None:
    """End a command and everything it started: first kindly, then not."""
    for number, patience in ((signal.SIGTERM, GRACE), (signal.SIGKILL, None)):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=patience)
            if number == signal.SIGKILL:
                return
    process.wait()


def tail(path: Path, folder: Path) -> str:
    """The end of a log, files of that folder named from there."""
    text = path.read_text(errors="replace") if path.exists() else ""
    text = text.replace(f"{folder}{os.sep}", "")
    return text if len(text) <= TAIL else "...\n" + text[-TAIL:]


def run_command(command: Command, log: Path, seconds: float, folder: Path) -> dict[str, Any]:
    """Run a command under a limit; its output goes to ``log``."""
    log.parent.mkdir(parents=True, exist_ok=True)
    if command.result is not None:
        command.result.unlink(missing_ok=True)
    begun = time.monotonic()
    out = log.with_suffix(".out") if command.printed else None
    with contextlib.ExitStack() as files:
        messages = files.enter_context(log.open("ab"))
        messages.write(f"$ {command.shown(folder)}\n".encode())
        messages.flush()
        stdout = messages if out is None else files.enter_context(out.open("wb"))
        try:
            # a session of its own, so that what it starts can be ended with it
            process = subprocess.Popen(
                command.words, stdout=stdout, stderr=messages, stdin=subprocess.DEVNULL,
                cwd=folder, start_new_session=True,
                env={**os.environ, "PYTHONUNBUFFERED": "1"},
            )  # fmt: skip
        except OSError as error:
            messages.write(f"{error}\n".encode())
            return {"command": command.shown(folder), "status": 127, "seconds": 0.0, "late": False}
        late = False
        try:
            process.wait(timeout=max(seconds, 0.1))
        except subprocess.TimeoutExpired:
            late = True
        finally:
            end(process)
    told: dict[str, Any] = {
        "command": command.shown(folder),
        "status": process.returncode,
        "seconds": round(time.monotonic() - begun, 1),
        "late": late,
    }
    source = out if command.printed else command.result
    if source is not None and source.exists():
        with contextlib.suppress(ValueError):
            told["result"] = json.loads(source.read_text())
    return told


def run_part(part: Part, logs: Path, seconds: float, folder: Path) -> dict[str, Any]:
    """Run a part's commands within the seconds there are; what came of it."""
    kept: dict[str, Any] = {"title": part.title, "state": DONE, "seconds": 0.0, "commands": []}
    if part.absent:
        return {**kept, "state": ABSENT, "problems": [part.absent]}
    log = logs / f"{part.name}.log"
    log.unlink(missing_ok=True)
    ends = time.monotonic() + min(seconds, part.limit)
    results: Results = {}
    problems: list[str] = []
    for command in part.commands:
        told = run_command(command, log, ends - time.monotonic(), folder)
        result = told.pop("result", None)
        if command.key and result is not None:
            results[command.key] = result
        kept["commands"].append(told)
        kept["seconds"] = round(kept["seconds"] + told["seconds"], 1)
        if told["late"]:
            kept["state"] = LATE
            problems.append(f"ended after {told['seconds']:.0f} s, its limit: {told['command']}")
            break
        if told["status"]:
            problems.append(f"exit status {told['status']}: {told['command']}")
        elif command.key and result is None:
            problems.append(f"no result: {told['command']}")
    if not problems:
        problems += part.judge(results)
    if problems and kept["state"] == DONE:
        kept["state"] = FAILED
    kept["problems"] = problems
    kept["results"] = results
    if problems:
        kept["log"] = tail(log, folder)
    return kept


def run_parts(
    parts: list[Part],
    store: Store,
    seconds: float,
    folder: Path,
    about: Callable[[], Mapping[str, Any]],
    say: Callable[[str], None],
) -> bool:
    """Run what is not done yet, in order, within the seconds; whether all of it is done now.

    about : asked after every part for what is kept beside it (clocks, commit).
    """
    ends = time.monotonic() + seconds
    logs = store.path.parent / f"{store.path.stem}-logs"
    for part in parts:
        if store.finished(part.name):
            say(f"{part.name}: done before")
            continue
        left = ends - time.monotonic()
        if left < LEAST and not part.absent:
            kept = {"title": part.title, "state": WAITING, "seconds": 0.0, "problems": []}
            # what an earlier try told is worth more
            store.parts.setdefault(part.name, kept)
            say(f"{part.name}: {WAITING}")
        else:
            say(f"{part.name}: {part.title} ...")
            kept = run_part(part, logs, left, folder)
            store.parts[part.name] = {**kept, **about()}
            say(f"{part.name}: {kept['state']}, {kept['seconds']:.0f} s")
            for problem in kept["problems"]:
                say(f"  {problem}")
        store.save()
    states = [store.parts[part.name]["state"] for part in parts]
    return all(state in (DONE, ABSENT) for state in states)
