"""The whole harness, by one command, from the root of a checkout:

    python -m tests.trust [--inputs 20000] [--kills 100] [--levels 100] [--seed 0] [--only WORD]

It takes hours with the figures that are given here, and prints a table. The suite runs a small part
of it (`test_quick.py`).
"""

import argparse
import os
import signal
import sys
import time
from collections.abc import Callable

# the checkout has a folder `snnr` that is not the whole package; the installed one is meant
sys.path[:] = [entry for entry in sys.path if os.path.abspath(entry) != os.getcwd()]

from . import faults  # noqa: E402
from .fuzz import fuzz  # noqa: E402
from .samples import FORMATS  # noqa: E402
from .table import Row, show  # noqa: E402


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.trust")
    parser.add_argument("--inputs", type=int, default=20_000, help="mutated files per format")
    parser.add_argument("--kills", type=int, default=100, help="SIGKILLs per training")
    parser.add_argument("--levels", type=int, default=100, help="levels of a full disk")
    parser.add_argument("--signals", type=int, default=30, help="signals in a training")
    parser.add_argument("--doubles", type=int, default=10, help="pairs of processes")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", default="", help="parts with this word in their name")
    given = parser.parse_args()
    # a shell has its background jobs ignore Ctrl-C, and their trainings would ignore it too
    signal.signal(signal.SIGINT, signal.default_int_handler)
    parts: dict[str, Callable[[], Row]] = {"disk": lambda: faults.disk(given.levels)}
    for name in FORMATS:
        parts[f"fuzz {name}"] = lambda name=name: fuzz(name, given.inputs, given.seed)
    for name in faults.TRAININGS:
        parts[f"kills {name}"] = lambda name=name: faults.kills(name, given.kills, given.seed)
    parts["signals"] = lambda: faults.signals(given.signals, given.seed)
    parts["doubles"] = lambda: faults.doubles(given.doubles)
    rows = []
    for name, part in parts.items():
        if given.only in name:
            started = time.monotonic()
            rows.append(part())
            took = time.monotonic() - started
            print(f"{name}: {len(rows[-1].failures)} failures, {took:.0f} s", file=sys.stderr)
            for text in rows[-1].failures:
                print(f"  {text}", file=sys.stderr)
    print(show(rows) if rows else "nothing has such a name")
    return 1 if not rows or any(row.failures for row in rows) else 0


if __name__ == "__main__":
    sys.exit(main())
