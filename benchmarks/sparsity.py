"""How the time of snnr's training step follows connectivity and spike density.

    python benchmarks/sparsity.py [--work csnn --work mnist_fc] [--json FILE] [--png FILE]

Connectivity: theta is lowered until the wanted share of weights is above zero; the prior is off
and the learning rate tiny, so that it stays. The first convolution, of few weights, stays whole.
Beside Grad R, which needs the gradients of all weights, runs a method that asks for those of its
connections alone (``--method set``), and a dense step with Adam. No step rewires: what that costs
every so many steps is not in it.
Density: the BatchNorm shift (or the scale of the weights) is chosen so that every layer fires
that often. With ``--peer eager`` a dense PyTorch contender runs beside snnr, which shows what
does not follow sparsity.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import workload as workloads
from harness import Process, Quiet, pick, turn
from networks import WORKS, Work
from report import machine, number, summary, table
from sparsity_chart import draw

from snnr.errors import ConfigError

CONNECTIVITY = (1.0, 0.5, 0.2, 0.1, 0.05, 0.02, 0.01)
DENSITY = (0.02, 0.05, 0.1, 0.2, 0.4)
STEPS_A_TURN = {"mnist_fc": 20, "csnn": 3, "cifar10_conv": 1}


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--work", action="append", choices=list(WORKS), help="default: csnn and mnist_fc")
    add("--method", action="append", help="beside Grad R, along connectivity; default: set")
    add("--batch", type=int, help="samples per step instead of the work's")
    add("--peer", action="append", default=[], help="dense contender to run beside snnr")
    add("--peer-python", default=sys.executable, help="interpreter that has the peers")
    add("--rounds", type=int, default=6, help="turns of every point, which alternate")
    add("--threads", type=int, default=2, help="cores to use")
    add("--patience", type=float, default=0, help="seconds a curve may repeat disturbed turns")
    add("--json", type=Path, help="write everything measured to this file")
    add("--png", type=Path, help="draw a chart (needs matplotlib)")
    return parser.parse_args()


def curve(
    work: Work, points: list[tuple[str, float, float]], args: argparse.Namespace, cpus: set[int]
) -> list[dict[str, Any]]:
    """Step times of snnr (by a method's name) and of the peers at each (method, density,
    connectivity), all of them in turns: the machine's speed drifts, and a point is worth what it is
    beside the others."""
    # a folder of its own: a dozen workloads are too much for the cache
    folder = tempfile.TemporaryDirectory()
    processes: list[tuple[Process, float, float]] = []
    quiet = Quiet()
    told = []
    try:
        peers, notes = pick(args.peer, work.name, args.peer_python) if args.peer else ([], [])
        for note in notes:
            print(f"note: {note}", file=sys.stderr)
        for method, density, connectivity in points:
            mine = "snnr" if method == "grad-r" else f"snnr-{method}"
            chosen = [(mine, sys.executable), *(peers if method == "grad-r" else [])]
            path = workloads.prepare(work, density, connectivity, Path(folder.name))
            for name, python in chosen:
                process = Process(name, python, path, cpus)
                processes.append((process, density, connectivity))
                process.first = process.probe()
                process.steps(2)
            path.unlink()
        ends = time.perf_counter() + args.patience
        for _ in range(args.rounds):
            for process, *_ in processes:
                others = [p for p, *_ in processes if p is not process]
                times, part = turn(process, others, STEPS_A_TURN[work.name], cpus)
                while part.disturbed() and time.perf_counter() < ends:
                    time.sleep(1)
                    times, part = turn(process, others, STEPS_A_TURN[work.name], cpus)
                process.times += times
                quiet.add(part)
        for process, density, connectivity in processes:
            last = process.probe()
            told.append(
                {
                    "contender": process.name,
                    "density": density,
                    "connectivity": connectivity,
                    **summary(process.times),
                    "spikes": last.spikes,
                    "inputs": last.inputs,
                    "connectivity_at_end": last.connectivity,
                    "cores_used_by_others": quiet.shares(),
                }
            )
    finally:
        for process, *_ in processes:
            process.close()
        folder.cleanup()
    return told


def show(work: Work, along: str, points: list[dict[str, Any]]) -> None:
    """Print one series as a table; "faster" is beside the dense step where there is one, else
    beside the first point of the same contender."""
    rows = []
    first = {p["contender"]: p["median_ms"] for p in reversed(points)}
    dense = first.get("snnr-dense")
    for p in points:
        fires = p["spikes"].values()
        rows.append(
            [
                p["contender"],
                f"{100 * p['connectivity']:g} %",
                f"{100 * p['connectivity_at_end']:.2f} %",
                f"{100 * min(fires):.0f}-{100 * max(fires):.0f} %",
                number(p["median_ms"]),
                f"{number(p['p10_ms'])}-{number(p['p90_ms'])}",
                f"{(dense or first[p['contender']]) / p['median_ms']:.2f}x",
                "yes" if max(p["cores_used_by_others"].values()) <= 0.1 else "NO",
            ]
        )
    print(f"\n{work.name}: batch {work.batch}, T={work.timesteps}, against {along}")
    head = ["contender", "weights", "at the end", "layers fire", "median ms", "p10-p90"]
    print(table([*head, "faster", "quiet"], rows), flush=True)


def main() -> int:
    """Entry point."""
    args = arguments()
    cpus = set(sorted(os.sched_getaffinity(0))[: args.threads])
    series: dict[str, dict[str, list[dict[str, Any]]]] = {}
    for name in args.work or ["csnn", "mnist_fc"]:
        # weights hardly move: connectivity and density stay what they were made to be
        work = dataclasses.replace(WORKS[name], lr=1e-8, prior=0.0)
        kinds: dict[str, list[dict[str, Any]]] = {"connectivity": [], "density": []}
        series[name] = kinds
        if args.batch:
            work = dataclasses.replace(work, batch=args.batch)
        along = [(m, 0.1, c) for c in CONNECTIVITY for m in ("grad-r", *(args.method or ["set"]))]
        kinds["connectivity"] = curve(work, [("dense", 0.1, 1.0), *along], args, cpus)
        show(work, "connectivity", kinds["connectivity"])
        kinds["density"] = curve(work, [("grad-r", d, 1.0) for d in DENSITY], args, cpus)
        show(work, "spike density", kinds["density"])
    if args.json:
        args.json.parent.mkdir(parents=True, exist_ok=True)
        content = {"machine": machine(), "threads": args.threads, "works": series}
        args.json.write_text(json.dumps(content, indent=1) + "\n")
    if args.png:
        try:
            draw(series, args.png)
        except ConfigError as error:
            print(f"{args.png} not drawn: {error}", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
