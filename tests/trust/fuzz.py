"""Mutated files of every format, in children with limits of time and memory."""

import os
import queue
import signal
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

from .patience import TICK, Patience
from .table import Row

_WORKER = Path(__file__).with_name("worker.py")
#: seconds of CPU time until a child is ready, which may compile kernels, and for one input
_CPU_BEFORE, _CPU = 600.0, 30.0
#: children that may end before their time, each a failure
_CHILDREN = 20


def fuzz(name: str, inputs: int, seed: int) -> Row:
    """Read that many mutated files of a format."""
    row = Row(f"mutated files: {name}")
    first = children = 0
    while first < inputs and children < _CHILDREN:
        first = _child(row, name, seed, first, inputs)
        children += 1
    row.expect(first >= inputs, f"given up: {children} children were ended")
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
        number, lost = _follow(row, process, seed, first - 1)
        if process.returncode != 0:
            stderr.seek(0)
            # a crash and the end of a hang both leave where it was
            text = " ".join(stderr.read().split())
            where = text[max(text.find("Fatal Python error"), 0) :][:600]
            what = lost or f"ends the process: {process.returncode}"
            row.fail(f"input {number + 1} of {seed=} {what}: {where}")
            return number + 2
    return last


def _follow(
    row: Row, process: "subprocess.Popen[str]", seed: int, number: int
) -> tuple[int, str | None]:
    """Read what a child says until it ends, or end it when it hangs; the last input it did, and how
    it hung."""
    lines: queue.Queue[str] = queue.Queue()

    def read() -> None:
        assert process.stdout is not None
        for line in process.stdout:
            lines.put(line)
        lines.put("")

    thread = threading.Thread(target=read)
    thread.start()
    patience = Patience(process.pid, _CPU_BEFORE)
    lost = None
    while True:
        try:
            line = lines.get(timeout=TICK)
        except queue.Empty:
            lost = lost or patience.lost()
            if lost is not None:
                process.send_signal(signal.SIGABRT)  # faulthandler says where
            continue
        if not line:
            break
        told = line.split(maxsplit=1)
        if told[1].strip() == "ready":
            patience = Patience(process.pid, _CPU)
            continue
        patience.again()
        number = max(number, int(told[0]))
        row.count += 1
        if told[1].startswith("failed"):
            row.fail(f"input {told[0]} of {seed=}: {told[1].strip()}")
        else:
            row.tally(told[1].strip())
    process.wait()
    thread.join()
    return number, lost
