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
from record import Record, far, gradient_error, wrong_update
from reference import records
from report import densities, machine, mib, number, summary, table

# timed steps in one turn: a turn lasts some tenths of a second, or one step
STEPS_A_TURN = {"mnist_fc": 20, "csnn": 3, "cifar10_conv": 1}
ROUNDS = {"mnist_fc": 15, "csnn": 10, "cifar10_conv": 5}
# steps before the first timed one: compilers, allocators and buffers settle
WARM_UP = {"mnist_fc": 10, "csnn": 2, "cifar10_conv": 1}

# the first step in float64 and in float32 PyTorch, where there is PyTorch
References = tuple[Record, Record] | None


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
    add("--unchecked", action="store_true", help="make no float64 reference (memory, B=16)")
    add("--patience", type=float, default=0, help="seconds to spend on repeating disturbed turns")
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
    work: Work, path: Path, args: argparse.Namespace, cpus: set[int], notes: list[str]
) -> tuple[list[Process], Quiet]:
    """Run the contenders and return them with what they told."""
    rounds = args.rounds or ROUNDS[work.name]
    chosen, left_out = pick(args.peer, work.name, args.peer_python)
    notes += left_out
    chosen = [(name, python) for name, python in chosen if name not in args.without]
    quiet = Quiet()
    finished: list[Process] = []

    def run(together: list[Process]) -> None:
        patience_ends = time.perf_counter() + args.patience
        for _ in range(rounds):
            for process in together:
                others = [p for p in together if p is not process]
                times, part = turn(process, others, STEPS_A_TURN[work.name], cpus)
                while part.disturbed() and time.perf_counter() < patience_ends:
                    quiet.discarded += 1
                    time.sleep(1)
                    times, part = turn(process, others, STEPS_A_TURN[work.name], cpus)
                process.times += times
                quiet.add(part)
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


@dataclasses.dataclass
class Verdict:
    """Whether a contender's first step is right: ``word`` for the table and what is wrong."""

    word: str
    gradient_error: float | None
    wrong: list[str]


def judge(work: Work, path: Path, known: References, contenders: list[Process]) -> list[Verdict]:
    """Compare every first step with float64 and every update with the rule."""
    start = workloads.load(path).params
    verdicts = []
    for process in contenders:
        assert process.first is not None
        wrong = wrong_update(process.first, start, work)
        word, error = "update only", None
        # the authors' BatchNorm sees each time step by itself, which is another function
        if known and (process.name != "authors" or work.name == "mnist_fc"):
            exact, plain = known
            wrong += far(process.first, exact, plain, work)
            error = gradient_error(process.first, exact)
            word = "yes"
        verdicts.append(Verdict("NO" if wrong else word, error, wrong))
    return verdicts


def show(
    work: Work, contenders: list[Process], verdicts: list[Verdict], quiet: Quiet, notes: list[str]
) -> dict[str, Any]:
    """Print the tables of one work; what was measured as plain data."""
    told: dict[str, Any] = {}
    rows = []
    ours = next((summary(p.times)["median_ms"] for p in contenders if p.name == "snnr"), None)
    for p, verdict in zip(contenders, verdicts, strict=True):
        stats = summary(p.times)
        ratio = stats["median_ms"] / ours if ours else None
        imported = p.ready["imported"]
        rows.append(
            [
                p.name,
                number(stats["median_ms"]),
                f"{number(stats['p10_ms'])}-{number(stats['p90_ms'])}",
                number(stats["min_ms"]),
                f"{ratio:.2f}x" if ratio else "-",
                mib(p.peak),
                mib(p.peak - imported),
                verdict.word,
                "-" if verdict.gradient_error is None else f"{verdict.gradient_error:.1e}",
            ]
        )
        told[p.name] = {
            **stats,
            "ratio_to_snnr": ratio,
            "peak_bytes": p.peak,
            "bytes_after_import": imported,
            "versions": p.ready["versions"],
            "notes": p.ready["notes"],
            "agrees": verdict.word,
            "gradient_error": verdict.gradient_error,
            "wrong": verdict.wrong,
            "first_step": p.first and p.first.brief(),
            "last_step": p.last and p.last.brief(),
            "times_ms": [round(1e3 * t, 4) for t in p.times],
        }
    print(f"\n{work.name}: batch {work.batch}, T={work.timesteps}, training step with Grad R")
    head = ["contender", "median ms", "p10-p90", "min", "peer/snnr", "peak MiB", "less import"]
    print(table([*head, "agrees", "grad. error"], rows))
    first, last = contenders[0].first, contenders[0].last
    assert first is not None
    print(f"fires ({contenders[0].name}): {densities(first.spikes)}")
    if last is not None:
        print(f"fires in the last step: {densities(last.spikes)}")
    print(f"weight layers receive: {densities(first.inputs)}")
    shares = quiet.shares()
    loud = "; NOT QUIET, do not quote" if quiet.disturbed() else ""
    if quiet.discarded:
        notes.append(f"{quiet.discarded} disturbed turns were repeated")
    strangers, waiting = shares["strangers"], shares["waiting"]
    print(f"cores used by strangers {strangers:.2f}, by waiting contenders {waiting:.3f}{loud}")
    for p, verdict in zip(contenders, verdicts, strict=True):
        for words in verdict.wrong:
            print(f"WRONG: {p.name}: {words}")
    for note in notes:
        print(f"note: {note}")
    return {
        "work": dataclasses.asdict(dataclasses.replace(work, layers=())),
        "contenders": told,
        "cores_used_by_others": shares,
        "notes": notes,
    }


def main() -> int:
    """Entry point."""
    args = arguments()
    results: dict[str, Any] = {"machine": machine(), "threads": args.threads, "works": {}}
    failed = False
    cpus = set(sorted(os.sched_getaffinity(0))[: args.threads])
    for name in args.work or list(WORKS):
        work = WORKS[name]
        if args.batch:
            work = dataclasses.replace(work, batch=args.batch)
        path = workloads.prepare(work, args.density)
        notes: list[str] = []
        print(f"{name}: starting", file=sys.stderr)
        known = None if args.unchecked else records(path, args.peer_python, cpus)
        if known is None:
            notes.append("no float64 reference: only the updates are checked")
        contenders, quiet = measure(work, path, args, cpus, notes)
        if not contenders:
            print("\n".join([f"{name}: nothing to measure", *notes]), file=sys.stderr)
            failed = True
            continue
        verdicts = judge(work, path, known, contenders)
        results["works"][name] = show(work, contenders, verdicts, quiet, notes)
        failed |= any(verdict.wrong for verdict in verdicts)
    print(f"\n{results['machine']['cpu']}, {args.threads} cores used")
    if args.json:
        args.json.parent.mkdir(parents=True, exist_ok=True)
        args.json.write_text(json.dumps(results, indent=1) + "\n")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
