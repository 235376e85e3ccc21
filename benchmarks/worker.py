"""A contender in a process of its own, driven by JSON lines over its pipes.

The parent writes {"do": "probe"}, {"do": "steps", "count": k}, {"do": "memory"} or
{"do": "quit"} and reads one line back. Between commands the process sleeps on its pipe.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import importlib
import importlib.metadata
import json
import os
import platform
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol, TextIO

from peers import MODULES, PACKAGES
from record import Record
from workload import Workload, load


class Contender(Protocol):
    """What every contender offers."""

    notes: str

    def step(self, index: int) -> float:
        """One whole training step on batch ``index`` (modulo the batches); the loss."""

    def probe(self, index: int) -> Record:
        """The same step, looked at."""


def status(field: str) -> int:
    """A memory field of /proc/self/status in bytes, 0 where there is none."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith(field + ":"):
                return int(line.split()[1]) * 1024
    return 0


def forget_peak() -> None:
    """Start VmHWM anew, so that it tells the peak of what follows."""
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def builder(name: str, threads: int) -> Callable[[Workload], Contender]:
    """Import the contender's module, settle its threads and return its ``build``."""
    module = importlib.import_module(MODULES.get(name, "contender"))
    if name in MODULES:
        importlib.import_module("torch").set_num_threads(threads)
    else:
        importlib.import_module("snnr.kernels.threads").set_threads(threads)
    build: Callable[[Workload], Contender] = module.build
    return build


def versions(name: str) -> dict[str, str]:
    """Versions of Python, NumPy and of the contender's packages."""
    found = {"python": platform.python_version()}
    for package in ("numpy", *PACKAGES.get(name, ("snnr", "numba"))):
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[package] = importlib.metadata.version(package)
    return found


def serve(contender: Contender, ready: dict[str, Any], out: TextIO) -> None:
    """Answer commands until told to quit."""
    done = 0

    def answer(message: dict[str, Any]) -> None:
        out.write(json.dumps(message) + "\n")
        out.flush()

    answer(ready)
    for line in sys.stdin:
        order = json.loads(line)
        if order["do"] == "quit":
            return
        if order["do"] == "memory":
            answer({"peak": status("VmHWM"), "now": status("VmRSS")})
        elif order["do"] == "probe":
            record = contender.probe(done)
            done += 1
            answer(dataclasses.asdict(record))
        else:
            times, losses = [], []
            for _ in range(order["count"]):
                start = time.perf_counter()
                losses.append(contender.step(done))
                times.append(time.perf_counter() - start)
                done += 1
            answer({"times": times, "loss": losses[-1]})


def main() -> None:
    """Entry point of the worker process."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("contender")
    parser.add_argument("workload", type=Path)
    parser.add_argument("--threads", type=int, required=True)
    args = parser.parse_args()
    # libraries print what they like: the protocol keeps the real stdout for itself
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    build = builder(args.contender, args.threads)
    imported = status("VmRSS")
    contender = build(load(args.workload))
    ready = {
        "versions": versions(args.contender),
        "notes": contender.notes,
        "imported": imported,
    }
    forget_peak()
    serve(contender, ready, out)


if __name__ == "__main__":
    main()
