"""A coverage-guided fuzz of the readers, with atheris (which the tests do not need), from the root
of a checkout:

    python -m venv guided && guided/bin/pip install . atheris
    guided/bin/python -m tests.trust.guided [FORMAT ...] [--seconds 600] [--corpus FOLDER]

Inputs that reach a new part of the readers are kept and changed further, byte by byte; others are
made from a sound file by the mutations of the harness (not from a damaged one: that goes through
calls of the HDF5 library that no reader makes, one of which once ended in a double free). Prints a
table; what made a reader fail lies in the folder of the corpus.
"""

import argparse
import faulthandler
import gzip
import importlib.util
import math
import os
import re
import resource
import signal
import subprocess
import sys
import tempfile
import time
import warnings
import zlib
from pathlib import Path
from typing import Any

# the checkout has a folder `snnr` that is not the whole package; the installed one is meant
sys.path[:] = [entry for entry in sys.path if os.path.abspath(entry) != os.getcwd()]

try:
    import atheris
except ImportError:
    sys.exit("there is no atheris here: install it into an environment of its own, see above")

#: packages that are watched: readers, and what of the standard library they read by
READERS = ["snnr", "zipfile", "tarfile"]
_ROOT = Path(importlib.util.find_spec("snnr").origin).parent  # type: ignore[union-attr, arg-type]
#: what Numba compiles, which it could not with a watch in it
_COMPILED = [
    ".".join(("snnr", *path.relative_to(_ROOT).with_suffix("").parts)).removesuffix(".__init__")
    for path in _ROOT.joinpath("kernels").rglob("*.py")
]
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    with atheris.instrument_imports(include=READERS, exclude=_COMPILED):
        from snnr import SnnrError

        from .mutations import mutate, mutate_bytes
        from .samples import FORMATS

from .patience import ended  # noqa: E402
from .table import Row, show  # noqa: E402

#: MiB, what any file may ask for and the program with it; seconds of CPU time for one input
_MEMORY, _CPU = 2500, 30.0


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.trust.guided")
    parser.add_argument("formats", nargs="*", metavar="FORMAT", help=", ".join(FORMATS))
    parser.add_argument("--seconds", type=int, default=600, help="of CPU time, for each format")
    parser.add_argument("--corpus", type=Path, help="folder of inputs, kept for the next time")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    given, rest = parser.parse_known_args()
    unknown = set(given.formats) - set(FORMATS)
    if unknown or (rest and not given.child):
        parser.error(f"unknown: {', '.join([*unknown, *rest])}")
    if given.child:
        _fuzz(given.formats[0], given.seconds, rest)
    with tempfile.TemporaryDirectory() as folder:
        kept = given.corpus or Path(folder)
        rows = [
            guided(name, given.seconds, given.seed, kept / name.replace(" ", "-"))
            for name in given.formats or FORMATS
        ]
    print(show(rows))
    return 1 if any(row.failures for row in rows) else 0


def guided(name: str, seconds: int, seed: int, corpus: Path) -> Row:
    """Fuzz one format, again and again after what made it end, until the time is over."""
    row = Row(f"guided: {name}")
    corpus.mkdir(parents=True, exist_ok=True)
    form = FORMATS[name]
    with tempfile.TemporaryDirectory() as folder:
        form.write(Path(folder) / form.file)
        (corpus / "sound").write_bytes((Path(folder) / form.file).read_bytes())
    begun = _cpu_of_children()
    while (left := int(seconds + begun - _cpu_of_children())) > 0 and len(row.failures) < 20:
        done = subprocess.Popen(
            [sys.executable, "-m", __spec__.name, name, "--child", "--seconds", str(left),
             str(corpus), f"-seed={seed + len(row.failures)}", "-print_final_stats=1",
             f"-rss_limit_mb={_MEMORY}", "-timeout=1000000", "-max_len=200000",
             "-len_control=0", f"-artifact_prefix={corpus}-failed-"],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, errors="replace",
        )  # fmt: skip
        told = "".join(ended(done, left + 600, most=math.inf))
        row.count += sum(map(int, re.findall(r"number_of_executed_units: (\d+)", told)))
        reached = re.findall(r"cov: (\d+) ft: (\d+) corp: (\d+)", told)
        if reached:
            row.outcomes["places in the code"] = int(reached[-1][0])
            row.outcomes["inputs kept"] = int(reached[-1][2])
        if done.returncode != 0:
            row.fail(f"exit {done.returncode}: {' '.join(told.split())[-1500:]}")
            if not reached:
                break  # it does not even start
    row.outcomes["seconds of CPU time"] = round(_cpu_of_children() - begun)
    return row


def _cpu_of_children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _fuzz(name: str, seconds: float, options: list[str]) -> None:
    """The child: never returns."""
    warnings.simplefilter("ignore")
    form = FORMATS[name]
    folder = Path(f"{options[0]}-last")  # what was read last stays there
    folder.mkdir(exist_ok=True)
    path = folder / form.file
    form.write(path)
    sound = path.read_bytes()

    executed = 0
    faulthandler.register(signal.SIGPROF, chain=True)  # says where, then ends the process

    def one(content: bytes) -> None:
        nonlocal executed
        executed += 1
        if time.process_time() > seconds:
            print(f"number_of_executed_units: {executed}", file=sys.stderr, flush=True)
            os._exit(0)
        path.write_bytes(content)
        signal.setitimer(signal.ITIMER_PROF, _CPU)
        try:
            form.read(path)
        except SnnrError as error:
            text = str(error)
            if not text.isprintable():
                raise AssertionError(f"unprintable: {text!r}") from None

    def change(content: bytes, longest: int, seed: int) -> Any:
        if not content or seed % 2:
            return _inside(content, longest) if seed % 4 == 1 else atheris.Mutate(content, longest)
        if seed % 4:
            return mutate(name, sound, seed >> 2, 0)[0][:longest]
        return mutate_bytes(content, seed >> 2)[:longest]

    atheris.Setup([sys.argv[0], *options], one, custom_mutator=change)
    atheris.Fuzz()


def _inside(content: bytes, longest: int) -> Any:
    """What is packed, changed and packed again; other bytes as they are."""
    unpacker = zlib.decompressobj(31)
    try:
        plain = unpacker.decompress(content, 1 << 20)
    except zlib.error:
        return atheris.Mutate(content, longest)
    return gzip.compress(atheris.Mutate(plain, longest), 1, mtime=0)[:longest]


if __name__ == "__main__":
    sys.exit(main())
