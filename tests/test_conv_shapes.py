"""Convolutions that are not square, and in groups: shapes, numbers, files, compiled networks."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import snnr
from snnr import functional as F
from snnr import nn, optim
from snnr.activity import ActivityCounter, dense_operations
from snnr.gradient_check import gradcheck
from snnr.models import SpecError
from snnr.tensor import Tensor

from .opaque import NAME, register

register()

#: kernel size, stride, padding, groups of 6 channels to 12
GEOMETRIES: list[tuple[Any, Any, Any, int]] = [
    ((3, 1), 1, (1, 0), 1), ((2, 3), (2, 1), (0, 2), 1), (3, 1, 1, 6), ((3, 2), (1, 2), 1, 3),
    ((1, 5), 1, (0, 2), 2), (3, (2, 2), (1, 1), 6),
]  # fmt: skip


def expanded(weight: np.ndarray, groups: int) -> np.ndarray:
    """The weight without groups: 0 between channels of different ones."""
    outputs, per, *taps = weight.shape
    whole = np.zeros((outputs, per * groups, *taps), weight.dtype)
    for o in range(outputs):
        first = o // (outputs // groups) * per
        whole[o, first : first + per] = weight[o]
    return whole


@pytest.mark.parametrize("device", ["reference", "cpu", NAME])
@pytest.mark.parametrize("geometry", GEOMETRIES, ids=str)
def test_a_layer(geometry: Any, device: str) -> None:
    size, stride, padding, groups = geometry
    layer = nn.Conv2d(6, 12, size, stride, padding, rng=0, groups=groups).to(device)
    values = np.random.default_rng(1).standard_normal((2, 6, 5, 7)).astype(np.float32)
    x = Tensor(values, True, device=device)
    out = layer(x)
    assert out.shape[1:] == layer.output_shape((6, 5, 7))
    assert layer.weight.shape[1] == 6 // groups
    whole = Tensor(expanded(layer.weight.numpy(), groups), True, device=device)
    y = Tensor(values, True, device=device)
    same = F.conv2d(y, whole, layer.bias, stride, padding)
    np.testing.assert_allclose(out.numpy(), same.numpy(), atol=2e-6)
    grad = np.random.default_rng(2).standard_normal(out.shape).astype(np.float32)
    out.backward(grad)
    same.backward(grad)
    one, other = x.grad_numpy(), y.grad_numpy()
    assert one is not None
    np.testing.assert_allclose(one, other, atol=1e-5)
    weight, found = whole.grad_numpy(), layer.weight.grad_numpy()
    assert weight is not None
    assert found is not None
    # outside of the groups no weight is, and no gradient wanted
    inside = expanded(np.ones(layer.weight.shape), groups) != 0
    np.testing.assert_allclose(found.reshape(-1), weight[inside], atol=1e-4)


@pytest.mark.parametrize("groups", [2, 4])
def test_gradients(groups: int) -> None:
    rng = np.random.default_rng(0)
    x = Tensor(rng.standard_normal((2, 3, 4, 5, 6)), timesteps=2, device="reference")
    weight, bias = rng.standard_normal((8, 4 // groups, 3, 2)), rng.standard_normal(8)
    inputs = [x, *(Tensor(one, device="reference") for one in (weight, bias))]
    gradcheck(
        lambda t: F.conv2d(*t, stride=(2, 1), padding=(1, 0), groups=groups), inputs, rtol=1e-8
    )


def test_two_equal_numbers_are_one() -> None:
    layer = nn.Conv2d(1, 2, (3, 3), [2, 2], (1, 1))
    assert (layer.kernel_size, layer.stride, layer.padding, layer.groups) == (3, 2, 1, 1)
    assert "groups" not in layer.settings()
    np.testing.assert_array_equal(
        nn.Conv2d(1, 2, (3, 3), rng=5).weight.numpy(), nn.Conv2d(1, 2, 3, rng=5).weight.numpy()
    )


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "same": ({"padding": "same"}, r"padding \(='same'\).*half of an odd kernel_size keeps"),
    "three": ({"kernel_size": (3, 3, 3)}, r"kernel_size \(=\(3, 3, 3\)\).*or two for rows and col"),
    "one in a tuple": ({"stride": (2,)}, r"stride \(=\(2,\)\).*whole number, or two"),
    "none": ({"stride": ()}, "stride"),
    "a zero": ({"stride": (1, 0)}, r"\(1, 0\).*from 1 to 1024"),
    "halves": ({"kernel_size": (1.5, 2)}, r"\(1.5, 2\)"),
    "input": ({"groups": 4}, r"in_channels \(=6\) must be divisible by groups \(=4\)"),
    "output": ({"groups": 3}, r"out_channels \(=8\) must be divisible by groups \(=3\)"),
    "no groups": ({"groups": 0}, r"groups \(=0\).*at least 1"),
    "half a group": ({"groups": 1.5}, "groups"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name: str) -> None:
    settings, told = REFUSED[name]
    with pytest.raises(snnr.ConfigError, match=told):
        nn.Conv2d(6, 8, **settings)


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"padding": "same"}, "'same'.*half of an odd kernel"), ({"stride": None}, "None"),
        ({"stride": (1, 2, 3)}, r"\(1, 2, 3\)"), ({"padding": -1}, "at least 0"),
        ({"groups": 3}, "groups.*divides the 4"), ({"groups": 2}, "expects in=6 for groups=2"),
    ],
)  # fmt: skip
def test_refused_by_the_function(settings: Any, told: str) -> None:
    x, weight = (Tensor(np.zeros(s, np.float32)) for s in ((1, 3, 5, 5), (4, 3, 3, 3)))
    with pytest.raises(snnr.ShapeError, match=told):
        F.conv2d(x, weight, **settings)


# A network of such layers


def network(square: bool = True, device: str = "cpu") -> nn.Sequential:
    first = nn.Conv2d(2, 6, 3, 2, 1, rng=0) if square else nn.Conv2d(2, 6, (3, 1), 2, 1, rng=0)
    return nn.Sequential(
        first, nn.BatchNorm2d(6), nn.LIF(), nn.Conv2d(6, 12, 3, padding=1, rng=1, groups=6),
        nn.LIF(), nn.MaxPool2d(2), nn.Conv2d(12, 8, 1, rng=2, bias=False, groups=4), nn.LIF(),
        nn.Flatten(), nn.Linear(32, 4, rng=3), nn.LIF(), T=4, device=device,
    )  # fmt: skip


IMAGES = 2 * np.random.default_rng(0).standard_normal((5, 2, 8, 8)).astype(np.float32)


@pytest.mark.parametrize("square", [True, False])
@pytest.mark.parametrize("method", ["grad-r", "set"])
def test_it_trains_prunes_and_is_saved(square: bool, method: str, tmp_path: Path) -> None:
    net = network(square)
    for p in net.parameters():
        if p.role == "weight":
            p.assign(3 * p.numpy())
    kind: Any = optim.METHODS[method]
    settings = {"prior": 2.0} if method == "grad-r" else {"target_connectivity": 0.3}
    optimizer = kind(net.parameters(), lr=0.02, **settings)
    optimizer.begin(net, 6)
    for _ in range(6):
        loss = F.label_mse_loss(F.mean_time(net(IMAGES)), [0, 1, 2, 3, 0])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert 0 < optimizer.connectivity() < 1
    found = snnr.load(snnr.save(tmp_path / "f.h5", net, optimizer)).network
    assert repr(found) == repr(net)
    np.testing.assert_array_equal(found.eval()(IMAGES).numpy(), net.eval()(IMAGES).numpy())


@pytest.mark.parametrize(
    ("key", "value"),
    [("groups", 5), ("groups", 0), ("groups", "2"), ("kernel_size", [3, "1"]), ("stride", [0, 1]),
     ("kernel_size", [3] * 9), ("padding", {"a": 1}), ("kernel_size", [[3, 1], 1])],
)  # fmt: skip
def test_settings_of_a_file_are_checked(key: str, value: Any) -> None:
    settings = {"in_channels": 6, "out_channels": 12, "kernel_size": [3, 1], "groups": 6}
    made = nn.build("Conv2d", settings)
    assert isinstance(made, nn.Conv2d)
    assert (made.kernel_size, made.groups) == ((3, 1), 6)
    with pytest.raises(snnr.ConfigError, match=key):
        nn.build("Conv2d", {**settings, key: value}, empty=True)


def test_a_compiled_network_has_groups(tmp_path: Path) -> None:
    net = network().eval()
    for p in net.parameters():
        if p.role == "weight":
            p.assign(np.where(np.arange(p.size).reshape(p.shape) % 3 == 0, 0, 9 * p.numpy()))
    expected = net(IMAGES)
    assert 0 < expected.numpy().mean() < 1
    for source in (net, snnr.save(tmp_path / "f.h5", net)):
        compiled = snnr.compile(source, input_shape=(2, 8, 8))
        np.testing.assert_allclose(compiled.rates(IMAGES), expected.numpy().mean(axis=0), atol=1e-6)


def test_what_is_not_square_is_not_compiled(tmp_path: Path) -> None:
    net = network(False)
    for source in (net, snnr.save(tmp_path / "f.h5", net)):
        with pytest.raises(snnr.ConfigError, match=r"0_conv2d.*3 by 1.*run the dense network"):
            snnr.compile(source, input_shape=(2, 8, 8))


def test_a_spec_has_no_such_words() -> None:
    for spec in ("4c3x1-lif-fc4-lif", "4c(3,1)-lif-fc4-lif", "4c3g2-lif-fc4-lif"):
        with pytest.raises(SpecError, match="4c"):
            snnr.models.make(spec)


@pytest.mark.parametrize("geometry", GEOMETRIES, ids=str)
def test_operations_are_those_without_groups(geometry: Any) -> None:
    size, stride, padding, groups = geometry
    layer = nn.Conv2d(6, 12, size, stride, padding, rng=0, groups=groups)
    weight = layer.weight.numpy() * (np.arange(layer.weight.size).reshape(layer.weight.shape) % 3)
    layer.weight.assign(weight)
    alive = expanded(weight != 0, groups).astype(np.float64)
    spikes = np.random.default_rng(0).integers(0, 5, (6, 5, 7))
    x, w = Tensor(spikes[None].astype(np.float64)), Tensor(alive)
    expected = F.conv2d(x, w, None, stride, padding).sum().item()
    assert snnr.activity.synaptic_operations(layer, spikes) == expected
    whole = Tensor(expanded(np.ones(weight.shape), groups))
    ones = Tensor(np.ones((1, 6, 5, 7)))
    assert (
        dense_operations(layer, (6, 5, 7))
        == F.conv2d(ones, whole, None, stride, padding).sum().item()
    )
    net = nn.Sequential(layer, nn.LIF(), T=2).eval()
    counter = ActivityCounter(net)
    with snnr.no_grad(), counter.watching():
        net(np.zeros((1, 6, 5, 7), np.float32))
    assert counter.result().images == 1


def test_nir_brings_them_in(tmp_path: Path) -> None:
    nir = pytest.importorskip("nir")
    weight = np.random.default_rng(0).standard_normal((4, 2, 3, 3)).astype(np.float32)
    for groups in (1, 2):
        node = nir.Conv2d(
            input_shape=(5, 6), weight=weight, stride=(2, 1), padding=(1, 0), dilation=1,
            groups=groups, bias=np.zeros(4, np.float32),
        )  # fmt: skip
        graph = nir.NIRGraph.from_list(
            nir.Input({"input": np.array([2 * groups, 5, 6])}), node,
            nir.Output({"output": np.array([4, 3, 4])}), type_check=False,
        )  # fmt: skip
        nir.write(tmp_path / f"{groups}.nir", graph)
    found = snnr.load_nir(tmp_path / "1.nir")
    (layer,) = (one for one in found.layers() if isinstance(one, nn.Conv2d))
    assert layer.geometry == ((3, 3), (2, 1), (1, 0))
    np.testing.assert_array_equal(layer.weight.numpy(), weight)
    # nir itself knows neither groups nor kernels that are not square
    with pytest.raises(snnr.SnnrError, match=r"2\.nir"):
        snnr.load_nir(tmp_path / "2.nir")
