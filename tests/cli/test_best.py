"""The folder of a run where a file is expected, and its best checkpoint."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result

import snnr

Run = Callable[..., Result]
Answer = Callable[..., dict[str, Any]]


@pytest.fixture
def learned(answer: Answer, tiny_file: Path) -> dict[str, Any]:
    """A run that is as good as it gets before its last epoch."""
    options = ("--epochs", 4, "--batch-size", 20, "-T", 2, "--lr", 0.05, "--method", "dense")
    value = answer(
        "train", tiny_file, *options, "--net", "fc8-lif-fc4-lif", "--seed", 3, "--out", "run"
    )
    accuracy = snnr.load("run").history["test_accuracy"]
    best = value["best"]
    assert best["epoch"] == 1 + accuracy.index(max(accuracy)) < 4
    assert (best["accuracy"], best["connectivity"]) == (max(accuracy), 1)
    return value


def test_a_folder_stands_for_the_last_and_a_file_for_the_best(
    run: Run, answer: Answer, learned: dict[str, Any]
) -> None:
    best = learned["best"]
    last, found = answer("eval", "run"), answer("eval", "run/best.h5")
    assert (last["accuracy"], last["epochs"]) == (learned["accuracy"], 4)
    assert (found["accuracy"], found["epochs"]) == (best["accuracy"], best["epoch"])
    for name in ("run", "run/best.h5"):
        run("inspect", name)
        run("export", name, "--to", "npz", "-o", "network.npz")
    told = run("train", learned["dataset"], "--method", "dense", "--resume", "--out", "run").stdout
    accuracy, epoch = 100 * best["accuracy"], best["epoch"]
    assert f"best          {accuracy:.2f} % at 100.00 % in epoch {epoch}: best.h5" in told


def test_a_sweeps_runs_have_theirs(sweep_folder: Path) -> None:
    for folder in sweep_folder.iterdir():
        best = snnr.load(folder / "best.h5")
        assert best.accuracy == best.history["test_accuracy"][-1]
        log = (folder / "log.txt").read_text()
        assert json.loads(log.split("settings: ")[1].split("\n")[0])["epochs"] == 2
