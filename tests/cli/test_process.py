"""The program as a process: entry point, signals, streams."""

import json
import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import snnr

PROGRAM = [sys.executable, "-c", "from snnr.cli import main; main()"]


def start(*arguments: object, cwd: Path, **more: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [*PROGRAM, *map(str, arguments)],
        cwd=cwd, env={**os.environ, **more}, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        text=True,
    )  # fmt: skip


def test_the_entry_point_is_installed() -> None:
    program = Path(sys.executable).with_name("snnr")
    if not program.exists():
        pytest.skip("snnr is not installed as a program here")
    done = subprocess.run([program, "--version"], capture_output=True, text=True, check=True)
    assert done.stdout == f"snnr {snnr.__version__}\n"


def test_python_runs_it_as_a_module() -> None:
    words = [sys.executable, "-m", "snnr", "--version"]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    assert done.stdout == f"snnr {snnr.__version__}\n"


FILES = {"checkpoint.h5", "best.h5", "history.csv", "log.txt"}
ENDLESS = ("-T", 2, "--batch-size", 20, "--epochs", 100_000)


def training(tiny_file: Path, cwd: Path, *options: object) -> "subprocess.Popen[str]":
    """A training in the folder `run` that has written its first checkpoint."""
    process = start("train", tiny_file, "--out", "run", *ENDLESS, *options, cwd=cwd)
    deadline = time.monotonic() + 120
    while not (cwd / "run/checkpoint.h5").exists():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return process


@pytest.mark.skipif(os.name == "nt", reason="signals")
@pytest.mark.parametrize(("name", "code"), [("SIGINT", 130), ("SIGTERM", 143), ("SIGHUP", 129)])
def test_a_signal_saves_exits_with_its_code_and_the_run_goes_on(
    tiny_file: Path, tmp_path: Path, name: str, code: int
) -> None:
    process = training(tiny_file, tmp_path)
    process.send_signal(getattr(signal, name))
    stdout, stderr = process.communicate(timeout=60)
    assert process.returncode == code
    assert stdout == ""
    assert "saved to run/checkpoint.h5" in stderr.splitlines()[-1]
    assert "Traceback" not in stderr
    done = snnr.load(tmp_path / "run/checkpoint.h5")
    assert set(os.listdir(tmp_path / "run")) <= FILES
    target = done.epoch + 1
    process = start(
        "train", tiny_file, "--out", "run", "--resume", "--epochs", target, "--json", cwd=tmp_path
    )
    stdout, stderr = process.communicate(timeout=120)
    assert process.returncode == 0, stderr
    assert json.loads(stdout)["epochs"] == target


@pytest.mark.skipif(os.name == "nt", reason="signals")
def test_ctrl_c_is_answered_while_kernels_are_compiled_and_the_second_one_ends_it(
    tiny_file: Path, tmp_path: Path
) -> None:
    cache = {"NUMBA_CACHE_DIR": str(tmp_path / "cache")}  # with nothing in it
    process = start("train", tiny_file, "--out", "run", *ENDLESS, cwd=tmp_path, **cache)
    assert process.stderr is not None
    with process:
        lines = iter(process.stderr.readline, "")
        assert any("mnist_fc" in line for line in lines)
        time.sleep(1)  # it compiles for several more
        process.send_signal(signal.SIGINT)
        told = next((line for line in lines if line.startswith("stopping")), "")
        assert "(Ctrl-C again: at once, unsaved)" in told  # also between two compilations
        process.send_signal(signal.SIGINT)
        began = time.monotonic()
        assert process.wait(60) == 130
        assert time.monotonic() - began < 20  # of 1.1, where nobody else wants the cores
        assert "Traceback" not in process.stderr.read()
    assert not (tmp_path / "run/checkpoint.h5").exists()


@pytest.mark.skipif(os.name == "nt", reason="signals")
def test_one_run_at_a_time_and_an_old_run_lives_until_the_new_one_saves(
    tiny_file: Path, tmp_path: Path
) -> None:
    process = training(tiny_file, tmp_path)
    for option in ("--resume", "--overwrite"):
        second = start("train", tiny_file, "--out", "run", option, cwd=tmp_path)
        _, stderr = second.communicate(timeout=60)
        assert second.returncode == 1
        assert f"Error: run is in use by process {process.pid} on " in stderr
    process.kill()
    process.communicate()
    old = (tmp_path / "run/checkpoint.h5").read_bytes()
    wild = ("--overwrite", "--lr", 1e38, "--batch-size", 20)
    new = start("train", tiny_file, "--out", "run", *wild, cwd=tmp_path)
    _, stderr = new.communicate(timeout=120)
    assert new.returncode == 1
    assert "diverged at step" in stderr
    assert "checkpoint is" not in stderr
    assert (tmp_path / "run/checkpoint.h5").read_bytes() == old
    assert set(os.listdir(tmp_path / "run")) <= FILES


@pytest.mark.skipif(os.name == "nt", reason="a shell")
@pytest.mark.parametrize("streams", ["2>&-", "2>/dev/full", ">&- 2>&- <&-", "2> >(true)"])
def test_a_run_survives_that_nobody_listens(
    tiny_file: Path, tmp_path: Path, streams: str
) -> None:
    command = [*PROGRAM, "train", str(tiny_file), "--out", "run", "-T", "2", "--epochs", "3"]
    command += ["--batch-size", "20"]
    done = subprocess.run(
        ["bash", "-c", f"{shlex.join(command)} {streams}"], cwd=tmp_path, capture_output=True,
        timeout=120,
    )  # fmt: skip
    assert snnr.load(tmp_path / "run/checkpoint.h5").epoch == 3
    if not streams.startswith(">"):
        assert done.returncode == 0
        assert b"accuracy" in done.stdout
