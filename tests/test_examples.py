"""The examples run, and say what they promise."""

import subprocess
import sys
from pathlib import Path

import pytest

import snnr
from snnr import models, optim
from snnr.training import Trainer

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"


def run(name: str, *arguments: object) -> dict[str, float]:
    """Numbers that an example prints in its lines "name value %"."""
    done = subprocess.run(
        [sys.executable, "-W", "error", EXAMPLES / name, *map(str, arguments)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    lines = [line.split() for line in done.stdout.splitlines()]
    return {words[0]: float(words[1]) for words in lines if len(words) == 3 and words[2] == "%"}


def test_first_network() -> None:
    told = run("first_network.py", "--images", 640, "--epochs", 4)
    assert told["accuracy"] > 60
    assert 1 < told["connectivity"] < 90


def test_read_checkpoint(tmp_path: Path) -> None:
    data = snnr.data.load("mnist", limit_train=640)
    net = models.mnist_fc(T=4, hidden=60)
    trainer = Trainer(
        net, optim.GradR(net.parameters(), lr=0.01, prior=0.05), data, 32, 2,
        checkpoint=tmp_path / "c.h5",
    )  # fmt: skip
    accuracy = trainer.fit()["test_accuracy"][-1]
    assert accuracy > 0.6
    told = run("read_checkpoint.py", tmp_path / "c.h5")
    # another order of summation may tip a neuron that sits on its threshold
    assert told["accuracy"] == pytest.approx(100 * accuracy, abs=0.05)
