"""Options that follow from records; nested networks on paper."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import numpy as np
import pytest
from click.testing import CliRunner, Result
from snnr.cli.options import run_options

import snnr
from snnr import functional as F
from snnr import nn, optim
from snnr.optim.settings import AdamSettings, setting
from snnr.tensor import Parameter, Tensor
from snnr.training.advice import MEASURED

Run = Callable[..., Result]


@dataclass(frozen=True, kw_only=True)
class OtherSettings(AdamSettings):
    """A method of tomorrow."""

    prior: float = setting(5e-2, "Another prior.", least=0, below=9, option=True)
    interval: int = setting(100, "Steps between two rewirings.", least=1, option=True)
    growth: str = setting("gradient", "What regrows.", choices=("gradient", "random"), option=True)
    hidden: float = setting(1.0, "Not for the command line.", least=0)


class Other(optim.Adam):
    METHOD = "other"
    SETTINGS = OtherSettings


@pytest.fixture
def another_method() -> Iterator[None]:
    optim.METHODS["other"] = Other
    yield
    del optim.METHODS["other"]


def test_a_new_method_brings_its_options(another_method: None) -> None:
    seen: dict[str, Any] = {}

    @click.command
    @run_options
    def command(**given: Any) -> None:
        seen.update(given)

    result = CliRunner().invoke(command, ["--interval", "7", "--growth", "random", "--prior", "3"])
    assert result.exit_code == 0, result.output
    assert (seen["interval"], seen["growth"], seen["prior"], seen["lr"]) == (7, "random", 3.0, None)
    assert "hidden" not in seen
    text = " ".join(CliRunner().invoke(command, ["--help"]).output.split())
    assert f"--method [{'|'.join(optim.METHODS)}]" in text
    assert "Steps between two rewirings. [other] [default: 100] [x>=1]" in text
    assert "[grad-r, other] [default: 1e-3/0.05]" in text
    assert "Learning rate. [default: 1e-3]" in text
    for wrong in (["--interval", "0"], ["--growth", "x"], ["--prior", "-1"], ["--hidden", "1"]):
        assert CliRunner().invoke(command, wrong).exit_code == 2
    # the methods disagree about the upper bound, which is left to their records
    assert CliRunner().invoke(command, ["--prior", "10"]).exit_code == 0


def test_the_recipe_says_what_it_sets(run: Run) -> None:
    for command in ("train", "sweep", "search"):
        text = " ".join(run(command, "--help").stdout.split())
        assert "mnist: net mnist_fc, timesteps 8, epochs 512, batch-size 128, lr 1e-4" in text
        assert "lr 1e-4, augment; cifar10" in text
        assert "cifar10: net cifar10_conv, timesteps 8, epochs 2048, batch-size 16" in text
        assert "1000000" not in text


def test_the_help_says_what_a_prior_leaves(run: Run) -> None:
    text = " ".join(run("train", "--help").stdout.split())
    for prior, share in MEASURED.items():
        digit, exponent = f"{prior:.0e}".split("e-0")
        assert f"{digit}e-{exponent} " in text
        assert f"{100 * share:.2g} %" in text
    assert "0.95 does not leave 5 %" in text
    assert "silent is the share of the neurons that fire on no test image" in text


@pytest.fixture
def nested(tiny_file: Path, tmp_path: Path) -> Path:
    """A run of a network with sequences in sequences."""
    net = nn.Sequential(
        nn.Sequential(nn.Conv2d(1, 3, 3, padding=1, rng=0), nn.BatchNorm2d(3), nn.LIF()),
        nn.Flatten(),
        nn.Sequential(nn.Sequential(nn.Linear(192, 4, rng=1)), nn.LIF()),
        T=2,
    )
    snnr.Trainer(
        net, optim.GradR(net.parameters(), lr=0.01, prior=0.1), snnr.data.load(tiny_file), 20, 2,
        checkpoint=tmp_path / "c.h5", config={"dataset": str(tiny_file)},
    ).fit()  # fmt: skip
    return tmp_path / "c.h5"


def test_nested_networks_are_inspected(
    answer: Callable[..., dict[str, Any]], run: Run, nested: Path
) -> None:
    value = answer("inspect", nested)
    kinds = {layer["name"]: layer["type"] for layer in value["layers"]}
    assert kinds == {
        "0_sequential": "Sequential", "0_sequential.0_conv2d": "Conv2d",
        "0_sequential.1_batchnorm2d": "BatchNorm2d", "0_sequential.2_lif": "LIF",
        "1_flatten": "Flatten", "2_sequential": "Sequential",
        "2_sequential.0_sequential": "Sequential",
        "2_sequential.0_sequential.0_linear": "Linear", "2_sequential.1_lif": "LIF",
    }  # fmt: skip
    weights = {x["name"]: x["weights"] for x in value["layers"] if "weights" in x}
    assert weights == {"0_sequential.0_conv2d": 27, "2_sequential.0_sequential.0_linear": 768}
    assert value["weights"] == 795
    assert all(x["theta_quantiles"]["1"] > 0 for x in value["layers"] if "weights" in x)
    assert value["layers"][0]["settings"] == {"T": 2}
    text = run("inspect", nested).stdout
    chain = "Sequential [Conv2d - BatchNorm2d - LIF] - Flatten - Sequential [Sequential [Linear]"
    assert chain in " ".join(text.split())
    assert "2_sequential.0_sequential.0_linear 4x192 768" in " ".join(text.split())


@nn.register
class TwoMaps(nn.Layer):
    """A layer with two weights of its own."""

    def __init__(self) -> None:
        rng = np.random.default_rng(0)
        self.first = Parameter(rng.normal(size=(6, 64)).astype(np.float32))
        self.second = Parameter(rng.normal(size=(4, 6)).astype(np.float32))

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(F.linear(x, self.first), self.second)


def test_a_layer_with_several_weights_is_inspected(
    answer: Callable[..., dict[str, Any]], run: Run, tiny_file: Path, tmp_path: Path
) -> None:
    net = nn.Sequential(nn.Flatten(), TwoMaps(), nn.LIF(), T=2)
    net[1].first.data[2] = 0
    optimizer = optim.GradR(net.parameters(), lr=0.01, prior=0.1)
    snnr.save(tmp_path / "c.h5", net, optimizer)
    value = answer("inspect", tmp_path / "c.h5")
    first, second = value["layers"][1]["parts"]
    assert (first["name"], first["shape"], first["nonzero"]) == ("1_twomaps.first", [6, 64], 320)
    assert (first["dead_neurons"], first["unused_inputs"]) == (1, 0)
    assert (second["name"], second["weights"]) == ("1_twomaps.second", 24)
    assert (value["weights"], value["nonzero"]) == (408, 344)
    assert "1_twomaps.second 4x6 24" in " ".join(run("inspect", tmp_path / "c.h5").stdout.split())


def test_nested_networks_are_evaluated(
    answer: Callable[..., dict[str, Any]], run: Run, nested: Path
) -> None:
    value = answer("eval", nested)
    assert value["accuracy"] == snnr.load(nested).accuracy
    first, second = value["layers"]
    assert (first["name"], first["neurons"]) == ("0_sequential.0_conv2d", "0_sequential.2_lif")
    assert second["neurons"] == "2_sequential.1_lif"
    assert 0 <= second["firing_rate"] <= 1
    assert "0_sequential.0_conv2d" in run("eval", nested).stdout
