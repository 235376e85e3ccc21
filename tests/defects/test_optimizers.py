"""An optimizer notices what was done to its weights, whose they are, and how often they moved."""

from collections.abc import Callable

import numpy as np
import pytest
from snnr.data import Dataset

import snnr
from snnr import functional as F
from snnr import nn, optim
from snnr.tensor import Parameter, Tensor
from snnr.training import Trainer


@pytest.fixture(params=["cpu", "reference"])
def device(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


def weight(device: str, rows: int = 4, columns: int = 5, seed: int = 0) -> Parameter:
    layer = nn.Linear(columns, rows, bias=False, rng=seed)
    nn.Sequential(layer, device=device)
    return layer.weight


def push(p: Parameter, gradient: np.ndarray | float) -> None:
    """Give a parameter this gradient, the way training does."""
    values = np.broadcast_to(np.float32(gradient), p.shape).copy()
    F.total(F.multiply(p, Tensor(values, device=p.device))).backward()


# Weights that were set by hand

SETTERS: dict[str, Callable[[Parameter, np.ndarray], None]] = {
    "data": lambda p, values: p.data.__setitem__(..., values),
    "assign": lambda p, values: p.assign(values),
}


@pytest.mark.parametrize("form", ["adam", "sgd"])
@pytest.mark.parametrize("setter", SETTERS)
def test_weights_set_by_hand_survive_the_next_step(device: str, setter: str, form: str) -> None:
    p = weight(device)
    optimizer = optim.GradR([p], lr=0.01, prior=0, form=form)
    push(p, 1.0)
    optimizer.step()
    optimizer.zero_grad()
    values = np.random.default_rng(5).normal(size=p.shape).astype(np.float32)
    values[0] = 0
    values[1] = -p.numpy()[1]
    SETTERS[setter](p, values)
    np.testing.assert_array_equal(p.numpy(), values)
    push(p, 0.0)
    optimizer.step()
    # Adam's first moment still moves them a little; what counts is from where
    np.testing.assert_allclose(p.numpy(), values, rtol=0, atol=0.02)
    theta = optimizer.state[p].theta
    assert theta is not None
    assert optimizer.state[p].sign is not None
    rebuilt = optimizer.state[p].sign * np.maximum(theta, 0)
    np.testing.assert_array_equal(p.numpy(), rebuilt)
    np.testing.assert_allclose(np.abs(theta)[1:], np.abs(values)[1:], rtol=0, atol=0.02)


@pytest.mark.parametrize("setter", SETTERS)
def test_a_pruned_weight_keeps_its_theta_when_others_are_set(device: str, setter: str) -> None:
    """Only where theta contradicts the weight is it derived anew."""
    p = weight(device)
    optimizer = optim.GradR([p], lr=0.5, prior=0, form="sgd")
    push(p, np.sign(p.numpy()) * 2)
    optimizer.step()
    optimizer.zero_grad()
    assert not p.numpy().any()
    before = np.array(optimizer.state[p].theta)
    assert (before < -0.5).all()
    values = np.zeros(p.shape, np.float32)
    values[2] = -0.25
    SETTERS[setter](p, values)
    push(p, 0.0)
    optimizer.step()
    np.testing.assert_array_equal(p.numpy(), values)
    theta = np.array(optimizer.state[p].theta)
    np.testing.assert_array_equal(theta[2], np.full(5, 0.25))
    np.testing.assert_array_equal(np.delete(theta, 2, axis=0), np.delete(before, 2, axis=0))


def test_a_weight_that_is_removed_by_hand_stays_removed(device: str) -> None:
    p = weight(device)
    optimizer = optim.GradR([p], lr=0.01, prior=0)
    p.data[:, 2] = 0
    push(p, 0.0)
    optimizer.step()
    assert not p.numpy()[:, 2].any()
    assert np.count_nonzero(p.numpy()) == 16
    assert optimizer.connectivity() == 16 / 20


def test_without_a_change_by_hand_nothing_is_derived_anew(device: str) -> None:
    p, q = weight(device), weight(device)
    for parameter in (p, q):
        optimizer = optim.GradR([parameter], lr=0.05, prior=0.1)
        for seed in range(20):
            push(parameter, np.random.default_rng(seed).normal(size=parameter.shape))
            optimizer.step()
            optimizer.zero_grad()
            if parameter is q:
                parameter.data[...] = parameter.data.copy()
    np.testing.assert_array_equal(p.numpy(), q.numpy())
    assert 0 < np.count_nonzero(p.numpy()) < 20


# Whose the parameters are


@pytest.mark.parametrize("method", [optim.Adam, optim.GradR])
def test_an_optimizer_of_another_network_is_refused(
    tiny: Dataset, method: type[optim.Optimizer]
) -> None:
    def network() -> nn.Sequential:
        return nn.Sequential(nn.Flatten(), nn.Linear(64, 4), nn.LIF(), T=2, device="reference")

    net, other = network(), network()
    with pytest.raises(snnr.ConfigError, match=r"none of .*network\.parameters\(\)"):
        Trainer(net, method(other.parameters()), tiny, 40, 1)
    Trainer(net, method(net.parameters()[:1]), tiny, 40, 1).fit()


# Connectivity


def test_adam_says_how_dense_its_weights_are_now(device: str) -> None:
    """Weights that come out of a pruned training and grow densely again."""
    p, q = weight(device), weight(device, 2, 3, seed=1)
    p.data[1:] = 0
    optimizer = optim.Adam([p, q], lr=0.01)
    assert optimizer.connectivity() == (5 + 6) / 26
    push(p, 1.0)
    push(q, 1.0)
    optimizer.step()
    assert np.count_nonzero(p.numpy()) == 20
    assert optimizer.connectivity() == 1.0


def test_a_pruned_weight_is_computed_densely_once_it_is_dense_again(device: str) -> None:
    """The hint that chooses the kernels follows: the result is that of the weight as it is."""
    net = nn.Sequential(nn.Linear(40, 30, bias=False, rng=0), device=device)
    (p,) = net.parameters()
    x = np.random.default_rng(1).normal(size=(6, 40)).astype(np.float32)
    pruning = optim.GradR([p], lr=10.0, prior=1.0)
    push(p, 0.0)
    pruning.step()
    pruning.zero_grad()
    assert pruning.connectivity() == 0
    assert not net(x).numpy().any()
    growing = optim.Adam([p], lr=0.01)
    push(p, np.random.default_rng(2).normal(size=p.shape))
    growing.step()
    assert growing.connectivity() == 1.0
    np.testing.assert_allclose(net(x).numpy(), x @ p.numpy().T, rtol=1e-4, atol=1e-5)


# Adam's bias correction


@pytest.mark.parametrize("method", [optim.Adam, optim.GradR])
@pytest.mark.parametrize("role", ["weight", "bias"])
def test_bias_correction_counts_the_steps_of_the_parameter(
    device: str, method: type[optim.Optimizer], role: str
) -> None:
    """A parameter that is thawed late takes the step that a first step is: lr against the sign."""

    def late(wait: int) -> np.ndarray:
        net = nn.Sequential(nn.Linear(5, 4, rng=0), device=device)
        chosen = {p.role: p for p in net.parameters()}
        always = chosen.pop("bias" if role == "weight" else "weight")
        (p,) = chosen.values()
        settings = {} if method is optim.Adam else {"prior": 0.0}
        optimizer = method(net.parameters(), lr=1e-3, **settings)  # type: ignore[arg-type]
        for _ in range(wait):
            push(always, 1.0)
            optimizer.step()
            optimizer.zero_grad()
        start = p.numpy().copy()
        moved = []
        for seed in range(3):
            push(p, np.random.default_rng(seed).normal(size=p.shape) + 3)
            optimizer.step()
            optimizer.zero_grad()
            moved.append(p.numpy() - start)
        return np.array(moved)

    first, after = late(0), late(7)
    np.testing.assert_allclose(first[0], np.full(first[0].shape, -1e-3), rtol=1e-3)
    np.testing.assert_array_equal(after, first)


def test_the_counts_of_steps_survive_a_checkpoint(tiny: Dataset, tmp_path: object) -> None:
    """A frozen layer's count differs from the optimizer's, before and after."""
    file = tmp_path / "c.h5"  # type: ignore[operator]
    net = nn.Sequential(nn.Flatten(), nn.Linear(64, 4, rng=0), nn.LIF(), T=2, device="reference")
    w, b = net.parameters()
    optimizer = optim.Adam(net.parameters(), lr=1e-3)
    for _ in range(4):
        push(w, 1.0)
        optimizer.step()
        optimizer.zero_grad()
    snnr.save(file, net, optimizer)
    found = snnr.load(file, device="reference")
    assert found.optimizer is not None
    again = found.network.parameters()[1]
    results = []
    for p, chosen in ((b, optimizer), (again, found.optimizer)):
        start = p.numpy().copy()
        push(p, 2.0)
        chosen.step()
        results.append(p.numpy() - start)
    np.testing.assert_allclose(results[0], np.full(4, -1e-3), rtol=1e-3)
    np.testing.assert_array_equal(*results)
