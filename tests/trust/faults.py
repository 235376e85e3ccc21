"""Trainings that are killed, stopped and doubled; disks that are full."""

import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

import snnr

from .patience import TICK, Patience, ended
from .samples import contents
from .table import Row

_HERE = Path(__file__).parent
_PROGRAM = [sys.executable, "-c", "from snnr.cli import main; main()"]
_STOPPED = {signal.SIGINT: 130, signal.SIGTERM: 143, signal.SIGHUP: 129}
_FILES = {"checkpoint.h5", "best.h5", "history.csv", "log.txt"}
_CPU = 600.0  # seconds of CPU time for one training: the first one may compile kernels

#: what is trained while it is disturbed: data set and options
TRAININGS: dict[str, tuple[str, ...]] = {
    "mnist_fc": ("tiny.npz", "--net", "mnist_fc"),
    "csnn, with dropout": ("tiny.npz", "--net", "csnn", "--limit-train", "50"),
    "mnist, augmented": ("mnist", "--augment", "--limit-train", "100"),
}


def disk(levels: int) -> Row:
    """Saves that run out of room, at so many levels, in two ways."""
    row = Row("disk full or file too large, while saving")
    done = subprocess.run(
        [sys.executable, _HERE / "disk.py", str(levels)], capture_output=True, text=True, cwd=_HERE
    )
    for line in done.stdout.splitlines():
        row.count += 1
        row.tally(line) if line == "ok" else row.fail(line)
    row.expect(done.returncode == 0, f"exit {done.returncode}: {done.stderr[-300:]}")
    row.expect(row.count == 2 * levels + 1, f"{row.count} of {2 * levels + 1} came through")
    return row


def kills(name: str, count: int, seed: int) -> Row:
    """SIGKILL at random moments, resumed until it ends: as if it had never been killed."""
    row = Row(f"SIGKILL, then --resume: {name}")
    with tempfile.TemporaryDirectory() as text:
        folder = Path(text)
        begun = time.monotonic()
        whole = _start(folder, name, "whole", 4)
        _, stderr = ended(whole, _CPU)
        if whole.returncode != 0:
            row.fail(f"not even undisturbed: {stderr[-300:]}")
            return row
        before = _comparable(folder / "whole")
        rng = np.random.default_rng(seed)
        length = time.monotonic() - begun  # where kernels were compiled, too long the first time
        attempt = 0
        while row.count < count:
            out = f"run{attempt}"
            attempt += 1
            done = False
            while not done:
                process = _start(folder, name, out, 4)
                started = time.monotonic()
                if row.count < count:
                    done = _killed_after(process, float(rng.uniform(0, 1.1 * length)))
                    row.count += not done
                else:
                    done = True
                ended(process, _CPU)
                if done:
                    length = time.monotonic() - started
                    row.expect(process.returncode == 0, f"exit {process.returncode}")
            row.expect(set(os.listdir(folder / out)) == _FILES, "something is left over")
            row.expect(_comparable(folder / out) == before, "another result than uninterrupted")
            row.tally("bit-equal")
    return row


def signals(count: int, seed: int) -> Row:
    """Ctrl-C, SIGTERM and SIGHUP at random moments of a training."""
    row = Row("SIGINT, SIGTERM, SIGHUP in a training")
    rng = np.random.default_rng(seed)
    with tempfile.TemporaryDirectory() as text:
        folder = Path(text)
        for index in range(count):
            number = list(_STOPPED)[index % len(_STOPPED)]
            process = _start(folder, "mnist_fc", f"run{index}", 100_000)
            _first_checkpoint(folder / f"run{index}", process)
            time.sleep(float(rng.uniform(0, 0.3)))
            process.send_signal(number)
            _, stderr = ended(process, _CPU)
            row.count += 1
            code = _STOPPED[number]
            row.expect(process.returncode == code, f"exit {process.returncode}, expected {code}")
            row.expect("saved to" in stderr and "Traceback" not in stderr, stderr[-300:])
            row.expect(set(os.listdir(folder / f"run{index}")) <= _FILES, "left over")
            snnr.load(folder / f"run{index}" / "checkpoint.h5")
            row.tally("saved")
    return row


def doubles(count: int) -> Row:
    """Two processes that want the same folder at the same moment."""
    row = Row("two processes, one folder")
    with tempfile.TemporaryDirectory() as text:
        folder = Path(text)
        for index in range(count):
            both = [_start(folder, "mnist_fc", f"run{index}", 4) for _ in range(2)]
            answers = [ended(process, _CPU)[1] for process in both]
            codes = sorted(process.returncode for process in both)
            row.count += 1
            row.expect(codes == [0, 1], f"exit codes {codes}")
            row.expect(any(" holds" in a or "in use by" in a for a in answers), answers[0][-300:])
            row.tally("one at a time")
    return row


def _start(folder: Path, name: str, out: str, epochs: int) -> "subprocess.Popen[str]":
    """A training, gone on with when there is something."""
    data = folder / "tiny.npz"
    if not data.exists():
        rng = np.random.default_rng(7)
        images = rng.integers(0, 256, (280, 1, 12, 12), np.uint8)
        labels = rng.integers(0, 4, 280)
        images[np.arange(280), 0, labels] = 255
        np.savez(data, x_train=images[:200], y_train=labels[:200], x_test=images[200:],
                 y_test=labels[200:])  # fmt: skip
    resume = ("--resume",) if (folder / out / "checkpoint.h5").exists() else ()
    options = ("-T", "2", "--batch-size", "10", "--prior", "0.05", "--threads", "1")
    chosen = (*TRAININGS[name], "--out", out, "--epochs", str(epochs), *options, *resume)
    return subprocess.Popen(
        [*_PROGRAM, "train", *chosen],
        cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def _killed_after(process: "subprocess.Popen[str]", seconds: float) -> bool:
    """Wait and kill; returns whether it ended by itself before."""
    try:
        process.wait(timeout=seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        return False
    return True


def _first_checkpoint(folder: Path, process: "subprocess.Popen[str]") -> None:
    patience = Patience(process.pid, _CPU)
    looked = time.monotonic()
    while not (folder / "checkpoint.h5").exists() and process.poll() is None:
        time.sleep(0.02)
        if time.monotonic() > looked + TICK:
            looked = time.monotonic()
            if lost := patience.lost():
                process.kill()
                raise TimeoutError(f"no checkpoint came: the training {lost}")


def _comparable(folder: Path) -> list[Any]:
    """All of a checkpoint that does not depend on the clock."""
    found = snnr.load(folder / "checkpoint.h5")
    found.history.pop("seconds")
    found.config.pop("data_dir")
    return contents(found)
