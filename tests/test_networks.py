"""Networks: names, time steps, modes, settings that come back, and what is refused."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import snnr
from snnr import nn
from snnr.tensor import Tensor


def normal(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).normal(size=shape).astype(np.float32)


def everything() -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(1, 3, 3, padding=1, rng=0), nn.BatchNorm2d(3), nn.LIF(), nn.MaxPool2d(),
        nn.Conv2d(3, 4, 3, bias=False, rng=0), nn.IF(T=7), nn.AvgPool2d(2), nn.Flatten(),
        nn.Dropout(0.25, rng=0), nn.Linear(16, 6, rng=1), nn.BatchNorm1d(6), nn.LIF(), nn.Voting(3),
        T=4,
    )  # fmt: skip


def test_names_follow_position_and_kind() -> None:
    net = everything()
    assert [layer.name for layer in net] == [
        "0_conv2d", "1_batchnorm2d", "2_lif", "3_maxpool2d", "4_conv2d", "5_if", "6_avgpool2d",
        "7_flatten", "8_dropout", "9_linear", "10_batchnorm1d", "11_lif", "12_voting",
    ]  # fmt: skip
    assert {p.name: p.role for p in net.parameters()} == {
        "0_conv2d.weight": "weight", "0_conv2d.bias": "bias",
        "1_batchnorm2d.scale": "scale", "1_batchnorm2d.shift": "shift", "4_conv2d.weight": "weight",
        "9_linear.weight": "weight", "9_linear.bias": "bias",
        "10_batchnorm1d.scale": "scale", "10_batchnorm1d.shift": "shift",
    }  # fmt: skip
    assert (len(net), net[9].kind, net[-1].kind) == (13, "Linear", "Voting")


def test_time_steps_reach_the_neurons_that_have_none() -> None:
    net = everything()
    assert [net[i].settings()["T"] for i in (2, 5, 11)] == [4, 7, 4]
    assert net.T == 4
    out = nn.Sequential(nn.IF(T=2), T=4)(np.ones((3, 5), np.float32))
    assert out.shape == (2, 3, 5)


def test_train_and_eval_reach_every_layer() -> None:
    net = everything()
    assert all(layer.training for layer in [net, *net])
    assert net.eval() is net
    assert not any(layer.training for layer in [net, *net])
    assert net.train() is net
    assert all(layer.training for layer in [net, *net])


def test_evaluating_is_deterministic_and_training_is_not() -> None:
    net = everything()
    x = 3 * normal(8, 1, 12, 12)
    assert (net(x).numpy() != net(x).numpy()).any()
    net.eval()
    np.testing.assert_array_equal(net(x).numpy(), net(x).numpy())


@pytest.mark.parametrize("index", range(13))
def test_a_layer_is_built_from_its_settings(index: int) -> None:
    layer = everything()[index]
    again = nn.build(layer.kind, layer.settings())
    assert type(again) is type(layer)
    assert again.settings() == layer.settings()
    assert repr(again) == repr(layer)


SETTINGS: list[nn.Layer] = [
    nn.Linear(3, 4, bias=False),
    nn.Conv2d(2, 3, 5, 2, 1, bias=False),
    nn.BatchNorm2d(3, eps=1e-3, momentum=0.4),
    nn.LIF(3.0, 0.7, None, "gaussian", False, False, 6),
    nn.IF(0.7, -0.1, "triangular", False, 6),
    nn.MaxPool2d(3, 1),
    nn.AvgPool2d(4, 3),
    nn.Dropout(0.1),
    nn.Voting(2),
]


@pytest.mark.parametrize("layer", SETTINGS, ids=lambda layer: layer.kind)
def test_settings_that_are_no_defaults_come_back(layer: nn.Layer) -> None:
    kind = type(layer)
    settings = layer.settings()
    assert nn.build(kind.__name__, settings).settings() == settings
    plain = {"Linear": (3, 4), "Conv2d": (2, 3), "BatchNorm2d": (3,)}.get(kind.__name__, ())
    defaults = kind(*plain).settings()
    changed = {key for key in settings if settings[key] != defaults[key]}
    assert changed == set(settings) - {
        "in_features", "out_features", "in_channels", "out_channels", "num_features",
    }  # fmt: skip


def test_repr_of_a_network_names_layers_and_settings() -> None:
    text = repr(everything())
    assert text.startswith("Sequential(")
    assert "Dropout(p=0.25)" in text
    assert "out_channels=4" in text
    assert "T=4" in text


REFUSED: dict[str, tuple[Callable[[], Any], str]] = {
    "linear": (lambda: nn.Linear(0, 3), r"Linear: in_features \(=0\) must be a whole number"),
    "linear out": (lambda: nn.Linear(3, -1), r"out_features \(=-1\)"),
    "linear half": (lambda: nn.Linear(3, 2.5), r"out_features \(=2.5\)"),  # type: ignore[arg-type]
    "conv in": (lambda: nn.Conv2d(0, 1), r"Conv2d: in_channels \(=0\)"),
    "conv out": (lambda: nn.Conv2d(1, 0), r"out_channels \(=0\)"),
    "conv size": (lambda: nn.Conv2d(1, 1, 0), r"kernel_size \(=0\)"),
    "conv stride": (lambda: nn.Conv2d(1, 1, 3, 0), r"stride \(=0\)"),
    "conv padding": (lambda: nn.Conv2d(1, 1, 3, 1, -1), r"padding \(=-1\) must be"),
    "norm": (lambda: nn.BatchNorm1d(0), r"BatchNorm1d: num_features \(=0\)"),
    "norm momentum": (lambda: nn.BatchNorm2d(2, momentum=0), r"momentum \(=0\)"),
    "norm momentum above": (lambda: nn.BatchNorm2d(2, momentum=1.5), r"momentum \(=1.5\)"),
    "norm eps": (lambda: nn.BatchNorm2d(2, eps=0), r"eps \(=0\) be > 0"),
    "pool": (lambda: nn.MaxPool2d(0), r"MaxPool2d: kernel_size \(=0\)"),
    "average pool": (lambda: nn.AvgPool2d(-2), r"AvgPool2d: kernel_size \(=-2\)"),
    "dropout": (lambda: nn.Dropout(1.0), r"p \(=1.0\) must lie in \[0, 1\)"),
    "dropout below": (lambda: nn.Dropout(-0.5), r"p \(=-0.5\)"),
    "voting": (lambda: nn.Voting(0), r"Voting: group \(=0\)"),
    "tau": (lambda: nn.LIF(tau=1.0), r"tau \(=1.0\) must be greater than 1; .* use IF"),
    "tau NaN": (lambda: nn.LIF(tau=math.nan), r"tau \(=nan\)"),
    "reset": (lambda: nn.LIF(v_threshold=0.5, v_reset=0.5), r"v_reset \(=0.5\) must lie below"),
    "soft reset": (lambda: nn.IF(v_threshold=0.0, v_reset=None), r"IF: a soft reset needs"),
    "surrogate": (lambda: nn.LIF(surrogate="boxcar"), "'boxcar'.*atan"),
    "no layers": (lambda: nn.Sequential(), "at least one layer"),
    "a layer twice": (lambda: nn.Sequential(*[nn.Flatten()] * 2), "one and the same Flatten"),
    "unknown layer": (lambda: nn.build("Lineer", {}), "unknown layer 'Lineer'.*Linear"),
    "unknown setting": (lambda: nn.build("Linear", {"width": 3}), "Linear does not take.*width"),
    "missing setting": (lambda: nn.build("Linear", {"in_features": 3}), "Linear.*out_features"),
    "unknown surrogate": (
        lambda: nn.build("LIF", {"surrogate": {"name": "boxcar", "alpha": 1.0}}),
        "unknown surrogate 'boxcar'.*atan",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_settings_that_make_no_sense_are_refused(name: str) -> None:
    call, message = REFUSED[name]
    with pytest.raises(snnr.ConfigError, match=message):
        call()


def test_a_device_that_is_not_there() -> None:
    with pytest.raises(snnr.DeviceError, match=r"abacus.*cpu"):
        nn.Sequential(nn.Flatten(), device="abacus")
    assert nn.Sequential(nn.Flatten(), device="auto").device in ("cpu", "cuda")


def test_what_a_network_takes() -> None:
    net = nn.Sequential(nn.Flatten())
    with pytest.raises(snnr.ShapeError, match=r"uint8.*normalise images.*timesteps=T"):
        net(np.zeros((2, 1, 3, 3), np.uint8))
    assert net(np.zeros((2, 1, 3, 3))).dtype == np.float32
    spikes = Tensor(np.zeros((5, 2, 1, 3, 3), np.uint8), timesteps=5)
    assert net(spikes).shape == (5, 2, 9)
    with pytest.raises(snnr.ShapeError, match="needs the number of time steps"):
        nn.Sequential(nn.LIF())(np.zeros((2, 3), np.float32))
