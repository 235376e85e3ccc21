"""First values of weights: their distribution, their seeds, and what layers start from."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import snnr
from snnr import nn, optim
from snnr.nn import init

from .opaque import NAME, register

register()
Shape = tuple[int, ...]
SHAPES: list[Shape] = [(60, 50), (40, 12, 3, 2)]

#: initialiser of a fan_in and fan_out -> bound of a uniform one, or standard deviation
EXPECTED: dict[str, tuple[Callable[[], Any], str, Callable[[int, int], float]]] = {
    "kaiming_uniform": (init.kaiming_uniform, "uniform", lambda i, o: math.sqrt(6 / i)),
    "kaiming_uniform of outputs": (
        lambda: init.kaiming_uniform(1.0, "fan_out"), "uniform", lambda i, o: math.sqrt(3 / o),
    ),
    "kaiming_normal": (init.kaiming_normal, "normal", lambda i, o: math.sqrt(2 / i)),
    "kaiming_normal with a slope": (
        lambda: init.kaiming_normal(2.0), "normal", lambda i, o: math.sqrt(2 / 5 / i),
    ),
    "xavier_uniform": (init.xavier_uniform, "uniform", lambda i, o: math.sqrt(6 / (i + o))),
    "xavier_normal": (
        lambda: init.xavier_normal(3.0), "normal", lambda i, o: 3 * math.sqrt(2 / (i + o)),
    ),
    "normal": (lambda: init.normal(0, 0.2), "normal", lambda i, o: 0.2),
    "uniform": (lambda: init.uniform(-0.3, 0.3), "uniform", lambda i, o: 0.3),
}  # fmt: skip


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", EXPECTED)
def test_distributions(name: str, shape: Shape) -> None:
    make, kind, expected = EXPECTED[name]
    window = math.prod(shape[2:])
    size = expected(shape[1] * window, shape[0] * window)
    values = make()(shape, np.random.default_rng(0)).astype(float)
    assert values.shape == shape
    count = values.size
    deviation = size / math.sqrt(3) if kind == "uniform" else size
    # five standard errors
    assert abs(values.mean()) < 5 * deviation / math.sqrt(count)
    assert values.std() == pytest.approx(deviation, rel=5 / math.sqrt(2 * count))
    if kind == "uniform":
        assert 0.99 * size < abs(values).max() <= size * (1 + 1e-6)
    else:
        assert abs(values).max() > 2.5 * size


@pytest.mark.parametrize("shape", [(5, 9), (9, 5), (4, 3, 2, 2), (30, 2, 3, 1)])
def test_orthogonal(shape: Shape) -> None:
    rows = init.orthogonal(2.0)(shape, np.random.default_rng(0)).reshape(shape[0], -1)
    products = rows @ rows.T if rows.shape[0] <= rows.shape[1] else rows.T @ rows
    np.testing.assert_allclose(products, 4 * np.eye(len(products)), atol=1e-5)


def test_constants() -> None:
    rng = np.random.default_rng(0)
    for made, value in ((init.zeros(), 0), (init.ones(), 1), (init.constant(0.25), 0.25)):
        np.testing.assert_array_equal(made((2, 3), rng), np.full((2, 3), value, np.float32))


def test_layers_start_as_they_always_did() -> None:
    """Weight first, then bias, uniform in ±1/sqrt(fan_in), from one generator."""
    rng = np.random.default_rng(7)
    for layer, fan in ((nn.Linear(12, 5, rng=7), 12), (nn.Conv2d(3, 5, 2, rng=7), 12)):
        rng = np.random.default_rng(7)
        bound = 1.0 / math.sqrt(fan)
        for parameter in layer.parameters():
            drawn = rng.uniform(-bound, bound, parameter.shape).astype(np.float32)
            np.testing.assert_array_equal(parameter.numpy(), drawn)
    first = snnr.models.mnist_fc(seed=0).parameters()[0].numpy()[0, :3]
    np.testing.assert_allclose(first, [0.00978298, -0.01644381, -0.03278761], rtol=1e-6)


@pytest.mark.parametrize("device", ["reference", "cpu", NAME])
def test_a_seed_gives_the_same_bits_everywhere(device: str) -> None:
    expected = init.xavier_normal()((8, 6), np.random.default_rng(3))
    layer = nn.Linear(6, 8, rng=3, weight_init=init.xavier_normal()).to(device)
    np.testing.assert_array_equal(layer.weight.numpy(), expected)
    other = nn.Linear(6, 8).to(device)
    assert init.fill(other.weight, init.xavier_normal(), rng=3) is other.weight
    np.testing.assert_array_equal(other.weight.numpy(), expected)


def test_the_bias_keeps_its_own() -> None:
    layer = nn.Conv2d(4, 6, 3, rng=0, groups=2, weight_init=init.constant(0.5))
    np.testing.assert_array_equal(layer.weight.numpy(), np.full((6, 2, 3, 3), 0.5))
    assert layer.bias is not None
    drawn = np.random.default_rng(0).uniform(-1, 1, 6) / math.sqrt(18)
    np.testing.assert_allclose(layer.bias.numpy(), drawn, rtol=1e-6)


def test_one_s_own() -> None:
    layer = nn.Linear(3, 2, weight_init=lambda shape, rng: np.ones(shape, np.float32))
    np.testing.assert_array_equal(layer.weight.numpy(), np.ones((2, 3)))


@pytest.mark.parametrize("made", [init.kaiming_normal(), init.zeros(), init.constant(-0.5)])
def test_grad_r_takes_weights_as_it_finds_them(made: Any) -> None:
    layer = nn.Linear(30, 20, bias=False, rng=0, weight_init=made)
    optimizer = optim.GradR(layer.parameters(), prior=1e-3)
    for again in (False, True):
        if again:
            init.fill(layer.weight, init.orthogonal(), rng=1)
            optimizer.reconcile()
        state = optimizer.state[layer.weight]
        weight = layer.weight.numpy()
        np.testing.assert_array_equal(weight, state.sign * np.maximum(state.theta, 0))
        assert set(np.unique(state.sign)) <= {-1, 1}
    assert optimizer.connectivity() == pytest.approx(1)


def test_an_initialiser_is_no_part_of_a_file(tmp_path: Path) -> None:
    net = nn.Sequential(nn.Linear(3, 2, weight_init=init.ones()), nn.LIF(), T=2)
    found = snnr.load(snnr.save(tmp_path / "f.h5", net)).network
    assert "weight_init" not in repr(found)
    np.testing.assert_array_equal(found.parameters()[0].numpy(), np.ones((2, 3)))
    with pytest.raises(snnr.ConfigError, match=r"weight_init.*'ones'"):
        nn.build("Linear", {"in_features": 3, "out_features": 2, "weight_init": "ones"})


REFUSED: dict[str, tuple[Callable[[], Any], str]] = {
    "a name": (lambda: nn.Linear(3, 2, weight_init="ones"), "weight_init.*str 'ones'.*such as"),
    "not called": (
        lambda: nn.Linear(3, 2, weight_init=init.kaiming_uniform), r"call it.*kaiming_uniform\(",
    ),
    "a class": (lambda: nn.Conv2d(3, 2, weight_init=int), "class int"),
    "a mode": (lambda: init.kaiming_normal(mode="in"), "mode.*'in'.*fan_in or fan_out"),
    "a width below 0": (lambda: init.normal(0, -1), r"std \(=-1\) must be at least 0"),
    "ends exchanged": (lambda: init.uniform(1, 0), "low .* must not lie above high"),
    "a gain as text": (lambda: init.orthogonal("1"), "gain.*'1'.*number"),
    "a bias": (lambda: init.fill(nn.Linear(3, 2).bias, init.kaiming_normal()), r"\[2\] has no"),
    "an array": (lambda: init.fill(np.ones(3), init.ones()), "NumPy array.*layer.weight"),
    "a layer": (lambda: init.fill(nn.Linear(3, 2), init.ones()), "Linear.*is no snnr.Parameter"),
    "a shape": (
        lambda: nn.Linear(3, 2, weight_init=lambda s, r: np.ones((3, 2), np.float32)), r"\[3, 2\]",
    ),
    "a near miss": (lambda: init.kaiming, "did you mean kaiming_"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name: str) -> None:
    f, told = REFUSED[name]
    with pytest.raises((snnr.SnnrError, AttributeError), match=told):
        f()
