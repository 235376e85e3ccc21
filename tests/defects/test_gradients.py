"""A leaf owns its gradient: nobody else's numbers change with it."""

from collections.abc import Callable

import numpy as np
import pytest

from snnr import functional as F
from snnr import nn
from snnr.tensor import Tensor


@pytest.fixture(params=["cpu", "reference"])
def device(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


def leaf(device: str, *shape: int, steps: int | None = None, seed: int = 0) -> Tensor:
    values = np.random.default_rng(seed).normal(size=shape).astype(np.float32)
    return Tensor(values, True, timesteps=steps, device=device)


def owned(array: np.ndarray | None) -> np.ndarray:
    """The gradient, after checking that it is memory of its own that may be written."""
    assert array is not None
    assert array.flags.writeable
    assert all(stride for stride, size in zip(array.strides, array.shape, strict=True) if size > 1)
    return array


def test_the_two_sides_of_a_sum_have_gradients_of_their_own(device: str) -> None:
    a, b = leaf(device, 3, 4), leaf(device, 3, 4)
    F.total(F.add(a, b)).backward()
    first, second = owned(a.grad), owned(b.grad)
    assert not np.shares_memory(first, second)
    first[...] = 7
    np.testing.assert_array_equal(second, np.ones((3, 4)))


def test_the_gradient_that_was_handed_in_is_not_kept(device: str) -> None:
    a, b = leaf(device, 3, 4), leaf(device, 3, 4)
    given = np.full((3, 4), 2, np.float32)
    F.add(a, b).backward(given)
    given[...] = 9
    for x in (a, b):
        np.testing.assert_array_equal(owned(x.grad), np.full((3, 4), 2))
    owned(a.grad)[...] = 5
    np.testing.assert_array_equal(given, np.full((3, 4), 9))


OPERATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "total": F.total,
    "mean over time": lambda x: F.total(F.mean_time(x)),
    "add": lambda x: F.total(F.add(x, x)),
    "flatten": lambda x: F.total(F.flatten(x)),
    "voting": lambda x: F.total(F.voting(x, 2)),
    "multiply": lambda x: F.total(F.multiply(x, x)),
}


@pytest.mark.parametrize("name", OPERATIONS)
def test_the_gradient_of_every_leaf_may_be_changed_in_place(device: str, name: str) -> None:
    """Clipping, for example, scales it where it lies."""
    x = leaf(device, 2, 3, 4, steps=2)
    OPERATIONS[name](x).backward()
    gradient = owned(x.grad)
    before = gradient.copy()
    gradient *= np.float32(0.5)
    np.testing.assert_array_equal(x.grad, before / 2)


def test_gradients_of_a_second_pass_do_not_reach_who_kept_the_first(device: str) -> None:
    """What accumulates is the leaf's; a copy that was taken stays."""
    x, y = leaf(device, 3), leaf(device, 3)
    F.total(F.add(x, y)).backward()
    kept = owned(x.grad).copy()
    other = owned(y.grad)
    F.total(F.multiply(x, x)).backward()
    np.testing.assert_array_equal(other, np.ones(3))
    np.testing.assert_allclose(x.grad, kept + 2 * x.numpy(), rtol=1e-6)


def test_a_shared_sum_inside_the_graph_stays_right(device: str) -> None:
    """The same gradient goes two ways and comes together: adding in place would count it twice."""
    x, y, z = (leaf(device, 3, seed=seed) for seed in range(3))
    left = F.add(x, y)
    right = F.add(left, z)
    F.total(F.add(F.add(left, right), F.add(right, left))).backward()
    for tensor, expected in ((x, 4), (y, 4), (z, 2)):
        np.testing.assert_array_equal(owned(tensor.grad), np.full(3, expected))


def test_parameters_own_their_gradients(device: str) -> None:
    net = nn.Sequential(
        nn.Conv2d(1, 2, 3, rng=0), nn.BatchNorm2d(2), nn.LIF(), nn.Flatten(),
        nn.Linear(32, 3, rng=0), T=2, device=device,
    )  # fmt: skip
    x = leaf(device, 4, 1, 6, 6)
    F.total(net(x)).backward()
    arrays = [owned(p.grad) for p in net.parameters()] + [owned(x.grad)]
    for index, one in enumerate(arrays):
        assert not any(np.shares_memory(one, other) for other in arrays[:index])


def test_spikes_have_no_gradient(device: str) -> None:
    """Where whole numbers are asked for one, what they get is none."""
    spikes = Tensor(np.eye(3, dtype=np.uint8), requires_grad=True, device=device)
    weight = leaf(device, 2, 3)
    F.total(F.linear(spikes, weight)).backward()
    assert spikes.grad is None
    np.testing.assert_array_equal(owned(weight.grad), np.ones((2, 3)))
