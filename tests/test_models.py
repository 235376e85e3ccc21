"""The paper's networks: layers, time steps, dropout and the number of weights."""

from typing import Any

import numpy as np
import pytest

import snnr
from snnr import models, nn


def kinds(net: nn.Sequential) -> str:
    """First letters of the layers, those without parameters in small ones."""
    letters = {
        "Conv2d": "C", "BatchNorm2d": "B", "LIF": "l", "MaxPool2d": "p", "Flatten": "f",
        "Dropout": "d", "Linear": "L", "Voting": "v",
    }  # fmt: skip
    return "".join(letters[layer.kind] for layer in net)


@pytest.mark.parametrize(
    ("name", "layers", "steps", "weights"),
    [
        ("mnist_fc", "fLlLl", 8, 635_200),
        ("csnn", "CBlp" * 2 + "fdLlLlv", 4, 13_198_464),
        ("cifar10_conv", ("CBl" * 3 + "p") * 2 + "fdLlLlv", 8, 36_715_264),
    ],
)
def test_the_papers_networks(name: str, layers: str, steps: int, weights: int) -> None:
    net = models.make(name)
    assert kinds(net) == layers
    assert {net.T} | {layer.settings()["T"] for layer in net if layer.kind == "LIF"} == {steps}
    assert sum(p.numpy().size for p in net.parameters() if p.role == "weight") == weights
    assert not any(p.role == "bias" for p in net.parameters())
    assert kinds(models.MODELS[name](**small(name))) == layers


def small(name: str) -> dict[str, Any]:
    return {"hidden": 5} if name == "mnist_fc" else {"channels": 2}


@pytest.mark.parametrize("name", models.MODELS)
def test_neurons_pools_and_convolutions_are_the_papers(name: str) -> None:
    net = models.MODELS[name](**small(name))
    expected = {
        "LIF": {
            "tau": 2.0, "decay_input": True, "v_threshold": 1.0, "v_reset": 0.0,
            "detach_reset": True, "surrogate": {"name": "atan", "alpha": 2.0}, "T": net.T,
        },
        "MaxPool2d": {"kernel_size": 2, "stride": 2},
        "Voting": {"group": 10},
        "Dropout": {"p": 0.5},
        "BatchNorm2d": {"eps": 1e-5, "momentum": 0.1},
        "Conv2d": {"kernel_size": 3, "stride": 1, "padding": 1, "bias": False},
        "Linear": {"bias": False},
        "Flatten": {},
    }  # fmt: skip
    for layer in net:
        settings = layer.settings()
        assert settings | expected[layer.kind] == settings


@pytest.mark.parametrize("make", [models.csnn, models.cifar10_conv])
def test_dropout_is_there_and_can_be_chosen(make: Any) -> None:
    for share in (None, 0.0, 0.3):
        net = make(channels=2, **({} if share is None else {"dropout": share}))
        (layer,) = (layer for layer in net if layer.kind == "Dropout")
        assert layer.settings()["p"] == (0.5 if share is None else share)


@pytest.mark.parametrize("name", models.MODELS)
def test_time_steps_shape_classes_and_seed_can_be_chosen(name: str) -> None:
    settings: dict[str, Any] = {"T": 3, "input_shape": (2, 12, 8), "classes": 4}
    net = models.MODELS[name](**settings, **small(name), device="reference")
    out = net(np.ones((5, 2, 12, 8), np.float32))
    assert out.shape == (3, 5, 4)
    assert net.device == "reference"
    one, same, other = (
        models.MODELS[name](seed=seed, **small(name)).parameters()[0].numpy() for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(one, same)
    assert (one != other).any()


def test_by_name() -> None:
    net = models.make("mnist_fc", T=2, seed=3, input_shape=(1, 3, 3), classes=4)
    assert (net.T, net.parameters()[-1].shape) == (2, (4, 800))
    expected = models.mnist_fc(seed=3, input_shape=(1, 3, 3)).parameters()[0].numpy()
    np.testing.assert_array_equal(net.parameters()[0].numpy(), expected)
    with pytest.raises(snnr.ConfigError, match=r"unknown network 'resnet'.*mnist_fc"):
        models.make("resnet")
    with pytest.raises(snnr.ConfigError, match=r"timesteps \(=0\) must be at least 1"):
        models.make("csnn", T=0)
