"""One training step: snnr beside PyTorch-based frameworks, on the same cores.

    python benchmarks/train_step.py --work mnist_fc --peer-python PATH/TO/PEERS/bin/python

Every contender is a process of its own and gets the same weights and inputs; they take
turns, and the report gives medians, ratios to snnr, what they agree on, the spike density of
every layer, and peak memory. See README.md beside this file.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import workload as workloads
from harness import ContenderError, Process, Quiet, pick, turn
from networks import WORKS, Work
from record import TOLERANCES, disagreements
from report import densities, machine, mib, number, summary, table

# timed steps in one turn: a turn lasts some tenths of a second, or one step
STEPS_A_TURN = {"mnist_fc": 20, "csnn": 3, "cifar10_conv": 1}
ROUNDS = {"mnist_fc": 15, "csnn": 10, "cifar10_conv": 5}
# steps before the first timed one: compilers, allocators and buffers settle
WARM_UP = {"mnist_fc": 10, "csnn": 2, "cifar10_conv": 1}


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--work", action="append", choices=list(WORKS), help="work to run (default: all)")
    add("--peer", action="append", default=[], help="contender to run (default: snnr and all)")
    add("--without", action="append", default=[], help="contender to leave out")
    add("--peer-python", default=sys.executable, help="interpreter that has the peers")
    add("--rounds", type=int, help="turns of every contender")
    add("--threads", type=int, default=2, help="cores to use")
    add("--batch", type=int, help="another batch size")
    add("--density", type=float, default=0.1, help="spike density the weights are made for")
    add("--alone", action="store_true", help="one process at a time (for memory, B=16)")
    add("--json", type=Path, help="write everything measured to this file")
    return parser.parse_args()


def start(name: str, python: str, path: Path, cpus: set[int], work: Work) -> Process:
    """Start a contender, take its first step's record and warm it up."""
    begun = time.perf_counter()
    process = Process(name, python, path, cpus)
    process.first = process.probe()
    process.steps(WARM_UP[work.name])
    print(f"  {name} ready after {time.perf_counter() - begun:.1f} s", file=sys.stderr)
    return process


def finish(process: Process) -> None:
    """Take memory and the last record, then end the process."""
    process.peak = process.ask("memory")["peak"]
    process.last = process.probe()
    process.close()


def measure(
    work: Work, path: Path, args: argparse.Namespace, notes: list[str]
) -> tuple[list[Process], Quiet]:
    """Run the contenders and return them with what they told."""
    cpus = set(sorted(os.sched_getaffinity(0))[: args.threads])
    rounds = args.rounds or ROUNDS[work.name]
    chosen, left_out = pick(args.peer, work.name, args.peer_python)
    notes += left_out
    chosen = [(name, python) for name, python in chosen if name not in args.without]
    quiet = Quiet()
    finished: list[Process] = []

    def run(together: list[Process]) -> None:
        for _ in range(rounds):
            for process in together:
                others = [p for p in together if p is not process]
                part = turn(process, others, STEPS_A_TURN[work.name], cpus)
                quiet.wall += part.wall
                quiet.strangers += part.strangers
                quiet.waiting += part.waiting
        for process in together:
            finish(process)
            finished.append(process)

    together: list[Process] = []
    try:
        for name, python in chosen:
            try:
                together.append(start(name, python, path, cpus, work))
            except ContenderError as error:
                notes.append(f"{name}: left out, {error}; its messages are above")
                continue
            if args.alone:
                run(together)
                together.clear()
        run(together)
    finally:
        for process in together:
            process.close()
    return finished, quiet


def agreement(work: Work, contenders: list[Process]) -> dict[str, list[str]]:
    """Differences of every contender from the reference (eager, else the first)."""
    names = [p.name for p in contenders]
    reference = contenders[names.index("eager") if "eager" in names else 0].first
    assert reference is not None
    found = {}
    for process in contenders:
        assert process.first is not None
        limit = TOLERANCES[work.name]
        found[process.name] = disagreements(process.first, reference, work.lr, limit)
        if process.name == "authors" and work.name != "mnist_fc":
            found[process.name] = ["BatchNorm over each time step by itself: not compared"]
    return found


def show(work: Work, contenders: list[Process], quiet: Quiet, notes: list[str]) -> dict[str, Any]:
    """Print the tables of one work; what was measured as plain data."""
    stats = {p.name: summary(p.times) for p in contenders}
    ours = stats.get("snnr")
    differences = agreement(work, contenders)
    rows = []
    for p in contenders:
        s = stats[p.name]
        ratio = f"{s['median_ms'] / ours['median_ms']:.2f}x" if ours else "-"
        agrees = "differs" if differences[p.name] else "yes"
        if p.name == "authors" and work.name != "mnist_fc":
            agrees = "n/a"
        spread = f"{number(s['p10_ms'])}-{number(s['p90_ms'])}"
        memory = f"{mib(p.peak)} (+{mib(p.peak - p.ready['before'])})"
        median = number(s["median_ms"])
        rows.append([p.name, median, spread, number(s["min_ms"]), ratio, memory, agrees])
    print(f"\n{work.name}: batch {work.batch}, T={work.timesteps}, training step with Grad R")
    head = ["contender", "median ms", "p10-p90", "min", "peer/snnr", "peak MiB", "agrees"]
    print(table(head, rows))
    first, last = contenders[0].first, contenders[0].last
    assert first is not None and last is not None
    print(f"fires ({contenders[0].name}):       {densities(first.spikes)}")
    print(f"fires, at the end:   {densities(last.spikes)}")
    print(f"layers receive:      {densities(first.inputs)}")
    shares = quiet.shares()
    print(
        f"while measuring, other processes used {shares['strangers']:.2f} cores, "
        f"waiting contenders {shares['waiting']:.3f}"
        + ("; NOT QUIET, do not quote" if shares["strangers"] > 0.1 else "")
    )
    for name, words in differences.items():
        for difference in words:
            print(f"note: {name}: {difference}")
    for note in notes:
        print(f"note: {note}")
    return {
        "work": dataclasses.asdict(dataclasses.replace(work, layers=())),
        "contenders": {
            p.name: {
                **stats[p.name],
                "ratio_to_snnr": stats[p.name]["median_ms"] / ours["median_ms"] if ours else None,
                "peak_bytes": p.peak,
                "bytes_before_first_step": p.ready["before"],
                "versions": p.ready["versions"],
                "notes": p.ready["notes"],
                "differences": differences[p.name],
                "first_step": brief(p.first),
                "last_step": brief(p.last),
                "times_ms": [round(1e3 * t, 4) for t in p.times],
            }
            for p in contenders
        },
        "cores_used_by_others": shares,
        "notes": notes,
    }


def brief(record: Any) -> dict[str, Any]:
    """A record without its sampled weights."""
    return {k: v for k, v in dataclasses.asdict(record).items() if k != "weights"}


def main() -> int:
    """Entry point."""
    args = arguments()
    results: dict[str, Any] = {"machine": machine(), "threads": args.threads, "works": {}}
    failed = False
    for name in args.work or list(WORKS):
        work = WORKS[name]
        if args.batch:
            work = dataclasses.replace(work, batch=args.batch)
        path = workloads.prepare(work, args.density)
        notes: list[str] = []
        print(f"{name}: starting", file=sys.stderr)
        contenders, quiet = measure(work, path, args, notes)
        if not contenders:
            print("\n".join([f"{name}: nothing to measure", *notes]), file=sys.stderr)
            failed = True
            continue
        results["works"][name] = show(work, contenders, quiet, notes)
    print(f"\n{results['machine']['cpu']}, {args.threads} cores used")
    if args.json:
        args.json.parent.mkdir(parents=True, exist_ok=True)
        args.json.write_text(json.dumps(results, indent=1) + "\n")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
