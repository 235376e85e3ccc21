"""A contender in a process of its own, driven by JSON lines over its pipes.

The parent writes {"do": "probe"}, {"do": "steps", "count": k}, {"do": "memory"} or
{"do": "quit"} and reads one line back. Between commands the process sleeps on its pipe.

On a card a step is over when the card is done, and waiting after every step hides what a program
gains by issuing the next one meanwhile. So there "steps" runs them twice: all of them with one
wait at the end ("together"), then each with a wait of its own ("times").
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import functools
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


@dataclasses.dataclass(frozen=True)
class Place:
    """Where a contender runs: ``device`` is cpu or cuda; ``tf32``: products on the card may round
    their factors to 10 bits."""

    device: str = "cpu"
    threads: int = 1
    tf32: bool = False


class Contender(Protocol):
    """What every contender offers."""

    notes: str

    def step(self, index: int) -> None:
        """One whole training step on batch ``index`` (modulo the batches), not waited for."""

    def wait(self) -> float:
        """The loss of the last step, once everything that was issued is done."""

    def probe(self, index: int) -> Record:
        """The same step, looked at."""

    def memory(self) -> dict[str, int]:
        """On a card: "peak" and "reserved", bytes of its memory since the contender was made."""


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


def method_of(name: str) -> str:
    """The method of a contender of snnr's: "snnr" is Grad R, "snnr-set" is SET."""
    return name.removeprefix("snnr").removeprefix("-") or "grad-r"


def builder(name: str, place: Place) -> Callable[[Workload, str], Contender]:
    """Import the contender's module, settle threads and precision and return its ``build``."""
    if name not in MODULES:
        # read when the backend is loaded
        os.environ["SNNR_CUDA_TF32"] = "1" if place.tf32 else "0"
    module = importlib.import_module(MODULES.get(name, "contender"))
    if name in MODULES:
        importlib.import_module("peers.card").settle(place.threads, place.tf32)
    else:
        importlib.import_module("snnr.kernels.threads").set_threads(place.threads)
    build: Callable[..., Contender] = module.build
    return build if name in MODULES else functools.partial(build, method=method_of(name))


def versions(name: str) -> dict[str, str]:
    """Versions of Python, NumPy and of the contender's packages."""
    found = {"python": platform.python_version()}
    for package in ("numpy", *PACKAGES.get(name, ("snnr", "numba", "numba-cuda"))):
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[package] = importlib.metadata.version(package)
    return found


def run(contender: Contender, done: int, count: int, card: bool) -> dict[str, Any]:
    """``count`` steps from the ``done``-th on: seconds of each, the last loss and, on a card,
    seconds of as many before them that were waited for once."""
    told: dict[str, Any] = {"done": count}
    if card:
        start = time.perf_counter()
        for index in range(done, done + count):
            contender.step(index)
        contender.wait()
        told["together"] = time.perf_counter() - start
        told["done"] += count
        done += count
    told["times"] = []
    for index in range(done, done + count):
        start = time.perf_counter()
        contender.step(index)
        told["loss"] = contender.wait()
        told["times"].append(time.perf_counter() - start)
    return told


def serve(contender: Contender, ready: dict[str, Any], out: TextIO, card: bool) -> None:
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
            host = {"peak": status("VmHWM"), "now": status("VmRSS")}
            answer(contender.memory() if card else host)
        elif order["do"] == "probe":
            record = contender.probe(done)
            done += 1
            answer(dataclasses.asdict(record))
        else:
            told = run(contender, done, order["count"], card)
            done += told.pop("done")
            answer(told)


def main() -> None:
    """Entry point of the worker process."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("contender")
    parser.add_argument("workload", type=Path)
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--tf32", action="store_true")
    args = parser.parse_args()
    # libraries print what they like: the protocol keeps the real stdout for itself
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    build = builder(args.contender, Place(args.device, args.threads, args.tf32))
    imported = status("VmRSS")
    contender = build(load(args.workload), args.device)
    ready = {
        "versions": versions(args.contender),
        "notes": contender.notes,
        "imported": imported,
    }
    forget_peak()
    serve(contender, ready, out, args.device == "cuda")


if __name__ == "__main__":
    main()
