"""Mutated files of every format, in children with limits of time and memory."""

import os
import queue
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

from .table import Row

_WORKER = Path(__file__).with_name("worker.py")
_PATIENCE = 60.0  # seconds without a word: the worker ends itself before, and says where it was


def fuzz(name: str, inputs: int, seed: int) -> Row:
    """Read that many mutated files of a format."""
    row = Row(f"mutated files: {name}")
    first = 0
    while first < inputs:
        first = _child(row, name, seed, first, inputs)
    return row


def _child(row: Row, name: str, seed: int, first: int, last: int) -> int:
    """One child, until it is done or has to be ended; returns where the next one goes on."""
    command = [sys.executable, _WORKER, name, str(seed), str(first), str(last)]
    with (
        tempfile.TemporaryFile("w+") as stderr,
        subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=stderr, text=True, cwd=_WORKER.parent,
            env=os.environ | {"PYTHONMALLOC": "debug"},  # notices who writes beside a buffer
        ) as process,
    ):
        number = _follow(row, process, seed, first - 1)
        if process.returncode is None:
            return number + 2
        if process.returncode != 0:
            stderr.seek(0)
            text = " ".join(stderr.read().split())
            where = text[text.find("Timeout (") :][:600] if "Timeout (" in text else text[-200:]
            ended = f"ends the process: {process.returncode} {where}"
            row.fail(f"input {number + 1} of {seed=} {ended}")
            return number + 2
    return last


def _follow(row: Row, process: "subprocess.Popen[str]", seed: int, number: int) -> int:
    """Read what a child says, until it ends or is silent for too long; the last input it did."""
    lines: queue.Queue[str] = queue.Queue()

    def read() -> None:
        assert process.stdout is not None
        for line in process.stdout:
            lines.put(line)
        lines.put("")

    thread = threading.Thread(target=read)
    thread.start()
    try:
        while line := lines.get(timeout=_PATIENCE):
            told = line.split(maxsplit=1)
            number = max(number, int(told[0]))
            row.count += 1
            if told[1].startswith("failed"):
                row.fail(f"input {told[0]} of {seed=}: {told[1].strip()}")
            else:
                row.tally(told[1].strip())
        process.wait()
    except queue.Empty:
        row.fail(f"input {number + 1} of {seed=} hangs")
        process.kill()
    thread.join()
    return number
