"""The gradient checker: accepts what is right, rejects what is slightly wrong, says why."""

import numpy as np
import pytest

from snnr import functional as F
from snnr.errors import ConfigError, ShapeError, SnnrError
from snnr.gradient_check import GradientError, _direction, gradcheck
from snnr.kernels.rules import lif_neuron
from snnr.tensor import Function, Tensor

GENERATOR = np.random.default_rng(0)
X, Y = GENERATOR.standard_normal((2, 4, 5))


class Wrong(Function):
    """tanh(a) * b with every gradient under the test's control."""

    def __init__(self, spoil=lambda da, db: (da, db)):
        self.spoil = spoil

    def forward(self, a, b):
        self.a, self.b = a.data, b.data
        return np.tanh(self.a) * self.b

    def backward(self, grad):
        slope = 1 - np.tanh(self.a) ** 2
        return self.spoil(grad * slope * self.b, grad * np.tanh(self.a))


def wrong(spoil):
    return lambda tensors: Wrong(spoil)(*tensors)


def one_entry(da, db):
    da = da.copy()
    da[2, 3] *= 1.01
    return da, db


def swapped(da, db):
    return da, db[::-1].copy()


def test_accepts_the_right_gradient():
    assert gradcheck(wrong(lambda da, db: (da, db)), [X, Y]) < 1e-8


@pytest.mark.parametrize("factor", [1.001, 0.999, 1.0001, -1.0, 0.0])
@pytest.mark.parametrize("seed", range(5))
def test_rejects_a_gradient_off_by_a_tenth_of_a_percent(factor, seed):
    with pytest.raises(GradientError, match=r"input 0 \(shape \(4, 5\)\).*relative error"):
        gradcheck(wrong(lambda da, db: (da * factor, db)), [X, Y], seed=seed)
    with pytest.raises(GradientError, match="input 1"):
        gradcheck(wrong(lambda da, db: (da, db * factor)), [X, Y], seed=seed)


@pytest.mark.parametrize("spoil", [one_entry, swapped])
def test_rejects_wrong_entries(spoil):
    with pytest.raises(GradientError, match="relative error"):
        gradcheck(wrong(spoil), [X, Y])


def test_reports_the_numbers():
    with pytest.raises(GradientError) as caught:
        gradcheck(wrong(lambda da, db: (da * 1.001, db)), [X, Y])
    words = str(caught.value).replace(",", "").split()
    analytic, numeric, error = (
        float(words[words.index(name) + 1]) for name in ("analytic", "numeric", "error")
    )
    assert analytic / numeric == pytest.approx(1.001, rel=1e-6)
    assert error == pytest.approx(0.001, rel=0.01)
    assert isinstance(caught.value, SnnrError)


def test_returns_the_largest_relative_error():
    loose = gradcheck(wrong(lambda da, db: (da, db * 1.001)), [X, Y], rtol=0.01)
    assert loose == pytest.approx(0.001, rel=0.01)


def test_missing_gradient_counts_as_zero():
    with pytest.raises(GradientError, match=r"input 1.*analytic 0, numeric"):
        gradcheck(wrong(lambda da, db: (da, None)), [X, Y])
    assert gradcheck(lambda tensors: F.multiply(tensors[0], tensors[0]), [X, Y]) < 1e-8


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda da, db: (da[:2], db), r"shape \[2, 5\] .* has shape \[4, 5\]"),
        (lambda da, db: (da, db * np.nan), "input 1 holds NaN"),
    ],
)
def test_rejects_a_gradient_of_the_wrong_kind(spoil, message):
    with pytest.raises(SnnrError, match=message):
        gradcheck(wrong(spoil), [X, Y])


def test_refuses_anything_but_float64():
    with pytest.raises(ShapeError, match=r"input 1 is float32.*float64"):
        gradcheck(wrong(swapped), [X, Y.astype(np.float32)])
    with pytest.raises(ShapeError, match="input 0 is int64"):
        gradcheck(wrong(swapped), [np.arange(3)])
    with pytest.raises(ShapeError, match="at least one input"):
        gradcheck(wrong(swapped), [])
    with pytest.raises(ShapeError, match=r"uint8.*smooth spikes"):
        gradcheck(lambda tensors: Tensor((tensors[0].data > 0).astype(np.uint8)), [X])


def test_refuses_what_is_not_finite_or_not_deterministic():
    with pytest.raises(GradientError, match=r"input 0 .* holds NaN or infinity"):
        gradcheck(wrong(swapped), [X * np.inf, Y])
    with pytest.raises(GradientError, match="f returned NaN"):
        gradcheck(lambda tensors: Tensor(tensors[0].data * np.nan), [X])
    generator = np.random.default_rng(0)
    with pytest.raises(GradientError, match=r"different outputs.*random state"):
        gradcheck(lambda tensors: Tensor(tensors[0].data * generator.random()), [X])


@pytest.mark.parametrize(
    "setting", [{"eps": 0}, {"rtol": -1.0}, {"atol": -1.0}, {"projections": 0}, {"eps": np.nan}]
)
def test_settings_out_of_range(setting):
    (name,) = setting
    with pytest.raises(ConfigError, match=rf"{name} \(="):
        gradcheck(wrong(swapped), [X, Y], **setting)


def test_a_step_is_named_as_such():
    """The differences of a step function do not converge; the message says so."""

    class Step(Function):
        def forward(self, x):
            return (x.data >= 0).astype(np.float64)

        def backward(self, grad):
            return (grad,)

    with pytest.raises(GradientError, match=r"do not converge.*kink or\s+step"):
        gradcheck(lambda tensors: Step()(tensors[0]), [np.zeros(3)])


def test_leaves_the_callers_arrays_alone():
    def vandal(tensors):
        a, b = tensors
        result = Wrong()(Tensor(a.data.copy()), Tensor(b.data.copy()))
        a.data[...] = 7
        b.data[...] = 7
        return result

    x, y = Tensor(X.copy(), requires_grad=True), Y.copy()
    gradcheck(wrong(lambda da, db: (da, db)), [x, y])
    assert x.grad is None
    with pytest.raises(GradientError, match="analytic 0"):
        gradcheck(vandal, [x, y])
    np.testing.assert_array_equal(x.data, X)
    np.testing.assert_array_equal(y, Y)


def test_passes_on_time_steps_and_device():
    seen = set()

    def f(tensors):
        (x, w) = tensors
        seen.add((x.timesteps, x.requires_grad, w.timesteps, w.device))
        return F.linear(x, w)

    x = Tensor(GENERATOR.standard_normal((3, 2, 4)), timesteps=3, device="reference")
    w = Tensor(GENERATOR.standard_normal((4, 5)).T, device="reference")
    assert gradcheck(f, [x, w]) < 1e-8
    assert seen == {(3, True, None, "reference")}


def test_same_seed_same_error():
    results = [gradcheck(wrong(lambda da, db: (da, db)), [X, Y], seed=s) for s in (1, 1, 2)]
    assert results[0] == results[1] != results[2]


@pytest.mark.parametrize("projections", [1, 4])
@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e3])
def test_works_at_every_scale(scale, projections):
    def f(tensors):
        return F.multiply(F.multiply(*tensors), tensors[0])

    assert gradcheck(f, [X * scale, Y], projections=projections) < 1e-6


def test_small_gradients_are_judged_too():
    """A mean over many elements: the gradient is about 1e-5, and a tenth of a percent counts."""

    def f(tensors, factor=1.0):
        y = Wrong(lambda da, db: (da * factor, db * factor))(*tensors)
        return F.mse_loss(y, np.zeros(y.shape))

    x, y = GENERATOR.standard_normal((2, 10, 1000)) * 1e-2
    assert gradcheck(f, [x, y]) < 1e-6
    with pytest.raises(GradientError, match="relative error"):
        gradcheck(lambda tensors: f(tensors, 1.001), [x, y])


def test_a_gradient_that_is_zero():
    """BatchNorm removes the mean, so that a constant added before it has no influence."""
    (x, b) = GENERATOR.standard_normal((6, 3)), GENERATOR.standard_normal(3)
    (scale, shift), w = GENERATOR.standard_normal((2, 3)), GENERATOR.standard_normal((3, 3))

    def f(tensors):
        statistics = F.RunningStatistics(np.zeros(3), np.ones(3))
        y = F.linear(*(Tensor(v, device="reference") for v in (x, w)), tensors[0])
        fixed = (Tensor(v, device="reference") for v in (scale, shift))
        return F.batch_norm(y, *fixed, statistics, training=True)

    assert gradcheck(f, [Tensor(b, device="reference")]) < 1e-6


def test_large_smooth_network_of_neurons():
    """The check is robust where it is used: BPTT through a steep surrogate, 2,000 inputs."""
    neuron = F.lif_neuron(detach_reset=False, smooth=True)

    def f(tensors):
        return F.mean_time(F.spiking(tensors[0], neuron))

    x = 1 + GENERATOR.standard_normal((8, 10, 25))
    assert gradcheck(f, [Tensor(x, timesteps=8, device="reference")]) < 1e-7


def test_a_reset_that_is_left_out_on_purpose_is_named():
    x = 2 * np.random.default_rng(3).standard_normal((4, 2, 5))
    detached = lif_neuron(smooth=True)
    with pytest.raises(GradientError, match="detach_reset=True in f"):
        gradcheck(lambda xs: F.spiking(xs[0], detached), [Tensor(x, timesteps=4)])
    gradcheck(
        lambda xs: F.spiking(xs[0], lif_neuron(smooth=True, detach_reset=False)),
        [Tensor(x, timesteps=4)],
    )


def test_another_wrong_gradient_is_not_blamed_on_the_reset():
    with pytest.raises(GradientError) as caught:
        gradcheck(wrong(one_entry), [X, Y])
    assert "detach_reset" not in str(caught.value)


@pytest.mark.parametrize("inputs", [X, Tensor(X)])
def test_inputs_are_a_list(inputs):
    with pytest.raises(ShapeError, match=r"must be a list.*\[x\]"):
        gradcheck(lambda xs: xs, inputs)


@pytest.mark.parametrize("length", [1e-3, 1, 1e3])
def test_directions_lean_towards_the_gradient(length):
    """In many dimensions a random direction alone would hardly meet it."""
    for seed in range(8):
        gradient = np.random.default_rng(seed).standard_normal((100, 40))
        gradient *= length / np.linalg.norm(gradient)
        found = _direction(gradient, np.random.default_rng(seed + 100))
        assert np.linalg.norm(found) == pytest.approx(1)
        assert 0.7 < np.sum(found * gradient) / length < 0.8
