"""Surrogates: the pair belongs together, has area 1, and equals the scalar rules."""

import numpy as np
import pytest
from scipy.integrate import quad

from snnr import surrogate
from snnr.errors import ConfigError
from snnr.kernels import rules

NAMES = list(surrogate.FACTORIES)
ALPHAS = (0.5, 1.0, 2.0, 7.0)
# no point on a kink of the piecewise ones for the alphas above
POINTS = np.array([-9.1, -3.3, -1.03, -0.52, -0.21, -0.041, 0.013, 0.19, 0.47, 0.93, 2.7, 8.6])


def made(name: str, alpha: float) -> surrogate.Surrogate:
    return surrogate.FACTORIES[name](alpha=alpha)


@pytest.mark.parametrize("alpha", ALPHAS)
@pytest.mark.parametrize("name", NAMES)
def test_derivative_is_that_of_the_primitive(name, alpha):
    s = made(name, alpha)
    step = 1e-5
    difference = (s.primitive(POINTS + step) - s.primitive(POINTS - step)) / (2 * step)
    np.testing.assert_allclose(s.derivative(POINTS), difference, rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("alpha", ALPHAS)
@pytest.mark.parametrize("name", NAMES)
def test_half_at_the_threshold_and_limits(name, alpha):
    s = made(name, alpha)
    assert s.primitive(np.zeros(1))[0] == 0.5
    far = s.primitive(np.array([-1e9, 1e9]))
    np.testing.assert_allclose(far, [0, 1], atol=1e-8)
    grid = np.linspace(-5, 5, 501)
    assert np.all(np.diff(s.primitive(grid)) >= 0)
    np.testing.assert_allclose(s.primitive(grid) + s.primitive(-grid), 1, atol=1e-15)


@pytest.mark.parametrize("alpha", ALPHAS)
@pytest.mark.parametrize("name", NAMES)
def test_area_is_one(name, alpha):
    s = made(name, alpha)
    # x = tan(a) folds the whole axis into one interval, with heavy tails and all
    half, _ = quad(
        lambda a: s.derivative(np.tan(a)) / np.cos(a) ** 2,
        0,
        np.pi / 2,
        points=[np.arctan(0.5 / alpha), np.arctan(1 / alpha)],
    )
    assert 2 * half == pytest.approx(1, rel=1e-6)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("name", NAMES)
def test_arrays_equal_the_scalar_rules(name, dtype):
    s = made(name, 1.7)
    (slope, peak) = rules.surrogate_slope(s.id, s.alpha), rules.surrogate_peak(s.id, s.alpha)
    x = np.concatenate([POINTS, [0.0, -200.0, 200.0, 0.5 / 1.7, -1 / 1.7]]).astype(dtype)
    tolerance = 1e-14 if dtype == np.float64 else 1e-6
    for method, rule in (
        (s.primitive, rules.surrogate_primitive),
        (s.derivative, rules.surrogate_derivative),
    ):
        scalar = [rule(dtype(a), s.id, dtype(slope), dtype(peak)) for a in x]
        result = method(x)
        assert result.dtype == dtype
        np.testing.assert_allclose(result, scalar, rtol=tolerance, atol=tolerance)


def test_named_values_of_atan():
    s = surrogate.ATan()
    x = np.array([-0.3, 0.0, 1.0])
    np.testing.assert_allclose(s.derivative(x), 1 / (1 + (np.pi * x) ** 2))
    np.testing.assert_allclose(s.primitive(x), np.arctan(np.pi * x) / np.pi + 0.5)


def test_pairs_take_x_and_alpha():
    primitive, derivative = surrogate.PAIRS["sigmoid"]
    assert primitive(np.zeros(2), 4.0).tolist() == [0.5, 0.5]
    assert derivative(np.zeros(2), 4.0).tolist() == [1.0, 1.0]


def test_get():
    assert surrogate.get("atan") == surrogate.ATan(2.0)
    mine = surrogate.Gaussian(3.0)
    assert surrogate.get(mine) is mine
    for wrong in ("heaviside", "", 3, ["atan"], None):
        with pytest.raises(ConfigError, match=r"'atan' \(2\).*'gaussian'"):
            surrogate.get(wrong)


@pytest.mark.parametrize("alpha", [0, -1.0, float("nan"), float("inf")])
def test_alpha_must_be_positive(alpha):
    with pytest.raises(ConfigError, match=r"alpha \(=.*above 0.*'atan'"):
        surrogate.ATan(alpha)


def test_name_and_id_belong_together():
    with pytest.raises(ConfigError, match="'atan', id=3"):
        surrogate.Surrogate("atan", 3, 2.0)
