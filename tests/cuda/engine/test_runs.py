"""Whole trainings on device "cuda": stop, resume, move; and what people type."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from snnr.cli import main
from snnr.data import Dataset

import snnr
from snnr import nn, optim
from snnr.training import Trainer

from ...training.runs import StopAt


def trainer(data: Dataset, device: str, path: Path | None = None, **settings: Any) -> Trainer:
    rng = np.random.default_rng(1)
    net = nn.Sequential(
        nn.Conv2d(1, 2, 3, padding=1, bias=False, rng=rng), nn.BatchNorm2d(2), nn.LIF(),
        nn.MaxPool2d(2), nn.Flatten(), nn.Dropout(0.3, rng=2), nn.Linear(8, 4, rng=rng), nn.LIF(),
        T=2, device=device,
    )  # fmt: skip
    optimizer = optim.GradR(net.parameters(), lr=0.02, prior=0.3)
    chosen = {"batch_size": 4, "epochs": 2, "augment": "crop-flip", "seed": 5, **settings}
    return Trainer(net, optimizer, data, checkpoint=path, **chosen)


def bits(run: Trainer) -> list[bytes]:
    arrays = [a for layer in run.network.layers() for a in layer.arrays().values()]
    held = [s.numpy(name) for s in run.optimizer.state.values() for name in s.kept]
    return [a.numpy().tobytes() for a in arrays] + [a.tobytes() for a in held]


def test_a_training_stops_and_goes_on_with_the_same_bits(few: Dataset, tmp_path: Path) -> None:
    whole = trainer(few, "cuda")
    whole.fit()
    path = tmp_path / "c.h5"
    stopped = trainer(few, "cuda", path)
    stopped.callbacks.append(StopAt(3))
    with pytest.raises(snnr.Interrupted):
        stopped.fit()
    again = Trainer.resume(path, few, device="cuda")
    again.fit()
    assert bits(again) == bits(whole)
    assert again.history["test_accuracy"] == whole.history["test_accuracy"]
    host = trainer(few, "cpu")
    host.fit()
    for mine, theirs in zip(whole.network.parameters(), host.network.parameters(), strict=True):
        # four steps of Adam: a gradient that is rounding goes either way
        assert (np.abs(mine.numpy() - theirs.numpy()) > 1e-3).mean() < 0.1
    there = snnr.load(path, "cuda")
    here = snnr.load(path, "cpu")
    for mine, theirs in zip(there.network.parameters(), here.network.parameters(), strict=True):
        np.testing.assert_array_equal(mine.numpy(), theirs.numpy())


def typed(*arguments: object) -> str:
    done = CliRunner().invoke(main, [str(argument) for argument in arguments])
    assert done.exit_code == 0, done.output
    return done.stdout


def test_every_command_takes_the_device(few_file: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    options = ("--batch-size", 4, "-T", 2, "--device", "cuda", "--out", out, "--json", "-q")
    first = json.loads(
        typed("train", few_file, "--net", "2c3-bn-lif-mp2-fc4-lif", "--epochs", 1, *options)
    )
    assert first["epochs"] == 1
    more = json.loads(typed("train", few_file, "--resume", "--epochs", 2, *options))
    assert more["epochs"] == 2
    told = json.loads(typed("eval", out, "--dataset", few_file, "--device", "cuda", "--json", "-q"))
    assert told["accuracy"] == more["accuracy"]
    host = json.loads(typed("eval", out, "--dataset", few_file, "--device", "cpu", "--json", "-q"))
    assert abs(host["accuracy"] - told["accuracy"]) <= 1 / 4
    assert json.loads(typed("inspect", out, "--json"))["layers"]
