"""The program as a process: entry point, signals, streams."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import snnr

PROGRAM = [sys.executable, "-c", "from snnr.cli import main; main()"]


def start(*arguments: object, cwd: Path) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [*PROGRAM, *map(str, arguments)],
        cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def test_the_entry_point_is_installed() -> None:
    program = Path(sys.executable).with_name("snnr")
    if not program.exists():
        pytest.skip("snnr is not installed as a program here")
    done = subprocess.run([program, "--version"], capture_output=True, text=True, check=True)
    assert done.stdout == f"snnr {snnr.__version__}\n"


@pytest.mark.skipif(os.name == "nt", reason="signals")
def test_sigint_saves_exits_with_130_and_resumes(tiny_file: Path, tmp_path: Path) -> None:
    options = ("--out", "run", "-T", 2, "--batch-size", 20)
    process = start("train", tiny_file, *options, "--epochs", 100_000, cwd=tmp_path)
    deadline = time.monotonic() + 120
    while not (tmp_path / "run/checkpoint.h5").exists():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    stdout, stderr = process.communicate(timeout=60)
    assert process.returncode == 130
    assert stdout == ""
    assert "saved to run/checkpoint.h5" in stderr.splitlines()[-1]
    assert "Traceback" not in stderr
    done = snnr.load(tmp_path / "run/checkpoint.h5")
    assert os.listdir(tmp_path / "run") == ["checkpoint.h5"]
    target = done.epoch + 1
    process = start(
        "train", tiny_file, "--out", "run", "--resume", "--epochs", target, "--json", cwd=tmp_path
    )
    stdout, stderr = process.communicate(timeout=120)
    assert process.returncode == 0, stderr
    assert json.loads(stdout)["epochs"] == target
