"""One training step: snnr beside PyTorch-based frameworks, on the same cores.

    python benchmarks/train_step.py --work mnist_fc --peer-python PATH/TO/PEERS/bin/python

Every contender is a process of its own and gets the same weights and inputs; they take
turns, and the report gives medians, ratios to snnr, what they agree on, the spike density of
every layer, and peak memory. See README.md beside this file.

    python benchmarks/train_step.py --device cuda --work mnist_fc --batch 128 --peer-python ...

On a card each contender runs twice, in strict float32 and with products in TF32.
"""

from __future__ import annotations

import argparse
import contextlib
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
STEPS_A_TURN = {
    "cpu": {"mnist_fc": 20, "csnn": 3, "cifar10_conv": 1},
    "cuda": {"mnist_fc": 100, "csnn": 20, "cifar10_conv": 4},
}
ROUNDS = {
    "cpu": {"mnist_fc": 15, "csnn": 10, "cifar10_conv": 5},
    "cuda": {"mnist_fc": 6, "csnn": 6, "cifar10_conv": 4},
}
# steps before the first timed one: compilers, allocators, buffers and captured graphs settle, and
# snnr has had a look at what was counted on the card
WARM_UP = {
    "cpu": {"mnist_fc": 10, "csnn": 2, "cifar10_conv": 1},
    "cuda": {"mnist_fc": 40, "csnn": 35, "cifar10_conv": 5},
}

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
    add("--device", choices=["cpu", "cuda"], default="cpu", help="where the contenders run")
    add(
        "--products",
        action="append",
        choices=["float32", "tf32"],
        help="on a card: precision of matrix products (default: both)",
    )
    add("--threads", type=int, help="cores to use (default: 2; with a card all)")
    add("--batch", type=int, help="another batch size")
    add("--density", type=float, default=0.1, help="spike density the weights are made for")
    add("--alone", action="store_true", help="one process at a time (for memory, B=16)")
    add("--unchecked", action="store_true", help="make no float64 reference (memory, B=16)")
    add("--patience", type=float, default=0, help="seconds to spend on repeating disturbed turns")
    add("--json", type=Path, help="write everything measured to this file")
    return parser.parse_args()


def begin(name: str, python: str, path: Path, cpus: set[int], device: str, tf32: bool) -> Process:
    """Start a contender and let it take its first step."""
    process = Process(name, python, path, cpus, device, tf32, wait=False)
    with contextlib.suppress(ContenderError):  # told again when the answer is asked for
        process.tell("probe")
    return process


def warm(process: Process, work: Work) -> None:
    """Take the first step's record of a contender and warm it up."""
    begun = time.perf_counter()
    process.ready = process.answer()
    process.first = Record(**process.answer())
    process.steps(WARM_UP[process.device][work.name])
    process.together.clear()
    print(f"  {process.label} ready after {time.perf_counter() - begun:.1f} s", file=sys.stderr)


def finish(process: Process) -> None:
    """Take memory and the last record, then end the process."""
    process.memory = process.ask("memory")
    process.last = process.probe()
    process.close()


def one_turn(process: Process, others: list[Process], count: int, ends: float) -> Quiet:
    """A turn, repeated while it is disturbed and there is time left; its times are kept."""
    cpus, discarded = os.sched_getaffinity(process.process.pid), 0
    while True:
        times, part = turn(process, others, count, cpus)
        if not part.disturbed() or time.perf_counter() >= ends:
            break
        discarded += 1
        process.together = process.together[:-1]
        time.sleep(1)
    process.times += times
    part.discarded = discarded
    return part


def measure(
    work: Work, path: Path, args: argparse.Namespace, cpus: set[int], notes: list[str]
) -> tuple[list[Process], Quiet]:
    """Run the contenders and return them with what they told."""
    device = args.device
    rounds = args.rounds or ROUNDS[device][work.name]
    count = STEPS_A_TURN[device][work.name]
    chosen, left_out = pick(args.peer, work.name, args.peer_python, device)
    notes += left_out
    several = [
        (name, python, tf32)
        for tf32 in precisions(args)
        for name, python in chosen
        if name not in args.without
    ]
    quiet = Quiet()
    finished: list[Process] = []

    def run(together: list[Process]) -> None:
        ends = time.perf_counter() + args.patience
        for _ in range(rounds):
            for process in list(together):
                try:
                    others = [p for p in together if p is not process]
                    quiet.add(one_turn(process, others, count, ends))
                except ContenderError as error:
                    notes.append(f"{process.label}: left out, {error}; its messages are above")
                    together.remove(process)
        for process in together:
            finish(process)
            finished.append(process)

    def attempt(group: list[tuple[str, str, bool]]) -> None:
        # all are started before the first is waited for: compiling takes minutes
        begun = [begin(name, python, path, cpus, device, tf32) for name, python, tf32 in group]
        ready: list[Process] = []
        try:
            for process in begun:
                try:
                    warm(process, work)
                    ready.append(process)
                except ContenderError as error:
                    notes.append(f"{process.label}: left out, {error}; its messages are above")
            run(ready)
        finally:
            for process in begun:
                process.close()

    if args.alone:
        for one in several:
            attempt([one])
    else:
        attempt(several)
    return finished, quiet


def precisions(args: argparse.Namespace) -> list[bool]:
    """Whether products are in TF32, for each way they are to be measured."""
    if args.device == "cpu":
        return [False]
    return [one == "tf32" for one in args.products or ("float32", "tf32")]


@dataclasses.dataclass
class Verdict:
    """Whether a contender's first step is right: ``word`` for the table and what is wrong."""

    word: str
    gradient_error: float | None
    wrong: list[str]


def judge(
    work: Work, path: Path, known: dict[bool, References], contenders: list[Process]
) -> list[Verdict]:
    """Compare every first step with float64 and every update with the rule."""
    start = workloads.load(path).params
    verdicts = []
    for process in contenders:
        assert process.first is not None
        wrong = wrong_update(process.first, start, work)
        word, error = "update only", None
        reference = known[process.tf32]
        # the authors' BatchNorm sees each time step by itself, which is another function
        if reference and (process.name != "authors" or work.name == "mnist_fc"):
            exact, plain = reference
            wrong += far(process.first, exact, plain, work, process.tf32)
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
    card = contenders[0].device == "cuda"
    ours = {p.tf32: summary(p.quoted)["median_ms"] for p in contenders if p.name == "snnr"}
    for p, verdict in zip(contenders, verdicts, strict=True):
        stats = summary(p.quoted)
        waited = summary(p.times)
        ratio = stats["median_ms"] / ours[p.tf32] if p.tf32 in ours else None
        imported = p.ready["imported"]
        peak = p.memory["peak"]
        rows.append(
            [
                p.name,
                *([("TF32" if p.tf32 else "float32")] if card else []),
                number(stats["median_ms"]),
                f"{number(stats['p10_ms'])}-{number(stats['p90_ms'])}",
                number(waited["median_ms"] if card else stats["min_ms"]),
                f"{ratio:.2f}x" if ratio else "-",
                mib(peak),
                mib(p.memory["reserved"] if card else peak - imported),
                verdict.word,
                "-" if verdict.gradient_error is None else f"{verdict.gradient_error:.1e}",
            ]
        )
        told[p.label] = {
            **stats,
            "products": "tf32" if p.tf32 else "float32",
            "ratio_to_snnr": ratio,
            "peak_bytes": peak,
            "bytes_after_import": imported,
            "versions": p.ready["versions"],
            "notes": p.ready["notes"],
            "agrees": verdict.word,
            "gradient_error": verdict.gradient_error,
            "wrong": verdict.wrong,
            "first_step": p.first and p.first.brief(),
            "last_step": p.last and p.last.brief(),
            "times_ms": [round(1e3 * t, 4) for t in p.quoted],
        }
        if card:
            told[p.label]["reserved_bytes"] = p.memory["reserved"]
            told[p.label]["waited"] = waited
    print(f"\n{work.name}: batch {work.batch}, T={work.timesteps}, training step with Grad R")
    head = ["contender", "median ms", "p10-p90", "min", "peer/snnr", "peak MiB", "less import"]
    if card:
        head[1:] = ["products", "median ms", "p10-p90", "each waited for", "peer/snnr"]
        head += ["peak MiB", "reserved"]
    print(table([*head, "agrees", "grad. error"], rows))
    if card:
        print("median ms: a turn of many steps that is waited for once, divided by the steps")
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
            print(f"WRONG: {p.label}: {words}")
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
    available = sorted(os.sched_getaffinity(0))
    threads = args.threads or (2 if args.device == "cpu" else len(available))
    results: dict[str, Any] = {
        "machine": machine(),
        "device": args.device,
        "threads": threads,
        "works": {},
    }
    failed = False
    cpus = set(available[:threads])
    for name in args.work or list(WORKS):
        work = WORKS[name]
        if args.batch:
            work = dataclasses.replace(work, batch=args.batch)
        path = workloads.prepare(work, args.density)
        notes: list[str] = []
        print(f"{name}: starting", file=sys.stderr)
        known: dict[bool, References] = {
            tf32: None
            if args.unchecked
            else records(path, args.peer_python, cpus, args.device, tf32)
            for tf32 in precisions(args)
        }
        if None in known.values():
            notes.append("no float64 reference: only the updates are checked")
        contenders, quiet = measure(work, path, args, cpus, notes)
        if not contenders:
            print("\n".join([f"{name}: nothing to measure", *notes]), file=sys.stderr)
            failed = True
            continue
        verdicts = judge(work, path, known, contenders)
        results["works"][name] = show(work, contenders, verdicts, quiet, notes)
        failed |= any(verdict.wrong for verdict in verdicts)
    print(f"\n{results['machine']['cpu']}, {threads} cores used")
    if args.json:
        args.json.parent.mkdir(parents=True, exist_ok=True)
        args.json.write_text(json.dumps(results, indent=1) + "\n")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
