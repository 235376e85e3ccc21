"""Schedules and targets on the command line."""

import csv
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result

Run = Callable[..., Result]
SHORT = ("--net", "fc8-lif-fc4-lif", "-T", 2, "--batch-size", 20, "--epochs", 2, "--lr", 0.01)


def test_training_to_a_target_shows_the_prior(
    run: Run, answer: Callable[..., Any], tiny_file: Path
) -> None:
    told = run("train", tiny_file, *SHORT, "--target-connectivity", 0.3).stderr
    table = [line for line in told.splitlines() if re.search("  connectivity|^epoch", line)]
    titles, *lines = table
    assert "  prior  " in titles
    assert len([line for line in lines if line.startswith("epoch")]) == 2
    assert Path("runs/tiny-grad-r-prior0.001-target0.3-seed0/checkpoint.h5").exists()
    found = answer("train", tiny_file, *SHORT, "--target-connectivity", 0.3, "--resume")
    assert found["target_connectivity"] == 0.3
    assert "  prior  " not in run("train", tiny_file, *SHORT).stderr


def test_a_schedule_is_a_text(run: Run, tiny_file: Path) -> None:
    run("train", tiny_file, *SHORT, "--schedule", "Step: at=0.50", "--out", "a")
    run("train", tiny_file, *SHORT, "--schedule", "step:at=.5", "--out", "a", "--resume")
    told = run("train", tiny_file, *SHORT, "--schedule", "cosine", "--out", "a", "--resume", code=2)
    assert "was trained with schedule step:at=0.5, not cosine" in told.stderr
    told = run("train", tiny_file, *SHORT, "--schedule", "linear", code=2)
    assert "unknown schedule 'linear': expected one of constant, cosine, step" in told.stderr


@pytest.mark.parametrize("command", ["train", "sweep"])
def test_dense_has_no_target(run: Run, tiny_file: Path, command: str) -> None:
    given = ("--method", "dense", "--target-connectivity", 0.1)
    told = run(command, tiny_file, *SHORT, *given, code=2).stderr
    assert "target-connectivity means nothing to" in told
    assert "dense" in told


@pytest.mark.slow
def test_a_sweep_over_targets_and_schedules(run: Run, tiny_file: Path) -> None:
    axes = ("--target-connectivity", 0.5, "--target-connectivity", 0.2)
    axes += ("--schedule", "constant", "--schedule", "cosine")
    result = run("sweep", tiny_file, *SHORT, *axes, "--out", "here", "--threads", 1)
    rows = list(csv.DictReader(Path("here/results.csv").read_text().splitlines()))
    assert len({row["run"] for row in rows}) == 4
    assert sum("-target-connectivity0.2-" in row["run"] for row in rows) == 2
    assert {row["target_connectivity"] for row in rows} == {"0.5", "0.2"}
    assert "target-connectivity" in result.stdout
    assert "cosine" in result.stdout
    run("plot", "here", "--figure", "tradeoff", "--figure", "epochs")
    run("report", "here", "-o", "page.html")
    assert "target-connectivity 0.2" in Path("page.html").read_text()
