"""What a training step of snnr costs the host on a card, and what it launches.

    python benchmarks/launches.py [--work mnist_fc] [--device cuda] [--json FILE]

The step is the one that `snnr.Trainer` takes, which a card records and replays. Told are the host's
time for a whole step and for the replay within it (no wait inside), the time until the card is
done, and the launches of a step that is not recorded, by kernel, with the card's time for each
(between two events, which adds some microseconds).
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import workload as workloads
from networks import WORKS
from report import machine, number, table

#: microseconds of the host that a replay is to take at most
AIM = 10.0
WARM_UP = 70


class Watched:
    """Notes what a machine of `snnr.kernels.cuda.device` is asked for: its `run` and `record` are
    replaced on the object itself, which stays the one that everybody knows.

    ``launches``: (name, event before, event after) of what was launched while ``noting``;
    ``replays``: the host's seconds for each replay of a recording.
    """

    def __init__(self, machine: Any, event: Callable[[], Any] | None) -> None:
        self.event = event
        self.noting = False
        self.replays: list[float] = []
        self.recordings = 0
        self.launches: list[tuple[str, Any, Any]] = []
        self._run, self._record = machine.run, machine.record
        machine.run, machine.record = self.run, self.record

    def noted(self, name: str, launch: Callable[[], None]) -> None:
        """Launch, between two events where the machine has some."""
        if not self.noting:
            launch()
            return
        before, after = (self.event(), self.event()) if self.event else (None, None)
        if before is not None:
            before.record()
        launch()
        if after is not None:
            after.record()
        self.launches.append((name, before, after))

    def run(self, kernel: Any, grid: Any, block: Any, arguments: tuple[Any, ...]) -> None:
        """In place of the machine's."""
        self.noted(kernel.name, lambda: self._run(kernel, grid, block, arguments))

    def listen_to(self, blas: Any) -> None:
        """Note the products of a library, too."""
        gemm = blas.gemm

        def product(a: Any, b: Any, out: Any, *more: Any, **named: Any) -> None:
            name = "cuBLAS " + "x".join(map(str, out.shape))
            self.noted(name, lambda: gemm(a, b, out, *more, **named))

        blas.gemm = product

    def record(self, work: Callable[[], None]) -> Callable[[], None]:
        """In place of the machine's: take the time of every replay."""
        replay = self._record(work)
        self.recordings += 1

        def timed() -> None:
            start = time.perf_counter()
            replay()
            self.replays.append(time.perf_counter() - start)

        return timed

    def by_kernel(self) -> list[tuple[str, int, float | None]]:
        """(kernel, launches, microseconds in all), the longest first."""
        found: dict[str, list[float | None]] = {}
        for name, before, after in self.launches:
            taken = None if before is None else 1e3 * before.elapsed_time(after)
            found.setdefault(name, []).append(taken)
        rows = [
            (name, len(taken), None if None in taken else sum(t or 0.0 for t in taken))
            for name, taken in found.items()
        ]
        return sorted(rows, key=lambda row: (-(row[2] or 0.0), -row[1], row[0]))


def watch() -> Watched:
    """Watch the machine in use.

    Raises
    ------
    DeviceError : there is no card.
    """
    from snnr import kernels
    from snnr.kernels.cuda import device
    from snnr.kernels.cuda.blas import blas

    kernels.backend("cuda")
    event = None if device.simulated() else device.cuda.event
    watched = Watched(device.machine(), event)
    found = blas()
    if found is not None:
        watched.listen_to(found)
    return watched


def measure(path: Path, device: str, turns: int, steps: int, warm: int = WARM_UP) -> dict[str, Any]:
    """What a step of the workload costs."""
    watched = watch() if device == "cuda" else None
    from contender import build, nothing

    contender = build(workloads.load(path), device)
    told: dict[str, Any] = {}
    if watched is not None:
        # somebody who looks between backward pass and update keeps a step from being recorded
        contender.step(0, nothing)
        contender.wait()
        watched.noting = True
        contender.step(1, nothing)
        watched.noting = False
        contender.wait()
        rows = watched.by_kernel()
        told["launches"] = len(watched.launches)
        told["kernels"] = [
            {"kernel": name, "launches": count, "microseconds": taken}
            for name, count, taken in rows
        ]
    for index in range(warm if device == "cuda" else 3):
        contender.step(index)
    contender.wait()
    if watched is not None:
        watched.replays.clear()
    host, whole = [], []
    for _ in range(turns):
        start = time.perf_counter()
        for index in range(steps):
            contender.step(index)
        host.append((time.perf_counter() - start) / steps)
        contender.wait()
        whole.append((time.perf_counter() - start) / steps)
    told["host_us"] = 1e6 * statistics.median(host)
    told["step_us"] = 1e6 * statistics.median(whole)
    if watched is not None:
        told["recordings"] = watched.recordings
        told["replayed"] = len(watched.replays)
        told["replay_us"] = 1e6 * statistics.median(watched.replays) if watched.replays else None
    return told


def show(name: str, told: dict[str, Any]) -> None:
    """Print what was measured."""
    print(f"\n{name}: a step takes the host {number(told['host_us'])} us, with the wait at the end")
    print(f"of a turn {number(told['step_us'])} us")
    if "launches" not in told:
        return
    replay = told["replay_us"]
    if replay is None:
        print("no step was replayed from a recording")
    else:
        print(
            f"the replay of a recorded step takes the host {number(replay)} us (aim: {AIM:g}); "
            f"{told['replayed']} steps were replayed, {told['recordings']} recorded"
        )
    print(f"{told['launches']} launches in a step that is not recorded:")
    rows = [
        [one["kernel"], str(one["launches"]), number(one["microseconds"] or 0.0)]
        for one in told["kernels"]
    ]
    print(table(["kernel", "launches", "us"], rows))


def main() -> int:
    """Entry point."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--work", action="append", choices=list(WORKS), help="default: mnist_fc")
    add("--batch", type=int, help="another batch size")
    add("--device", choices=["cpu", "cuda"], default="cuda")
    add("--turns", type=int, default=20)
    add("--steps", type=int, default=20, help="steps of a turn; a few, or queues fill up")
    add("--json", type=Path, help="write everything measured to this file")
    args = parser.parse_args()
    found, failed = {}, False
    for name in args.work or ["mnist_fc"]:
        work = WORKS[name]
        if args.batch:
            work = dataclasses.replace(work, batch=args.batch)
        told = found[name] = measure(workloads.prepare(work), args.device, args.turns, args.steps)
        show(name, told)
        # the aim is for the report to judge; that steps are replayed at all is a matter of right
        failed |= args.device == "cuda" and not told["replayed"]
    if args.json:
        args.json.parent.mkdir(parents=True, exist_ok=True)
        content = {"machine": machine(), "device": args.device, "works": found}
        args.json.write_text(json.dumps(content, indent=1) + "\n")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
