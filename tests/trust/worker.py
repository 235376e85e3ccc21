"""Reads mutated files, one after the other, in a process that may crash or hang.

    python worker.py FORMAT SEED FIRST LAST

prints a line when it is ready, then one per input: its number, then "accepted", "refused" or
"failed" and why.
"""

import faulthandler
import os
import resource
import sys
import tempfile
import warnings
from pathlib import Path

from mutations import mutate
from samples import FORMATS

from snnr import SnnrError
from snnr.budget import BASE

#: beyond what a file may ask for: copies on the way, and what Python itself takes
_SLACK = 400 << 20


def main() -> None:
    name, seed, first, last = sys.argv[1], *map(int, sys.argv[2:])
    warnings.simplefilter("ignore")
    form = FORMATS[name]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / form.file
        form.write(path)
        sound = path.read_bytes()
        before = form.read(path)
        peak = _peak()
        print(first, "ready", flush=True)
        for number in range(first, last):
            content, only_bytes = mutate(name, sound, number, seed)
            path.write_bytes(content)
            try:
                after = form.read(path)
            except SnnrError as error:
                text = str(error)
                told = "refused" if text.isprintable() else f"failed: unprintable {text!r}"
            except Exception as error:
                told = f"failed: {type(error).__name__} {error}"
            else:
                same = not (form.exact and only_bytes) or after == before
                told = "accepted" if same else "failed: accepted with another content"
            if _peak() - peak > BASE + _SLACK:
                told = f"failed: took {(_peak() - peak) >> 20} MiB"
                peak = _peak()
            print(number, " ".join(told.split())[:300], flush=True)
        held = "/proc/self/fd"
        if os.path.isdir(held) and len(os.listdir(held)) > 40:
            print(f"{last - 1} failed: files are left open", flush=True)


def _peak() -> int:
    size = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return size if sys.platform == "darwin" else size << 10


if __name__ == "__main__":
    faulthandler.enable()
    resource.setrlimit(resource.RLIMIT_AS, (12 << 30, resource.RLIM_INFINITY))
    main()
