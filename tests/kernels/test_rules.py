"""The scalar rules: precision under Numba, and a neuron written with them alone."""

import inspect

import numba
import numpy as np
import pytest

from snnr.kernels import rules
from snnr.kernels.reference import OPERATIONS

from .neurons import KINDS, safe_input

#: rules that a kernel calls once per element
SCALAR = [
    function
    for name, function in vars(rules).items()
    if inspect.isfunction(function)
    and function.__module__ == rules.__name__
    and not name.startswith("__")  # Python 3.14 has annotations in a function
    and name not in ("lif_neuron", "if_neuron", "surrogate_slope", "surrogate_peak")
    and name not in ("philox", "place", "gaussians")
]


@pytest.mark.parametrize("rule", SCALAR, ids=lambda rule: rule.__name__)
def test_float32_stays_float32(rule):
    """A literal that promotes to float64 would halve the speed without anybody noticing."""
    names = list(inspect.signature(rule).parameters)
    kinds = {"sign": numba.int8, "surrogate": numba.int64}
    compiled = numba.njit(rule, error_model="numpy")
    compiled.compile(tuple(kinds.get(name, numba.float32) for name in names))
    (signature,) = compiled.nopython_signatures
    assert signature.return_type in (numba.float32, numba.boolean)
    # the type of the result says nothing of the way there: no double anywhere in the code
    (code,) = compiled.inspect_llvm().values()
    body = code[code.index("define") :]
    assert " double" not in body[: body.index("\n}")]


@pytest.mark.parametrize("kind", KINDS)
def test_reference_neuron_equals_the_rules(kind):
    neuron = KINDS[kind]
    (steps, rows, channels) = shape = (4, 3, 2)
    generator = np.random.default_rng(0)
    x, gain, offset = safe_input(generator, neuron, shape, steps, np.float64)
    ds = generator.standard_normal(shape)
    out, dz = np.empty(shape, np.uint8), np.empty(shape)
    start = (x, gain, offset, neuron, None)
    OPERATIONS["lif"](*start, out)
    OPERATIONS["lif_grad"](*start, ds, dz, np.empty(channels), np.empty(channels))
    slope = rules.surrogate_slope(neuron.surrogate, neuron.alpha)
    peak = rules.surrogate_peak(neuron.surrogate, neuron.alpha)
    for r in range(rows):
        for c in range(channels):
            (v, h, s) = (0.0 if neuron.soft else neuron.v_reset, [], [])
            for t in range(steps):
                z = gain[c] * x[t, r, c] + offset[c]
                h.append(rules.charge(v, z, neuron.decay, neuron.drive, neuron.rest))
                s.append(float(rules.fire(h[t], neuron.v_threshold)))
                if neuron.soft:
                    v = rules.reset_soft(h[t], s[t], neuron.v_threshold)
                else:
                    v = rules.reset_hard(h[t], s[t], neuron.v_reset)
            assert out[:, r, c].tolist() == s
            dv = 0.0
            for t in reversed(range(steps)):
                d = rules.surrogate_derivative(
                    h[t] - neuron.v_threshold, neuron.surrogate, slope, peak
                )
                g = ds[t, r, c]
                if neuron.soft and neuron.detach:
                    dh = rules.reset_soft_grad_detached(dv, g, d)
                elif neuron.soft:
                    dh = rules.reset_soft_grad(dv, g, d, neuron.v_threshold)
                elif neuron.detach:
                    dh = rules.reset_hard_grad_detached(dv, g, s[t], d)
                else:
                    dh = rules.reset_hard_grad(dv, g, h[t], s[t], d, neuron.v_reset)
                np.testing.assert_allclose(dz[t, r, c], neuron.drive * dh, rtol=1e-12, atol=1e-14)
                dv = neuron.decay * dh


def test_reference_optimizer_equals_the_rules():
    generator = np.random.default_rng(1)
    (theta, g, m) = generator.standard_normal((3, 50))
    (v, sign) = generator.random(50), generator.choice(np.array([-1, 1], np.int8), 50)
    theta[0] = mu = -0.3
    expected = []
    for i in range(50):
        m1 = rules.moment1(m[i], g[i], 0.9, 1 - 0.9)
        v1 = rules.moment2(v[i], g[i], 0.99, 1 - 0.99)
        delta = rules.adam_delta(m1, v1, 0.01, 3.0, 1e-8)
        new = rules.grad_r_theta(theta[i], sign[i], delta, 0.01 * 0.5, mu)
        expected.append((m1, v1, new, rules.grad_r_weight(new, sign[i])))
    w = sign * np.maximum(theta, 0)
    rates, counts = np.array([[0.01, 3.0, 0.5, mu]]), np.zeros(3, np.int64)
    OPERATIONS["grad_r_step"](w, theta, sign, g, m, v, rates, 0, 0.9, 0.99, 1e-8, counts)
    np.testing.assert_allclose(np.transpose([m, v, theta, w]), expected, rtol=1e-14)


def test_pruned_weight_is_positive_zero_and_nan_survives():
    for sign in (-1, 1):
        assert not np.signbit(float(rules.grad_r_weight(-0.5, sign)))
        assert np.isnan(rules.grad_r_weight(float("nan"), sign))


def test_neuron_constructors():
    paper = rules.lif_neuron()
    assert paper == rules.Neuron(0.5, 0.5, 0.0, 1.0, 0.0, 0, 1, rules.ATAN, 2.0, 0)
    away = rules.lif_neuron(tau=4.0, v_reset=0.5, decay_input=False, detach_reset=False)
    assert (away.decay, away.drive, away.rest, away.v_reset) == (0.75, 1.0, 0.125, 0.5)
    soft = rules.if_neuron(v_threshold=2.0, v_reset=None, smooth=True)
    assert soft == rules.Neuron(1.0, 1.0, 0.0, 2.0, 0.0, 1, 1, rules.ATAN, 2.0, 1)
