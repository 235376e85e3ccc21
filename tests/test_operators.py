"""Operators of tensors: what NumPy says of the same arrays, on every backend, and on the tape."""

import operator
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import snnr
from snnr import functional as F
from snnr import kernels, nn
from snnr.gradient_check import gradcheck
from snnr.tensor import Tensor
from snnr.tensor.broadcast import joined

from .opaque import NAME, register

register()
DEVICES = ["reference", "cpu", NAME]
ARITHMETIC = {name: getattr(operator, name) for name in ("add", "sub", "mul", "truediv")}

Shape = tuple[int, ...]


@pytest.fixture(params=DEVICES)
def device(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


def made(shape: Shape, steps: int | None, device: str, seed: int = 0) -> Tensor:
    """Float64, nowhere near 0."""
    values = np.random.default_rng([seed, *shape]).standard_normal(shape)
    return Tensor(values + np.sign(values) / 2, timesteps=steps, device=device)


def fired(shape: Shape, steps: int | None, device: str) -> Tensor:
    values = np.random.default_rng(1).random(shape) < 0.5
    return Tensor(values.astype(np.uint8), timesteps=steps, device=device)


#: shape and time steps of two operands that fit each other as in NumPy
FITTING: list[tuple[Shape, int | None, Shape, int | None]] = [
    ((3, 4), None, (3, 4), None), ((3, 4), None, (4,), None), ((3, 1), None, (1, 4), None),
    ((2, 3, 4), 2, (2, 3, 4), 2), ((2, 3, 4), 2, (3, 4), None), ((4,), None, (2, 3, 4), 2),
    ((1, 3, 4), 1, (2, 3, 4), 2), ((3, 4, 5, 6), None, (4, 1, 1), None),
    ((2, 3, 4, 5, 6), 2, (3, 4, 5, 6), None), ((1, 4, 1, 1), None, (2, 3, 4, 5, 6), 2),
    ((2, 1, 4, 1, 6), 2, (1, 3, 1, 5, 6), 1), ((3, 4, 5), None, (1,), None),
]  # fmt: skip


@pytest.mark.parametrize("name", ARITHMETIC)
@pytest.mark.parametrize("operands", FITTING, ids=str)
def test_two_tensors(name: str, operands: Any, device: str) -> None:
    f, (first, steps, second, others) = ARITHMETIC[name], operands
    a, b = made(first, steps, device), made(second, others, device, 1)
    found = f(a, b)
    expected = f(a.numpy(), b.numpy())
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-14)
    assert found.shape == expected.shape
    assert found.timesteps == max((n for n in (steps, others) if n is not None), default=None)
    gradcheck(lambda t: f(*t), [a, b])


def test_a_sequence_of_vectors_broadcasts_behind_its_time_axis(device: str) -> None:
    """NumPy knows of no time axis and would compare it with a batch."""
    a, b = made((2, 3, 4), 2, device), made((2, 4), 2, device)
    np.testing.assert_array_equal((a + b).numpy(), a.numpy() + b.numpy()[:, None])


@pytest.mark.parametrize(
    ("a", "b", "shape"),
    [((), (), ()), ((3,), (), (3,)), ((2, 1), (3,), (2, 3)), ((0,), (1,), (0,)), ((2,), (3,), None),
     ((2, 3), (2, 1, 3), (2, 2, 3)), ((1, 0), (2, 3), None)],
)  # fmt: skip
def test_joined_shapes(a: Shape, b: Shape, shape: Shape | None) -> None:
    assert joined(a, b) == joined(b, a) == shape


NUMBERS: dict[str, Callable[[Any], Any]] = {
    "plus": lambda x: x + 2, "from": lambda x: 2.5 - x, "minus": lambda x: x - 0.1,
    "times": lambda x: 3 * x, "over": lambda x: x / 3, "into": lambda x: 1 / x,
    "square": lambda x: x**2, "cube": lambda x: x**3, "inverse": lambda x: x**-1,
    "negative": lambda x: -x, "numpy's": lambda x: np.float64(0.3) * x - np.int64(2),
    "numpy over": lambda x: np.float32(2) / x, "first": lambda x: x**1, "none": lambda x: x**0,
}  # fmt: skip


@pytest.mark.parametrize("name", NUMBERS)
def test_numbers(name: str, device: str) -> None:
    x = made((2, 3, 4), 2, device)
    found = NUMBERS[name](x)
    assert isinstance(found, Tensor)
    assert found.timesteps == 2
    np.testing.assert_allclose(found.numpy(), NUMBERS[name](x.numpy()), rtol=1e-14)
    gradcheck(lambda t: NUMBERS[name](t[0]), [x])


def test_roots(device: str) -> None:
    x = Tensor(np.array([0.25, 4.0]), device=device)
    np.testing.assert_array_equal((x**0.5).numpy(), [0.5, 2])
    gradcheck(lambda t: t[0] ** 0.5 + t[0] ** -1.5, [x])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_number_takes_the_dtype_of_the_tensor(device: str, dtype: Any) -> None:
    x = Tensor(np.array([[1, 3]], dtype), device=device)
    for found in (x + 0.1, 1 / x, np.float64(0.1) * x, x**2, x.mean()):
        assert found.dtype == dtype
    np.testing.assert_array_equal((x + 0.1).numpy(), x.numpy() + dtype(0.1))
    np.testing.assert_array_equal((x / 3).numpy(), x.numpy() / dtype(3))


def test_spikes(device: str) -> None:
    s, x = fired((2, 3, 4), 2, device), made((3, 4), None, device)
    host = s.numpy().astype(float)
    assert (s * s).dtype == np.uint8
    assert s[:, 1:].dtype == np.uint8
    for found, expected in (
        (s + s, host + host), (s - s, host - host), (-s, -host), (1 - s, 1 - host),
        (s * 0.5, host * 0.5), (s / 2, host / 2), (s**2, host), (s + x, host + x.numpy()),
        (x - s, x.numpy() - host), (s * x, host * x.numpy()), (s / x, host / x.numpy()),
        (s.sum(), host.sum()), (s.mean(axis=0), host.mean(axis=0)), (s[1], host[1]),
    ):  # fmt: skip
        np.testing.assert_allclose(found.numpy(), expected, rtol=1e-6)
    assert (s + x).dtype == np.float64


INDICES: dict[str, Any] = {
    "one": 0, "last": -1, "a class": (slice(None), 1), "the last class": (..., -1),
    "some": slice(1, None), "backwards": (slice(None, None, -1), slice(3, 0, -2)),
    "one of each": (1, 2, 1), "an axis put in": (slice(None), None), "behind": (..., None),
    "whole": ..., "none of them": (slice(None), slice(2, 2)), "in the middle": (0, ..., 2),
}  # fmt: skip
TENSORS: list[tuple[Shape, int | None]] = [
    ((2, 4, 5), None), ((2, 4, 5), 2), ((2, 4, 5, 3), None), ((2, 3, 4, 5, 3), 2),
]  # fmt: skip


@pytest.mark.parametrize("key", INDICES)
@pytest.mark.parametrize(("shape", "steps"), TENSORS)
def test_index(key: str, shape: Shape, steps: int | None, device: str) -> None:
    x, index = made(shape, steps, device), INDICES[key]
    found, expected = x[index], x.numpy()[index]
    assert found.shape == expected.shape
    np.testing.assert_array_equal(found.numpy(), expected)
    if expected.size:
        gradcheck(lambda t: t[0][index], [x])


def test_an_index_on_the_time_axis(device: str) -> None:
    x = made((3, 2, 4, 5, 6), 3, device)
    assert (x[0].timesteps, x[1:].timesteps, x[:, 0].timesteps) == (None, 2, 3)
    assert x[:, 0, 0, 0, 0].timesteps is None
    F.conv2d(x[0], made((2, 4, 3, 3), None, device))
    assert len(x) == len(list(x)) == 3
    np.testing.assert_array_equal(list(x)[2].numpy(), x.numpy()[2])


@pytest.mark.parametrize("kind", ["sum", "mean"])
@pytest.mark.parametrize("keepdims", [False, True])
@pytest.mark.parametrize("axis", [None, 0, 1, -1, (0, 2), (-1, -2), ()])
@pytest.mark.parametrize(("shape", "steps"), TENSORS)
def test_sums_and_means(
    shape: Shape, steps: int | None, axis: Any, keepdims: bool, kind: str, device: str
) -> None:
    x = made(shape, steps, device)
    found = getattr(x, kind)(axis, keepdims)
    expected = getattr(np, kind)(x.numpy(), axis=axis, keepdims=keepdims)
    assert found.shape == expected.shape
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-12, atol=1e-12)
    gradcheck(lambda t: getattr(t[0], kind)(axis, keepdims), [x])


def test_time_in_sums(device: str) -> None:
    x = made((4, 3, 5), 4, device)
    assert x.mean(axis=0).timesteps is None
    assert x.sum(axis=-1).timesteps == 4
    assert x.sum(axis=(1, 2)).timesteps is None
    assert x.mean(axis=0, keepdims=True).timesteps == 1
    np.testing.assert_array_equal((x - x.mean(0, keepdims=True)).sum(0).shape, (3, 5))
    np.testing.assert_allclose(x.mean(axis=0).numpy(), F.mean_time(x).numpy(), rtol=1e-14)


@pytest.mark.parametrize("shape", [(4, 3), (2, 4, 3, 3)])
def test_a_penalty_on_weights(shape: Shape, device: str) -> None:
    """Weights lie in memory as their kernels want them."""
    layer = nn.Linear(3, 4, rng=0) if len(shape) == 2 else nn.Conv2d(4, 2, 3, rng=0)
    weight, bias = layer.to(device).parameters()
    scaled = weight * bias[:, None] if len(shape) == 2 else weight / 2
    assert scaled.shape == weight.shape == shape
    ((weight * weight).sum() + scaled.mean(axis=0).sum()).backward()
    found = weight.grad_numpy()
    assert found is not None
    slope = bias.numpy()[:, None] / 4 if len(shape) == 2 else 1 / 4
    np.testing.assert_allclose(found, 2 * weight.numpy() + slope, rtol=1e-5)


def test_one_element(device: str) -> None:
    loss = (made((3,), None, device) * 2).sum()
    assert f"{loss:.2f}" == f"{loss.item():.2f}"
    assert f"{loss}" == repr(loss)
    assert float(loss) == loss.item()
    assert bool(loss)
    assert not bool(loss * 0)


# A loss of one's own


@pytest.mark.parametrize("device", ["cpu", "reference"])
def test_a_loss_by_hand_trains_as_the_one_by_name(device: str) -> None:
    rng = np.random.default_rng(0)
    images = 2 * rng.standard_normal((32, 1, 6, 6)).astype(np.float32)
    labels = rng.integers(0, 4, 32)
    target = Tensor(F.one_hot(labels, 4), device=device)

    def by_hand(spikes: Tensor) -> Tensor:
        return ((spikes.mean(axis=0) - target) ** 2).mean()

    def by_name(spikes: Tensor) -> Tensor:
        return F.mse_loss(F.mean_time(spikes), target)

    runs = []
    for loss in (by_hand, by_name):
        net = snnr.models.mnist_fc(4, 6, device=device, input_shape=(1, 6, 6), classes=4, hidden=30)
        optimizer = snnr.optim.GradR(net.parameters(), lr=0.03, prior=1e-3)
        values = []
        for _ in range(25):
            value = loss(net(images))
            optimizer.zero_grad()
            value.backward()
            optimizer.step()
            values.append(value.item())
        runs.append((values, [p.numpy() for p in net.parameters()]))
    assert runs[0][0][-1] < 0.6 * runs[0][0][0]
    np.testing.assert_allclose(runs[0][0], runs[1][0], rtol=1e-4)
    np.testing.assert_allclose(runs[0][1][0], runs[1][1][0], atol=1e-3)


def test_the_first_loss_by_hand_is_that_by_name_to_the_bit() -> None:
    x, target = np.random.default_rng(3).standard_normal((2, 17, 10)).astype(np.float32)
    grads, losses = [], []
    for loss in (lambda a, b: ((a - b) ** 2).mean(), F.mse_loss):
        a = Tensor(x, requires_grad=True)
        value = loss(a, Tensor(target))
        value.backward()
        grads.append(a.grad)
        losses.append(value.item())
    assert losses[0] == losses[1]
    np.testing.assert_allclose(grads[0], grads[1], rtol=1e-6)


# What is refused

X, Y = made((3, 4), None, "reference"), made((2, 3), 2, "reference")
SINGLE = snnr.Tensor(np.ones(3, np.float32))
REFUSED: dict[str, tuple[Callable[[], Any], type[Exception], str]] = {
    "an array": (lambda: X + np.ones(4), snnr.ArgumentError, r"\+: .*NumPy array \[4\].*wrap it"),
    "an array on the left": (lambda: np.ones(4) / X, snnr.ArgumentError, "/: .*wrap it"),
    "a number beyond it": (lambda: SINGLE * 1e300, snnr.ArgumentError, r"\*: .*1e\+300.*most 3.4"),
    "a whole one": (lambda: X - 10**400, snnr.ArgumentError, "-: .*the largest number of float64"),
    "a word": (lambda: X * "a", snnr.ArgumentError, r"\*: .*str 'a'.*Tensor or a number"),
    "a truth": (lambda: X - True, snnr.ArgumentError, "bool True"),
    "nothing": (lambda: X + None, snnr.ArgumentError, "NoneType"),  # type: ignore[operator]
    "a ufunc": (lambda: np.exp(X), snnr.ArgumentError, r"np\.exp.*x\.numpy\(\)"),
    "a product": (lambda: X @ X, snnr.ArgumentError, "linear"),
    "an exponent": (lambda: X**X, snnr.ArgumentError, "exponent"),  # type: ignore[operator]
    "shapes": (lambda: X + made((5,), None, "reference"), snnr.ShapeError, r"\[3, 4\].*\[5\]"),
    "times": (lambda: Y + made((3, 3), 3, "reference"), snnr.ShapeError, "time steps equal"),
    "dtypes": (
        lambda: X + Tensor(np.ones(4, np.float32), device="reference"), snnr.ShapeError, "dtype",
    ),
    "devices": (lambda: X + made((4,), None, "cpu"), snnr.DeviceError, "reference and cpu"),
    "an axis": (lambda: X.sum(2), IndexError, r"axis 2 .*expected -2\.\.1"),
    "no axis": (lambda: X.mean("a"), snnr.ArgumentError, "axis is str"),  # type: ignore[arg-type]
    "no mean": (lambda: X[:0].mean(), snnr.ShapeError, "no elements"),
    "out of range": (lambda: X[3], IndexError, r"index 3 .*axis 0.*\[3, 4\]"),
    "too many": (lambda: X[0, 0, 0], IndexError, "3 indices.*at most 2"),
    "a list": (lambda: X[[0, 1]], snnr.ArgumentError, "one_hot"),
    "a mask": (lambda: X[X.numpy() > 0], snnr.ArgumentError, "mask"),
    "a float": (lambda: X[1.0], snnr.ArgumentError, "float 1.0"),
    "no time left": (lambda: Y[2:], snnr.ShapeError, "no time step"),
    "before time": (lambda: Y[None], snnr.ShapeError, "put it behind"),
    "many truths": (lambda: bool(X), snnr.ArgumentError, "neither true nor false"),
    "no length": (lambda: len(X.sum()), snnr.ArgumentError, "no axis"),
    "a name": (lambda: X.reshape(4, 3), AttributeError, "flatten"),
    "a near miss": (lambda: X.detatch(), AttributeError, "did you mean detach"),
    "no name": (lambda: X.nonsense, AttributeError, "has no attribute 'nonsense'$"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name: str) -> None:
    f, kind, told = REFUSED[name]
    with pytest.raises(kind, match=told) as caught:
        f()
    assert isinstance(caught.value, snnr.SnnrError | AttributeError)


def test_nothing_is_copied_from_the_host_while_a_step_is_recorded() -> None:
    """Numbers are filled in on the device."""
    x, backend = made((3, 4), None, NAME), kernels.backend(NAME)
    found: list[Tensor] = []
    replay = backend.record(
        lambda: found.append(((2 - x[:, 1:]) / 3 + x.sum(0)[1:] * 0.5).mean(axis=1))
    )
    assert replay is not None
    replay()
    host = x.numpy()
    expected = ((2 - host[:, 1:]) / 3 + host.sum(0)[1:] * 0.5).mean(axis=1)
    np.testing.assert_allclose(found[0].numpy(), expected, rtol=1e-14)
