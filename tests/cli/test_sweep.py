"""snnr sweep."""

import csv
import json
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from snnr.cli.board import Board, summary

import snnr
from snnr.sweep import Sweep, plan

from .test_process import start

Run = Callable[..., Result]
WORK = ("--net", "fc8-lif-fc4-lif", "-T", 2, "--batch-size", 20, "--limit-train", 100)


def test_help_says_that_settings_may_be_repeated(run: Run) -> None:
    text = " ".join(run("sweep", "--help").stdout.split())
    assert "most may be given several times" in text
    for option in ("--method", "--prior", "--seeds N", "--jobs N", "--scheduler ADDRESS"):
        assert option in text


def test_wrong_usage_is_told_before_anything_runs(
    run: Run, tiny_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "exclude each other" in run(
        "sweep", tiny_file, "--seeds", 2, "--seed", 1, code=2
    ).stderr
    told = run("sweep", tiny_file, "--jobs", 2, "--scheduler", "tcp://x:1", code=2).stderr
    assert "--scheduler has workers of its own" in told
    told = run("sweep", tiny_file, "--method", "dense", "--prior", 1, code=2).stderr
    assert "prior means nothing to dense" in told
    assert run("sweep", tiny_file, "--net", "fc8-lfi-fc4", code=2).stderr.endswith("    ^^^\n")
    monkeypatch.setitem(__import__("sys").modules, "distributed", None)
    told = run("sweep", tiny_file, "--scheduler", "tcp://x:1", code=2).stderr
    assert "pip install 'snnr[dask]'" in told
    assert not Path("sweeps").exists()


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="signals")
def test_a_signal_saves_all_and_the_same_command_goes_on(tiny_file: Path, tmp_path: Path) -> None:
    """Two processes at a time; one setting fails, and is named at the end."""

    def sweep(*more: object) -> tuple[object, ...]:
        grid = ("--prior", 0.05, "--batch-size", 500, "--seeds", 2, "--jobs", 2)
        return ("sweep", tiny_file, *WORK, *grid, "--out", "here", *more)

    process = start(*sweep("--epochs", 6000), cwd=tmp_path)
    deadline = time.monotonic() + 120
    folders = [tmp_path / "here" / run.name for run in planned(tiny_file, 6000)]
    while not all((folder / "checkpoint.h5").exists() for folder in folders):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.05)
    os.kill(process.pid, signal.SIGTERM)
    stdout, stderr = process.communicate(timeout=60)
    assert process.returncode == 143, stderr
    assert stdout == ""
    assert "the same command goes on" in stderr.splitlines()[-1]
    assert "Traceback" not in stderr
    left = {path.name for folder in folders for path in folder.iterdir()}
    assert left == {"checkpoint.h5", "best.h5", "history.csv", "log.txt"}
    epochs = [snnr.load(folder).epoch for folder in folders]
    with (tmp_path / "here/results.csv").open() as file:
        states = {row["run"]: row["status"] for row in csv.DictReader(file)}
    assert [states[folder.name] for folder in folders] == ["stopped"] * 2
    assert max(epochs) < 6000
    # as a run of as many epochs as are done: the settings say how many, so that is another run
    process = start(*sweep("--epochs", 2, "--json"), cwd=tmp_path)
    stdout, stderr = process.communicate(timeout=120)
    assert process.returncode == 1, stderr
    found = json.loads(stdout)
    assert [row["status"] for row in found["runs"]] == ["finished", "failed"] * 2
    assert len(found["failed"]) == 2
    assert "Error: 2 of 4 runs failed: grad-r-prior0.05-seed0-" in stderr.splitlines()[-1]
    assert "batch_size (=500) must lie between 1 and 100" in stderr.splitlines()[-1]


def planned(tiny_file: Path, epochs: int) -> list[Any]:
    work: dict[str, Any] = {"net": "fc8-lif-fc4-lif", "timesteps": 2, "limit_train": 100}
    axes = {"prior": [0.05], "seed": [0, 1], "batch_size": [20]}
    return plan(str(tiny_file), axes, epochs=epochs, **work)


def test_a_table_on_a_terminal_and_lines_elsewhere(
    tiny_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    for place in ("board", "common"):
        monkeypatch.setattr(
            f"snnr.cli.{place}.say", lambda text, nl=True: said.append(text + "\n" * nl)
        )
    runs = planned(tiny_file, 5)
    sweep = Sweep(runs, tmp_path)
    name = runs[0].name
    row = {"event": "epoch", "epoch": 2, "test_accuracy": 0.5, "connectivity": 0.25, "seconds": 1}
    for terminal in (False, True):
        board = Board(quiet=False)
        board.terminal = terminal
        board.begin(sweep, runs[1:])
        board.event(sweep, name, {"event": "started", "epoch": 0, "epochs": 5})
        board.event(sweep, name, {"event": "step", "epoch": 1, "step": 3, "steps": 4})
        board._due = 0.0
        board.event(sweep, name, row)
        board._due = 0.0
        board.event(sweep, name, {"event": "step", "epoch": 2, "step": 1, "steps": 4})
        board.event(sweep, name, {"event": "warning", "text": "odd\x1b[1m"})
        board.event(sweep, name, {"event": "failed", "error": "lost"})
        told = "".join(said)
        said.clear()
        assert "1 of 2 runs are finished already" in told
        assert f"{name}: warning: odd\\x1b[1m" in told
        assert f"[0/2] {name} failed: lost" in told
        if terminal:
            assert "0 of 2 finished, 1 running, 1 waiting, 0 failed" in told
            assert f"\n  {name}  epoch 2/5  50.00 % at 25.00 %" in told
            assert f"\n  {name}  epoch 3/5 step 1/4  50.00 % at 25.00 %" in told
            assert "\x1b[1A\x1b[J" in told
            board.end(sweep)
            assert said.pop() == "\r\x1b[J"
        else:
            assert f"{name}: epoch 2/5  50.00 % at 25.00 %\n" in told
            assert "\x1b" not in told
            assert "running" not in told
    board = Board(quiet=True)
    board.event(sweep, name, row)
    assert said == []


def test_the_summary_has_means_and_spread_by_setting(capsys: pytest.CaptureFixture[str]) -> None:
    def row(method: str, prior: float | None, accuracy: float, **more: Any) -> dict[str, Any]:
        return {"run": "x", "status": "finished", "accuracy": accuracy, "connectivity": 0.5,
                "seconds_per_epoch": 2.0, "method": method, "prior": prior, **more}  # fmt: skip

    summary([row("grad-r", 0.1, 0.9, form="adam"), row("grad-r", 0.1, 0.92, form="adam"),
             row("grad-r", 0.2, 0.91, form="adam"), row("dense", None, 0.95)])  # fmt: skip
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert lines[0] == ["method", "prior", "seeds", "accuracy", "spread", "connectivity",
                        "s/epoch"]  # fmt: skip
    assert lines[1] == ["grad-r", "0.1", "2", "91.00", "%", "±1.41", "50.00", "%", "2.00"]
    assert lines[2][:3] == ["grad-r", "0.2", "1"]
    assert lines[3][:3] == ["dense", "-", "1"]
