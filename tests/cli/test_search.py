"""snnr search."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result

from snnr.sweep import search

pytest.importorskip("optuna")
WORK = ("--net", "fc8-lif-fc4-lif", "-T", 2, "--batch-size", 20, "--limit-train", 100)
WORK = (*WORK, "--epochs", 1, "--device", "cpu")


def test_the_table_and_the_best(
    run: Callable[..., Result], answer: Callable[..., Any], tiny_file: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr(search, "SLACK", 9.0)
    given = ("search", tiny_file, "--at", 0.5, *WORK, "--lr", 0.01)
    result = run(*given, "--trials", 2)
    lines = result.stdout.splitlines()
    assert lines[0].split() == [
        "trial", "state", "accuracy", "connectivity", "prior", "sparsity", "run",
    ]  # fmt: skip
    assert len(lines) == 3
    assert all(line.split()[1] == "complete" for line in lines[1:])
    found = answer(*given, "--trials", 3)
    assert len(found["trials"]) == 3
    assert found["best"] == found["trials"][0]
    assert found["best"]["accuracy"] == max(trial["accuracy"] for trial in found["trials"])
    assert Path(found["search"], found["best"]["run"], "checkpoint.h5").exists()
    assert found["search"].startswith("searches/tiny-grad-r-at0.5-")
    run("plot", found["search"], "--figure", "tradeoff")


def test_a_search_without_a_result_fails(
    run: Callable[..., Result], tiny_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(search, "SLACK", 1e-6)
    told = run("search", tiny_file, "--at", 0.5, *WORK, "--trials", 1, code=1).stderr
    assert "none of 1 trials ended at 50.00 %: ended at" in told


def test_wrong_usage_is_told(run: Callable[..., Result], tiny_file: Path) -> None:
    told = run("search", tiny_file, "--at", 0.5, "--target-connectivity", 0.5, code=2).stderr
    assert "leave --target-connectivity out" in told
    run("search", tiny_file, code=2)
    told = run("search", tiny_file, "--at", 0.5, "--method", "dense", code=2).stderr
    assert "choose among grad-r" in told
    assert not Path("searches").exists()
