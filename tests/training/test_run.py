"""Whole runs from settings, without the command line."""

from collections.abc import Callable
from dataclasses import FrozenInstanceError, fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from snnr.data import Dataset

import snnr
from snnr import optim
from snnr.errors import CheckpointError, ConfigError
from snnr.training import RunSettings, resume, run_settings, start
from snnr.training.run import make_optimizer
from snnr.training.settings import method_options, run_fields, run_folder, takes

SHORT: dict[str, Any] = {"epochs": 2, "batch_size": 20, "timesteps": 3, "lr": 0.01, "prior": 0.05}


def test_defaults_recipe_and_what_is_given_in_that_order() -> None:
    plain = run_settings("mnist", lr=None)
    assert (plain.net, plain.epochs, plain.optimizer.lr, plain.augment) == (
        "mnist_fc", 20, 1e-3, False,
    )  # fmt: skip
    paper = run_settings("mnist", "paper", epochs=7, lr=None)
    assert (paper.epochs, paper.optimizer.lr, paper.augment) == (7, 1e-4, True)
    assert paper.recipe == "paper"
    paper = run_settings("cifar10", "paper", augment=False, method="dense")
    assert (paper.net, paper.batch_size, paper.augment) == ("cifar10_conv", 16, False)
    assert paper.optimizer == optim.AdamSettings(lr=1e-4)
    assert run_settings("fashion-mnist").net == "csnn"


def test_the_defaults_of_a_run_are_those_of_a_trainer(tiny: Dataset, tiny_file: Path) -> None:
    plain = run_settings(str(tiny_file))
    net = snnr.models.mnist_fc(T=1, input_shape=(1, 8, 8), classes=4, hidden=2)
    usual = snnr.Trainer(net, optim.GradR(net.parameters()), tiny)
    for name in ("batch_size", "epochs", "loss", "seed", "schedule"):
        assert getattr(plain, name) == getattr(usual, name), name
    assert (plain.augment, usual.augment) == (False, None)
    assert plain.optimizer == usual.optimizer.settings


def test_a_run_is_made_from_its_settings(tiny_file: Path) -> None:
    given: dict[str, Any] = {
        "batch_size": 21, "epochs": 3, "loss": "cross-entropy", "seed": 6, "schedule": "cosine",
    }  # fmt: skip
    run = start(run_settings(str(tiny_file), timesteps=2, limit_train=90, lr=0.02, **given))
    assert {name: getattr(run, name) for name in given} == given | {"schedule": str(run.schedule)}
    assert run.schedule.startswith("cosine")
    assert (run.network.T, run.samples.train.count, run.optimizer.lr) == (2, 90, 0.02)
    assert run.evaluate().loss > 0.7  # of rates in 0..1 of four classes, a squared error is less


@pytest.mark.parametrize("method", ["deep-r", "soft-deep-r", "set"])
def test_a_method_that_draws_draws_from_the_seed_of_the_run(method: str) -> None:
    net = snnr.models.mnist_fc(T=1, input_shape=(1, 2, 2), classes=4, hidden=3, device="reference")
    made = [
        make_optimizer(run_settings("mnist", method=method, seed=seed), net).rng  # type: ignore[attr-defined]
        for seed in (0, 5, 5)
    ]
    first, second, third = (rng.bit_generator.state for rng in made)
    assert first != second == third


def test_settings_are_a_record_that_says_what_it_is() -> None:
    settings = run_settings("mnist", prior=5e-3, form="sgd")
    assert settings.optimizer == optim.GradRSettings(prior=5e-3, form="sgd")
    with pytest.raises(FrozenInstanceError):
        settings.epochs = 3  # type: ignore[misc]
    for one in run_fields():
        assert one.metadata["help"].endswith(".")
        assert one.name in {f.name for f in fields(RunSettings)}
    assert {"lr", "prior", "sparsity", "target_connectivity"} <= set(method_options())
    assert [method for method, _ in method_options()["prior"]] == ["grad-r"]
    assert takes("grad-r", "prior")
    assert not takes("dense", "prior")
    assert not takes("magic", "prior")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"method": "magic"}, r"method \(='magic'\) must be one of grad-r"),
        ({"net": "resnet"}, r"unknown network 'resnet': expected one of mnist_fc"),
        ({"loss": "hinge"}, r"loss \(='hinge'\)"),
        ({"recipe": "secret"}, r"recipe \(='secret'\) must be one of paper"),
        ({"epochs": 0}, r"epochs \(=0\) must be a whole number, at least 1"),
        ({"batch_size": 2.5}, r"batch_size \(=2.5\)"),
        ({"timesteps": 256}, r"timesteps \(=256\) must be a whole number, from 1 to 255"),
        ({"seed": -1}, r"seed \(=-1\)"),
        ({"limit_train": True}, r"limit_train \(=True\)"),
        ({"prior": -1.0}, r"prior \(=-1.0\) must be a finite number, at least 0"),
        ({"method": "dense", "prior": 0.1}, "prior means nothing to method 'dense'"),
        ({"colour": "red"}, "colour means nothing"),
    ],
)
def test_what_makes_no_sense_is_refused(given: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        run_settings("mnist", **given)


def test_a_recipe_knows_its_data_sets() -> None:
    with pytest.raises(ConfigError, match="no recipe 'paper' for fashion-mnist, only for mnist"):
        run_settings("fashion-mnist", "paper")


def test_a_record_of_another_method_is_refused() -> None:
    with pytest.raises(ConfigError, match="'dense' takes AdamSettings, not GradRSettings"):
        RunSettings(dataset="mnist", method="dense")


def test_folders_are_named_after_what_distinguishes_runs() -> None:
    def folder(dataset: str, **given: Any) -> str:
        return run_folder(run_settings(dataset, **given).as_config()).as_posix()

    assert folder("mnist") == "runs/mnist-grad-r-prior0.001-seed0"
    assert folder("mnist", method="dense", seed=3) == "runs/mnist-dense-seed3"
    assert folder("/data/digits.npz", prior=0.05) == "runs/digits-grad-r-prior0.05-seed0"


def test_a_run_is_started_and_resumed_from_a_program(tiny_file: Path, tmp_path: Path) -> None:
    told: list[str] = []

    def progress(what: str, done: int, total: int | None) -> None:
        told.append(what)

    def begin(epochs: int, name: str) -> snnr.Trainer:
        settings = run_settings(str(tiny_file), **{**SHORT, "epochs": epochs}, seed=4)
        return start(settings, tmp_path / name, progress=progress)

    whole = begin(2, "whole.h5")
    whole.fit()
    assert isinstance(whole.optimizer, optim.GradR)
    assert (whole.optimizer.lr, whole.optimizer.prior) == (0.01, 0.05)
    assert whole.network.T == whole.config["timesteps"] == 3
    assert whole.config["device"] == "cpu"
    assert whole.config["sparsity"] == 0.95
    begin(1, "parts.h5").fit()
    parts = resume(tmp_path / "parts.h5", {"prior": 0.05, "lr": None, "seed": 4}, epochs=2)
    parts.fit()
    for p, q in zip(whole.network.parameters(), parts.network.parameters(), strict=True):
        assert p.numpy().tobytes() == q.numpy().tobytes()
    other = begin(1, "other.h5")
    assert (other.network[1].weight.numpy() != start(
        run_settings(str(tiny_file), **SHORT)
    ).network[1].weight.numpy()).any()  # fmt: skip


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"prior": 0.1}, "was trained with prior 0.05, not 0.1"),
        ({"batch_size": 21}, "was trained with batch-size 20, not 21"),
        ({"dataset": "mnist"}, r"was trained with dataset .*tiny\.npz, not mnist"),
        ({"augment": True}, "was trained with augment False, not True"),
        ({"recipe": "paper"}, "was trained with recipe None, not paper"),
    ],
)
def test_a_run_goes_on_with_its_own_settings(
    tiny_file: Path, tmp_path: Path, asked: dict[str, Any], message: str
) -> None:
    start(run_settings(str(tiny_file), **{**SHORT, "epochs": 1}), tmp_path / "c.h5").fit()
    with pytest.raises(ConfigError, match=message):
        resume(tmp_path / "c.h5", asked)
    assert resume(tmp_path / "c.h5", {"epochs": 9, "threads": 3}).epochs == 1
    same = {"net": " MNIST_FC:hidden=800", "schedule": " constant"}  # written in another way
    assert resume(tmp_path / "c.h5", same).epochs == 1


def test_what_is_no_run_is_not_resumed(tiny_file: Path, tmp_path: Path) -> None:
    net = snnr.models.mnist_fc(T=2, input_shape=(1, 8, 8), classes=4)
    snnr.save(tmp_path / "c.h5", net, optim.Adam(net.parameters()))
    with pytest.raises(ConfigError, match="does not say what data set"):
        resume(tmp_path / "c.h5")
    snnr.save(tmp_path / "c.h5", net, config={"dataset": str(tiny_file)})
    with pytest.raises(CheckpointError, match="no training can go on"):
        resume(tmp_path / "c.h5")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c.update(batch_size="x"), "batch_size is 'x'"),
        (lambda c: c.update(epochs=-1), "epochs is -1"),
        (lambda c: c.update(seed=1.5), "seed is 1.5"),
        (lambda c: c.update(loss=None), "loss is None"),
        (lambda c: c.pop("augment"), "no training can go on"),
    ],
)
def test_damaged_settings_are_told(
    tiny_file: Path, tmp_path: Path, change: Callable[[dict[str, Any]], Any], message: str
) -> None:
    start(run_settings(str(tiny_file), **{**SHORT, "epochs": 1}), tmp_path / "c.h5").fit()
    found = snnr.load(tmp_path / "c.h5")
    change(found.config)
    with pytest.raises(CheckpointError, match=message):
        resume(found)


def test_a_seed_decides_every_random_number(tiny_file: Path) -> None:
    def weights(seed: int) -> list[bytes]:
        run = start(run_settings(str(tiny_file), **{**SHORT, "epochs": 1}, seed=seed))
        run.fit()
        return [np.ascontiguousarray(p.numpy()).tobytes() for p in run.network.parameters()]

    assert weights(0) == weights(0) != weights(1)
