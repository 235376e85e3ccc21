"""Tensor and the tape: what a user builds, reads, differentiates and switches off."""

from collections.abc import Callable

import numpy as np
import pytest

import snnr
from snnr import functional as F
from snnr.tensor import Tensor, no_grad

DEVICES = ["cpu", "reference"]


@pytest.fixture(params=DEVICES)
def device(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


def leaf(values: object, device: str = "reference", **settings: object) -> Tensor:
    array = np.array(values, np.float32)
    return Tensor(array, requires_grad=True, device=device, **settings)  # type: ignore[arg-type]


# What a tensor holds


@pytest.mark.parametrize("dtype", [np.int64, np.int8, np.float16, np.complex64, bool, "U3", object])
def test_other_types_are_refused(dtype: object) -> None:
    with pytest.raises(snnr.ShapeError, match="float32, float64 or uint8"):
        Tensor(np.zeros((2, 3)).astype(dtype))  # type: ignore[call-overload]


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.uint8])
def test_what_went_in_is_what_comes_out(device: str, dtype: type) -> None:
    array = np.array([[0, 1, 1], [1, 0, 0]], dtype)
    x = Tensor(array, device=device)
    assert (x.shape, x.dtype, x.device, x.timesteps) == ((2, 3), np.dtype(dtype), device, None)
    assert x.requires_grad is False
    assert x.grad is None
    np.testing.assert_array_equal(x.data, array)
    np.testing.assert_array_equal(x.numpy(), array)
    assert x.numpy().dtype == dtype


@pytest.mark.parametrize("shape", [(2, 3, 4, 5), (3, 2, 3, 4, 5)])
def test_images_keep_their_public_shape(device: str, shape: tuple[int, ...]) -> None:
    array = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    x = Tensor(array, timesteps=3 if len(shape) == 5 else None, device=device)
    assert x.shape == shape
    np.testing.assert_array_equal(x.numpy(), array)
    np.testing.assert_array_equal(x.data, array)


@pytest.mark.parametrize(
    ("shape", "steps"), [((3, 2, 5), 2), ((4,), 4), ((), 1), ((0, 2), 1), ((2, 3, 4, 5), 3)]
)
def test_a_sequence_begins_with_its_time_axis(shape: tuple[int, ...], steps: int) -> None:
    with pytest.raises(snnr.ShapeError, match=rf"sequence of {steps} time steps"):
        Tensor(np.zeros(shape, np.float32), timesteps=steps)


def test_an_unknown_device_is_refused_at_the_latest_when_it_computes() -> None:
    with pytest.raises(snnr.DeviceError, match=r"abacus.*cpu"):
        F.total(Tensor(np.zeros(3, np.float32), device="abacus"))


def test_item(device: str) -> None:
    assert Tensor(np.array(2.5, np.float32), device=device).item() == 2.5
    value = Tensor(np.array([[7.0]]), device=device).item()
    assert value == 7
    assert type(value) is float
    with pytest.raises(ValueError, match=r"size 1|one element"):
        Tensor(np.zeros(2, np.float32), device=device).item()


def test_repr_says_shape_type_time_and_device() -> None:
    text = repr(Tensor(np.zeros((4, 2, 3), np.float32), timesteps=4, device="reference"))
    assert text == "Tensor([4, 2, 3], float32, T=4, reference)"
    assert repr(Tensor(np.zeros((2, 3), np.uint8))) == "Tensor([2, 3], uint8, cpu)"


def test_detach_shares_the_values_and_leaves_the_tape(device: str) -> None:
    x = leaf(np.ones((2, 3, 4)), device, timesteps=2)
    y = F.multiply(x, x)
    cut = y.detach()
    assert (cut.requires_grad, cut.timesteps, cut.device) == (False, 2, device)
    assert np.shares_memory(cut.data, y.data)
    F.total(F.multiply(cut, x)).backward()
    # through y the gradient would be 3 x^2
    np.testing.assert_array_equal(x.grad, np.ones((2, 3, 4)))


# Backward


def test_backward_needs_a_gradient_of_the_shape(device: str) -> None:
    x = leaf(np.ones((2, 3)), device)
    y = F.multiply(x, x)
    with pytest.raises(snnr.ShapeError, match=r"\[2, 3\] needs the gradient"):
        y.backward()
    with pytest.raises(snnr.ShapeError, match=r"\[3, 2\].*\[2, 3\]"):
        y.backward(np.ones((3, 2), np.float32))
    with pytest.raises(snnr.ShapeError, match=r"\[\].*\[2, 3\]"):
        y.backward(np.float32(1))  # type: ignore[arg-type]
    y.backward(np.full((2, 3), 5, np.float32))
    np.testing.assert_array_equal(x.grad, np.full((2, 3), 10))


def test_the_chain_rule(device: str) -> None:
    a, b = leaf([1.0, 2, 3], device), leaf([4.0, 5, 6], device)
    F.total(F.multiply(F.multiply(a, b), a)).backward()
    np.testing.assert_array_equal(a.grad, 2 * a.data * b.data)
    np.testing.assert_array_equal(b.grad, a.data**2)


def test_gradients_add_up_over_the_uses_of_a_leaf(device: str) -> None:
    x = leaf([1.0, -2, 3], device)
    F.total(F.add(F.multiply(x, x), F.add(x, x))).backward()
    np.testing.assert_array_equal(x.grad, 2 * x.data + 2)


def test_gradients_add_up_where_a_result_is_used_more_than_once(device: str) -> None:
    a, b, c = (leaf(values, device) for values in ([1.0, 2], [3.0, -4], [0.5, 7]))
    y = F.multiply(a, b)
    z = F.add(F.multiply(y, c), F.add(y, F.multiply(y, y)))
    F.total(z).backward()
    outer = c.data + 1 + 2 * a.data * b.data
    np.testing.assert_array_equal(a.grad, b.data * outer)
    np.testing.assert_array_equal(b.grad, a.data * outer)
    np.testing.assert_array_equal(c.grad, a.data * b.data)


def test_a_long_way_and_a_short_way_to_the_same_node() -> None:
    """A node waits for the gradients of all that use it, whichever was recorded first."""
    for first in (True, False):
        x = leaf([2.0])
        y = F.multiply(x, x)
        long = F.multiply(F.multiply(F.multiply(y, y), y), y)
        F.total(F.add(y, long) if first else F.add(long, y)).backward()
        np.testing.assert_array_equal(x.grad, [2 * 2 + 8 * 2**7])


def test_gradients_of_two_passes_add_up(device: str) -> None:
    x = leaf([1.0, 2], device)
    for _ in range(2):
        F.total(F.multiply(x, x)).backward()
    np.testing.assert_array_equal(x.grad, 4 * x.data)


def test_a_leaf_takes_a_gradient_directly(device: str) -> None:
    x = leaf([1.0, 2], device)
    given = np.array([3, 4], np.float32)
    x.backward(given)
    given[...] = [10, 20]
    np.testing.assert_array_equal(x.grad, [3, 4])
    x.backward(given)
    np.testing.assert_array_equal(x.grad, [13, 24])


def test_who_wants_no_gradient_gets_none(device: str) -> None:
    x, fixed = leaf([1.0, 2], device), Tensor(np.array([3, 4], np.float32), device=device)
    y = F.multiply(x, fixed)
    F.total(y).backward()
    assert fixed.grad is None
    assert y.grad is None
    np.testing.assert_array_equal(x.grad, fixed.data)


def test_a_graph_serves_once(device: str) -> None:
    x = leaf([1.0, 2], device)
    y = F.multiply(x, x)
    loss = F.total(y)
    loss.backward()
    with pytest.raises(RuntimeError, match=r"freed.*run forward again"):
        loss.backward()
    with pytest.raises(RuntimeError, match="freed"):
        F.total(F.multiply(y, x)).backward()
    np.testing.assert_array_equal(y.data, [1, 4])


def test_a_deep_graph_needs_no_deep_stack() -> None:
    x = leaf([1.0])
    y = x
    for _ in range(3000):
        y = F.add(y, x)
    y.backward()
    np.testing.assert_array_equal(x.grad, [3001])


@pytest.mark.parametrize("pair", [("cpu", "reference"), ("reference", "cpu")])
def test_tensors_of_two_devices_do_not_meet(pair: tuple[str, str]) -> None:
    x, y = (Tensor(np.ones((2, 2), np.float32), device=device) for device in pair)
    for operation in (F.add, F.multiply, F.linear, F.mse_loss):
        with pytest.raises(snnr.DeviceError, match=rf"{pair[0]} and {pair[1]}"):
            operation(x, y)  # type: ignore[operator]


# Switching recording off


def recorded() -> bool:
    x = leaf([1.0])
    return F.add(x, x).requires_grad


def test_nothing_is_recorded_inside() -> None:
    x = leaf([1.0, 2])
    with no_grad():
        y = F.multiply(x, x)
        assert not y.requires_grad
        inside = leaf([3.0, 4])
        assert inside.requires_grad
    F.total(F.multiply(y, x)).backward()
    np.testing.assert_array_equal(x.grad, [1, 4])
    F.total(F.multiply(inside, y)).backward()
    np.testing.assert_array_equal(inside.grad, [1, 4])


def test_no_grad_nests() -> None:
    assert recorded()
    with no_grad():
        with no_grad():
            assert not recorded()
        assert not recorded()
    assert recorded()


def test_no_grad_ends_with_an_exception() -> None:
    def fail() -> None:
        with no_grad():
            raise KeyError("inside")

    with pytest.raises(KeyError):
        fail()
    assert recorded()
    with no_grad():
        with pytest.raises(KeyError):
            fail()
        assert not recorded()


def test_no_grad_decorates() -> None:
    @no_grad()
    def quietly(check: Callable[[], bool]) -> bool:
        return check()

    for _ in range(2):
        assert not quietly(recorded)
        assert recorded()


def test_backward_works_inside() -> None:
    """Recording is a matter of the forward pass alone."""
    x = leaf([3.0])
    y = F.multiply(x, x)
    with no_grad():
        y.backward()
    np.testing.assert_array_equal(x.grad, [6])


def test_numpy_may_ask_for_another_type(device: str) -> None:
    x = Tensor(np.array([1, 0], np.uint8), device=device)
    assert x.__array__(np.float64).dtype == np.asarray(x, np.float64).dtype == np.float64
    assert np.asarray(x).dtype == np.uint8
