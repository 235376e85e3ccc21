"""A disk that is full after so many bytes, and a limit of a file's size, in the middle of a save.

    python disk.py LEVELS

prints a line per fault: "ok", or what should not have happened.
"""

import contextlib
import errno
import os
import resource
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

import snnr
from snnr import nn, optim
from snnr.checkpoint import file as target


@contextlib.contextmanager
def size_limit(room: int) -> Iterator[None]:
    """The kernel's own refusal, after part of the bytes were written."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@contextlib.contextmanager
def full_disk(room: int) -> Iterator[None]:
    """As a full disk does it: a short write, then none."""
    write, left = os.write, room

    def short(handle: int, content: memoryview) -> int:
        nonlocal left
        if left <= 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        done = write(handle, content[:left])
        left -= done
        return done

    target.os.write = short
    try:
        yield
    finally:
        target.os.write = write


def main() -> None:
    levels = int(sys.argv[1])
    net = nn.Sequential(nn.Linear(60, 30, rng=0), nn.BatchNorm1d(30), nn.LIF(), T=3)
    optimizer = optim.GradR(net.parameters())
    with tempfile.TemporaryDirectory() as folder:
        path = snnr.save(Path(folder) / "c.h5", net, optimizer, epoch=1)
        old = path.read_bytes()
        for index in range(levels):
            room = int(np.linspace(0, len(old) - 1, levels)[index])
            for fault in (size_limit, full_disk):
                print(_attempt(fault, room, path, old, net, optimizer), flush=True)
        snnr.save(path, net, optimizer, epoch=2)
        print("ok" if snnr.load(path).epoch == 2 else "the disk has room again, but nothing came")


def _attempt(
    fault: object, room: int, path: Path, old: bytes, net: nn.Sequential, optimizer: optim.GradR
) -> str:
    try:
        with fault(room):  # type: ignore[operator]
            snnr.save(path, net, optimizer, epoch=2)
    except snnr.CheckpointError as error:
        told = str(error)
    else:
        return f"{room}: saved all the same"
    if "cannot be written" not in told or path.name not in told:
        return f"{room}: {told}"
    if path.read_bytes() != old or os.listdir(path.parent) != [path.name]:
        return f"{room}: the old checkpoint is not alone as it was"
    return "ok"


if __name__ == "__main__":
    main()
