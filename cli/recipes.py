"""Settings of a training: the defaults, and what the paper used."""

import os
from pathlib import Path
from typing import Any

import click

DEFAULTS: dict[str, Any] = {
    "method": "grad-r",
    "prior": 1e-3,
    "sparsity": 0.95,
    "epochs": 20,
    "batch_size": 128,
    "lr": 1e-3,
    "augment": False,
    "seed": 0,
    "loss": "mse",
}

#: data set -> network; any other trains mnist_fc
NETWORKS = {"fashion-mnist": "csnn", "cifar10": "cifar10_conv"}

#: Chen et al., IJCAI 2021: schedules as in the authors' README (its MNIST script starts at 1e-3)
PAPER: dict[str, dict[str, Any]] = {
    "mnist": {
        "net": "mnist_fc", "timesteps": 8, "epochs": 512, "batch_size": 128, "lr": 1e-4,
        "augment": True,
    },
    "cifar10": {
        "net": "cifar10_conv", "timesteps": 8, "epochs": 2048, "batch_size": 16, "lr": 1e-4,
        "augment": True,
    },
}  # fmt: skip

RECIPES = {"paper": PAPER}


def resolve(dataset: str, recipe: str | None, given: dict[str, Any]) -> dict[str, Any]:
    """Defaults, then the recipe, then what was given (not None).

    Raises
    ------
    click.UsageError : the recipe knows nothing of the data set.
    """
    settings = {**DEFAULTS, "net": NETWORKS.get(dataset, "mnist_fc"), "timesteps": None}
    if recipe is not None:
        known = RECIPES[recipe]
        if dataset not in known:
            raise click.UsageError(
                f"there is no recipe {recipe!r} for {dataset}, only for {', '.join(known)}"
            )
        settings.update(known[dataset])
    return {**settings, **{key: value for key, value in given.items() if value is not None}}


def dataset_name(dataset: str) -> str:
    """A named data set as it is; a file becomes its absolute path."""
    return os.path.abspath(os.path.expanduser(dataset)) if _is_file(dataset) else dataset


def _is_file(dataset: str) -> bool:
    return Path(dataset).suffix.lower() in (".npz", ".h5", ".hdf5")


def run_folder(dataset: str, settings: dict[str, Any], has_prior: bool) -> Path:
    """runs/<dataset>-<method>-prior<value>-seed<n>; a method without a prior leaves that out."""
    name = Path(dataset).stem if _is_file(dataset) else dataset
    prior = f"-prior{settings['prior']:g}" if has_prior else ""
    return Path("runs") / f"{name}-{settings['method']}{prior}-seed{settings['seed']}"
