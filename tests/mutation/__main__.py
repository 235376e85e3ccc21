"""Which small mistakes in snnr would the tests notice? From the root of a checkout:

    pip install coverage
    python -m tests.mutation [PATH ...] [--sample 600] [--seed 0] [--tests FILE ...] [--out FOLDER]
    python -m tests.mutation --again FOLDER/outcomes.jsonl --tests FILE ... --out OTHER

Every test is run once under coverage. Then each mutant of the sample, a file of snnr with one
small change in it, is tried with the tests that run the changed statement, the quick ones first,
until one fails. Kernels are left out: Numba compiles them anew for each change. `--again` tries
those again that were not caught before. Outcomes are written line by line: Ctrl-C loses none.
"""

import argparse
import json
import os
import random
import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

# before Numba is imported: the layer that survives every fork, without a pool to make in each
os.environ.update(NUMBA_THREADING_LAYER="workqueue", NUMBA_NUM_THREADS="1")

import click  # noqa: F401  what the forks need not import again
import h5py  # noqa: F401
import numba  # noqa: F401
import numpy  # noqa: F401
import pytest
import scipy.sparse  # noqa: F401

from .imports import attempt
from .mutants import Mutant, mutants
from .report import show
from .session import OPTIONS, PATIENCE, Outcome, Session, Tests, in_fork

ROOT = Path(__file__).resolve().parents[2]
#: tests that start processes, which know nothing of a mutant, or are about kernels
LEFT_OUT = (
    "benchmarks", "cli/test_process.py", "cuda", "defects/test_installed.py", "kernels", "mutation",
    "sparse/test_processes.py", "sweep/test_dask.py", "test_cache.py", "test_concurrency.py",
    "test_examples.py", "test_flat.py", "test_fork.py", "test_packaging.py", "test_structure.py",
    "test_threads.py", "trust",
)  # fmt: skip


def files(paths: list[str]) -> list[str]:
    """Files of snnr without kernels, below one of the paths."""
    found = []
    for path in sorted((ROOT / "snnr").rglob("*.py")):
        name = path.relative_to(ROOT).as_posix()
        if "/kernels/" not in name and any(name.startswith(start) for start in paths):
            found.append(name)
    return found


def sample(everything: list[list[Mutant]], count: int, seed: int) -> list[Mutant]:
    """`count` mutants, of each file as many as its share of all, give or take one; in an order of
    which every beginning is a sample too."""
    rng = random.Random(seed)
    row = [mutant for of_file in everything for mutant in rng.sample(of_file, len(of_file))]
    step = len(row) / min(count, len(row))
    start = rng.random() * step
    taken = [row[int(start + number * step)] for number in range(min(count, len(row)))]
    rng.shuffle(taken)
    return taken


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.mutation")
    parser.add_argument("paths", nargs="*", default=["snnr"], help="files and folders to change")
    parser.add_argument("--sample", type=int, default=600, help="mutants")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--patience", type=float, default=PATIENCE, help="seconds for a mutant")
    parser.add_argument("--tests", nargs="+", default=["tests"], help="tests to try them with")
    parser.add_argument("--again", type=Path, help="outcomes, of which the survivors are tried")
    parser.add_argument("--out", type=Path, default=Path("mutation"))
    given = parser.parse_args()
    os.chdir(ROOT)
    if given.again is not None:
        chosen = survivors(given.again)
    else:
        everything = [mutants(ROOT, name) for name in files(given.paths)]
        chosen = sample(everything, given.sample, given.seed)
        print(f"{len(chosen)} of {sum(map(len, everything))} mutants", file=sys.stderr)
    given.out.mkdir(parents=True, exist_ok=True)
    outcomes, known = given.out / "outcomes.jsonl", given.out / "tests.json"
    outcomes.write_text("")
    done: set[str] = set()

    def tell(mutant: Mutant | None, outcome: Outcome) -> None:
        row = {**(asdict(mutant) if mutant else {"path": ""}), **asdict(outcome)}
        with outcomes.open("a") as file:
            file.write(json.dumps(row) + "\n")

    def in_bodies() -> Iterator[Mutant]:
        return (mutant for mutant in chosen if mutant.function)

    left_out = [f"--ignore={ROOT / 'tests' / name}" for name in LEFT_OUT]

    def work(_: object) -> int:
        plugin = Session(ROOT, in_bodies(), known, tell, given.patience)
        return int(pytest.main([*OPTIONS, *left_out, *given.tests], plugins=[plugin]))

    # in a fork, so that this process stays without snnr
    status, _, _ = in_fork(work, quiet=False, stuck=None)
    if not known.exists():
        return status or 1
    tests = Tests.load(known)
    for row in map(json.loads, outcomes.read_text().splitlines()):
        if row["path"] and row["outcome"] != "unplaced":
            done.add(str(_mutant(row)))
    for mutant in chosen:
        if str(mutant) not in done:
            tell(mutant, attempt(ROOT, mutant, tests, given.patience))
    print(show(outcomes))
    return 0


def survivors(path: Path) -> list[Mutant]:
    """The mutants of a file of outcomes that no test caught."""
    rows = map(json.loads, path.read_text().splitlines())
    return [_mutant(row) for row in rows if row["path"] and row["outcome"] != "caught"]


def _mutant(row: dict[str, object]) -> Mutant:
    function = row["function"]
    return Mutant(
        **{key: row[key] for key in ("path", "line", "column", "what")},  # type: ignore[arg-type]
        function=tuple(function) if function else None,  # type: ignore[arg-type]
        lines=tuple(row["lines"]),  # type: ignore[arg-type]
    )


if __name__ == "__main__":
    sys.exit(main())
