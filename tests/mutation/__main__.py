"""Which small mistakes in snnr would the tests notice? From the root of a checkout:

    pip install coverage
    python -m tests.mutation [GROUP ...] [--sample 600] [--seed 0] [--out FOLDER]
    python -m tests.mutation --again FOLDER --tests FILE ... --out OTHER

Groups of rooms, and the tests that know them, are in `rooms.py`; the sample is one of all. Every
test is run once under coverage. Then each mutant, a file of snnr with one small change in it, is
tried with the tests that run the changed statement, the quick ones first, until one fails. Kernels
are left out: Numba compiles them anew for each change. `--again` tries those again that were not
caught before. Outcomes are written line by line: Ctrl-C loses none.
"""

import argparse
import json
import os
import random
import sys
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
from .report import outcomes, show
from .rooms import GROUPS, files, group
from .session import OPTIONS, PATIENCE, Outcome, Session, Tests, in_fork

ROOT = Path(__file__).resolve().parents[2]


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
    parser.add_argument("groups", nargs="*", default=[*GROUPS], help=", ".join(GROUPS))
    parser.add_argument("--sample", type=int, default=600, help="mutants of all groups together")
    parser.add_argument("--most", type=int, help="of each group; the first of the sample")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--patience", type=float, default=PATIENCE, help="seconds for a mutant")
    parser.add_argument("--again", type=Path, help="folder of a run whose survivors are tried")
    parser.add_argument("--tests", nargs="+", default=[], help="with these alone, at once")
    parser.add_argument("--out", type=Path, default=Path("mutation"))
    given = parser.parse_args()
    os.chdir(ROOT)
    if given.again is not None:
        chosen = survivors(given.again)
    else:
        everything = [mutants(ROOT, name) for name in files(ROOT)]
        chosen = sample(everything, given.sample, given.seed)
        print(f"{len(chosen)} of {sum(map(len, everything))} mutants", file=sys.stderr)
    given.out.mkdir(parents=True, exist_ok=True)
    if given.tests:
        attempt_all(chosen, given.tests, given.out.resolve() / "some", given.patience)
    for name in given.groups if not given.tests else ():
        some = [mutant for mutant in chosen if group(mutant.path) == name][: given.most]
        tests = [f"tests/{test}" for test in GROUPS[name][1]]
        if some:
            attempt_all(some, tests, given.out.resolve() / name, given.patience)
    print(show(given.out))
    return 0


def attempt_all(chosen: list[Mutant], tests: list[str], out: Path, patience: float) -> None:
    """Try mutants with some tests; `out` begins the names of what is written."""
    rows, known = out.with_suffix(".jsonl"), out.with_suffix(".tests.json")
    rows.write_text("")
    known.unlink(missing_ok=True)
    # a folder that no other session of pytest cleans up
    options = [*OPTIONS, f"--basetemp={out.with_suffix('.tmp')}"]
    done = set()

    def tell(mutant: Mutant | None, outcome: Outcome) -> None:
        row = {**(asdict(mutant) if mutant else {"path": ""}), **asdict(outcome)}
        with rows.open("a") as file:
            file.write(json.dumps(row) + "\n")

    def work(_: object) -> int:
        in_bodies = (mutant for mutant in chosen if mutant.function)
        plugin = Session(ROOT, in_bodies, known, tell, patience)
        return int(pytest.main([*options, *tests], plugins=[plugin]))

    # in a fork, so that this process stays without snnr
    status, _, _ = in_fork(work, quiet=False, stuck=None)
    if not known.exists():
        raise SystemExit(status or 1)
    found = Tests.load(known)
    for row in map(json.loads, rows.read_text().splitlines()):
        if row["path"] and row["outcome"] != "unplaced":
            done.add(_mutant(row))
    for mutant in chosen:
        if mutant not in done:
            tell(mutant, attempt(ROOT, mutant, found, patience, options))


def survivors(path: Path) -> list[Mutant]:
    """The mutants of a run that no test caught."""
    return [_mutant(row) for row in outcomes(path) if row["outcome"] != "caught"]


def _mutant(row: dict[str, object]) -> Mutant:
    function = row["function"]
    return Mutant(
        **{key: row[key] for key in ("path", "line", "column", "what")},  # type: ignore[arg-type]
        function=tuple(function) if function else None,  # type: ignore[arg-type]
        lines=tuple(row["lines"]),  # type: ignore[arg-type]
    )


if __name__ == "__main__":
    sys.exit(main())
