"""Which runs a grid has, and what they are called."""

from pathlib import Path
from typing import Any

import pytest

from snnr.errors import ConfigError
from snnr.sweep import default_folder, grid, plan
from snnr.sweep.job import settings_of
from snnr.training import run_settings


def told(runs: list[grid.Planned], *keys: str) -> list[tuple[Any, ...]]:
    return [tuple(run.config[key] for key in keys) for run in runs]


def test_the_product_of_what_is_given_seed_by_seed() -> None:
    runs = plan("mnist", {"prior": [1e-3, 5e-2], "lr": [1e-3], "seed": range(2), "net": ()})
    assert told(runs, "prior", "seed") == [(1e-3, 0), (5e-2, 0), (1e-3, 1), (5e-2, 1)]
    assert {run.settings.method for run in runs} == {"grad-r"}


def test_a_method_meets_only_what_it_has() -> None:
    axes = {"method": ["grad-r", "dense"], "prior": [1e-3, 5e-2], "lr": [1e-3, 1e-2]}
    runs = plan("mnist", axes, epochs=3)
    assert told(runs, "method", "lr", "prior") == [
        ("grad-r", 1e-3, 1e-3), ("grad-r", 1e-2, 1e-3), ("grad-r", 1e-3, 5e-2),
        ("grad-r", 1e-2, 5e-2), ("dense", 1e-3, None), ("dense", 1e-2, None),
    ]  # fmt: skip
    assert {run.settings.epochs for run in runs} == {3}
    with pytest.raises(ConfigError, match="prior means nothing to dense"):
        plan("mnist", {"method": ["dense"], "prior": [1e-3]})


def test_values_are_checked_and_given_once_before_anything_runs() -> None:
    assert len(plan("mnist", {"prior": [1e-3, 1e-3], "net": ["csnn", "CSNN:channels=128"]})) == 1
    with pytest.raises(ConfigError, match="sparsity"):
        plan("mnist", {"sparsity": [0.9, 0.2]})
    with pytest.raises(ConfigError, match="channels=0"):
        plan("mnist", {"net": ["csnn:channels=0"]})
    with pytest.raises(ConfigError, match="this makes 10,002 runs"):
        plan("mnist", {"seed": range(5001), "lr": [1e-3, 1e-2]})


def test_a_name_says_what_is_of_the_run_and_follows_from_its_settings_alone() -> None:
    def name(**given: Any) -> str:
        (run,) = plan("mnist", {key: [value] for key, value in given.items()})
        return run.name

    assert name(prior=5e-2).startswith("grad-r-prior0.05-seed0-")
    assert name(prior=1e-3) == name() == name(lr=1e-3, net="mnist_fc", device="cpu", threads=1)
    assert name(lr=0.01, seed=3).startswith("grad-r-lr0.01-prior0.001-seed3-")
    assert name(method="dense").startswith("dense-seed0-")
    every = [name(), name(epochs=3), name(net="csnn"), name(augment=True), name(limit_train=9)]
    assert len(set(every)) == 5


def test_further_methods_priors_and_seeds_share_a_folder_other_work_does_not() -> None:
    def folder(dataset: str = "mnist", **axes: Any) -> Path:
        return default_folder(plan(dataset, axes))

    one = folder()
    assert one.parent == Path("sweeps")
    assert one.name.startswith("mnist-")
    assert folder(prior=[1e-2, 1e-3], seed=[4], method=["dense", "grad-r"]) == one
    others = {folder(epochs=[3]), folder(net=["csnn"]), folder("cifar10"), folder(epochs=[3, 20])}
    assert len(others | {one}) == 5


def test_settings_survive_json() -> None:
    axes = {"net": ["csnn:channels=4"], "timesteps": [3], "lr": [0.01], "loss": ["cross-entropy"]}
    (run,) = plan("mnist", axes, "paper", augment=False)
    assert settings_of(run.config) == run.settings


@pytest.mark.parametrize(
    ("settings", "name"),
    [
        ({"dataset": "mnist"}, "grad-r-prior0.001-seed0-6f25c635"),
        (
            {"dataset": "fashion-mnist", "method": "set", "seed": 3, "augment": True},
            "set-seed3-dee401e1",
        ),
    ],
)
def test_a_setting_that_is_new_renames_no_run(settings: dict[str, Any], name: str) -> None:
    """Else a sweep of before would repeat its finished runs: the new one belongs to `_LATER`."""
    assert grid.run_name(run_settings(**settings).as_config()) == name
