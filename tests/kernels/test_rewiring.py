"""Soft Deep R and STDS against the reference, and the noise against what it should be."""

import numpy as np
import pytest

from snnr.kernels import rules
from snnr.kernels.threads import set_threads

from .harness import compare, normal, sized
from .test_optim import ADAM, SIZES, moments, state

COUNTS = np.array([7, 5, 3])
INF = float("inf")


def rates(*row):
    """The row in the middle, between two that no kernel should read."""
    found = np.full((3, 4), np.nan)
    found[1, : len(row)] = row
    return {"rates": found, "row": 1}


def test_gaussians_are_those_of_box_and_muller():
    generator = np.random.default_rng(0)
    words = generator.integers(1 << 32, size=(500, 2), dtype=np.uint64)
    words[:4] = [[0, 0], [(1 << 32) - 1] * 2, [0, 1 << 29], [5, 3 << 30]]
    for first, second in words:
        radius = np.sqrt(-2 * np.log((float(first) + 1) / 2**32))
        angle = 2 * np.pi * (float(second) / 2**32 - 1 / 8)
        expected = radius * np.cos(angle), radius * np.sin(angle)
        found = rules.gaussians(first, second)
        np.testing.assert_allclose(found, expected, rtol=0, atol=4e-15 * max(radius, 1))
        assert found == rules.gaussians(int(first), int(second))


def soft_state(generator, size, dtype):
    """As of Grad R, with moments only where the connection is there."""
    found = {**state(generator, size, dtype), **moments(generator, size, dtype)}
    for name in ("m", "v"):
        found[name][found["theta"] <= 0] = 0
    return found


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(
    ("l1", "temperature", "lowest"), [(0.5, 0.05, -0.02), (0.0, 0.3, -INF), (2.0, 0.0, 0.0)]
)
@pytest.mark.parametrize("size", SIZES)
def test_soft_deep_r_step(kernels, size, l1, temperature, lowest, dtype):
    arguments = soft_state(np.random.default_rng(1), size, dtype)
    arguments["theta"][0] = arguments["w"][0] = 0  # dormant
    arguments["m"][0] = arguments["v"][0] = 0
    # a gradient that nobody should look at
    arguments["g"][arguments["theta"] <= 0] = np.nan
    done = compare(
        kernels, "soft_deep_r_step", (), updated=("w", "theta", "m", "v", "counts"), counts=COUNTS,
        l1=l1, temperature=temperature, lowest=lowest, key=1 << 62 | 5,
        **rates(0.02, 9.1, 3e9, 0.01), **arguments, **ADAM,
    )  # fmt: skip
    assert not done["m"][done["w"] == 0].any()
    assert done["theta"].min() >= lowest
    if size > 1000 and temperature > 0:
        assert 0 < done["counts"][0] < size
        assert (done["counts"][1:] > COUNTS[1:]).all()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(
    ("l1", "temperature", "lost"), [(0.5, 0.05, 0.0), (0.0, 0.3, 1e-12), (2.0, 0.0, 0.0)]
)
@pytest.mark.parametrize("size", SIZES)
def test_deep_r_step(kernels, size, l1, temperature, lost, dtype):
    arguments = soft_state(np.random.default_rng(7), size, dtype)
    arguments["w"][1::7] = 1e-12 * arguments["sign"][1::7]  # just grown
    w, sign = arguments["w"], arguments["sign"]
    del arguments["theta"]
    # what belongs to no connection may be anything
    for name in ("g", "m", "v"):
        arguments[name][w == 0] = np.nan
    done = compare(
        kernels, "deep_r_step", (), updated=("w", "m", "v", "counts"), counts=COUNTS, l1=l1,
        temperature=temperature, lost=lost, key=1 << 62 | 5, **rates(0.02, 9.1, 3e9, 0.01),
        **arguments, **ADAM,
    )  # fmt: skip
    assert not done["w"][w == 0].any()
    assert set(np.unique(sign * np.sign(done["w"]))) <= {0, 1}
    lost_now = (w != 0) & (abs(done["w"]) == dtype(lost))
    assert not done["m"][lost_now].any()
    assert not done["v"][lost_now].any()
    if size > 1000:
        assert 0 < lost_now.sum() < np.count_nonzero(w)
    assert done["counts"].tolist() == [
        np.count_nonzero(done["w"]), 5 + (lost == 0) * lost_now.sum(), 3,
    ]  # fmt: skip


def test_deep_r_and_its_soft_form_move_connections_alike(every_kernels):
    """The same equation, noise included, where nothing is dormant."""
    (size,) = sized([5001], [131])
    arguments = soft_state(np.random.default_rng(8), size, np.float32)
    theta = abs(arguments.pop("theta")) + 1
    w = arguments["w"] = arguments["sign"] * theta
    hard, soft = ({k: a.copy() for k, a in arguments.items()} for _ in range(2))
    common = {**rates(0.02, 9.1, 11, 0.01), **ADAM, "l1": 0.5, "temperature": 0.3, "key": 9}
    every_kernels["deep_r_step"](**hard, **common, lost=0.0, counts=np.zeros(3, np.int64))
    every_kernels["soft_deep_r_step"](
        **soft, theta=theta, **common, lowest=-1.0, counts=np.zeros(3, np.int64)
    )
    np.testing.assert_array_equal(hard["w"], soft["w"])
    assert (hard["w"] != w).all()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_deep_r_believes_a_weight_set_by_hand(kernels, dtype):
    generator = np.random.default_rng(9)
    w = normal(generator, sized([(41, 100)], [(11, 13)])[0], dtype)
    w[::3] = 0
    sign = generator.choice(np.array([-1, 1], np.int8), w.shape)
    done = compare(kernels, "deep_r_believe", (), updated=("sign",), w=w, sign=sign)
    np.testing.assert_array_equal(done["sign"], np.where(w == 0, sign, np.sign(w)))


def noise(operations, size, key, step, dtype=np.float64):
    """The normal numbers of a step: dormant connections walk by nothing else."""
    theta = np.full(size, -100, dtype)
    w, g, m, v = np.zeros((4, size), dtype)
    operations["soft_deep_r_step"](
        w, theta, np.ones(size, np.int8), g, m, v, **rates(1.0, 1.0, step, 0.25), **ADAM, l1=0.0,
        temperature=2.0, lowest=-INF, key=key, counts=np.zeros(3, np.int64),
    )  # fmt: skip
    return theta + 100


def test_noise_is_standard_normal_and_of_its_step_key_and_place(every_kernels):
    (size,) = sized([400_001], [701])
    one = noise(every_kernels, size, 3, 1)
    others = [noise(every_kernels, size, key, step) for key, step in [(3, 2), (4, 1)]]
    tenth = 4 / size**0.5
    for z in (one, *others):
        assert abs(z.mean()) < tenth
        assert abs((z**2).mean() - 1) < tenth * 2**0.5
        assert abs((z**4).mean() - 3) < tenth * 96**0.5
        for apart in (1, 2, 3, 4):
            assert abs((z[apart:] * z[:-apart]).mean()) < 1.1 * tenth
    for other in others:
        assert abs((one * other).mean()) < tenth
    np.testing.assert_array_equal(one, noise(every_kernels, size, 3, 1))
    np.testing.assert_array_equal(one[:77], noise(every_kernels, 77, 3, 1))


def test_noise_does_not_depend_on_the_number_of_threads(kernels):
    (size,) = sized([40_001], [67])
    found, before = [], set_threads(None)
    try:
        for threads in {1, before}:
            set_threads(threads)
            found.append(noise(kernels, size, 3, 1))
    finally:
        set_threads(before)
    for other in found:
        np.testing.assert_array_equal(found[0], other)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("d", [0.0, 0.015, 10.0])
@pytest.mark.parametrize("size", SIZES)
def test_stds_step(kernels, size, d, dtype):
    generator = np.random.default_rng(2)
    theta = (0.03 * generator.standard_normal(size)).astype(dtype)
    w = (np.sign(theta) * np.maximum(np.abs(theta) - dtype(0.014), 0)).astype(dtype)
    theta[0] = w[0] = 0
    g, parts = normal(generator, (size,), dtype), moments(generator, size, dtype)
    g[0] = parts["m"][0] = 0  # theta stays 0
    done = compare(
        kernels, "stds_step", (), updated=("w", "theta", "m", "v", "counts"), w=w, theta=theta, g=g,
        counts=COUNTS, **parts, **rates(0.002, 9.1, d), **ADAM,
    )  # fmt: skip
    assert not np.signbit(done["w"][done["w"] == 0]).any()
    assert (done["counts"][0] == 0) == (d > 1 or size == 1)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_stds_believes_a_weight_set_by_hand(kernels, dtype):
    generator = np.random.default_rng(5)
    (size,) = sized([4099], [139])
    theta, d = (0.03 * generator.standard_normal(size)).astype(dtype), 0.014
    w = (np.sign(theta) * np.maximum(np.abs(theta) - dtype(d), 0)).astype(dtype)
    before = theta.copy()
    w[0::5] = generator.normal(size=w[0::5].size)
    w[1::5] *= -1
    w[2::5] = 0
    w[-1] = -0.0
    done = compare(kernels, "stds_believe", (), updated=("theta",), w=w, theta=theta, d=d)
    again = np.sign(done["theta"]) * np.maximum(np.abs(done["theta"]) - dtype(d), 0)
    np.testing.assert_allclose(again, w, rtol=0, atol=1e-6 if dtype == np.float32 else 1e-15)
    np.testing.assert_array_equal(done["theta"][3:-1:5], before[3:-1:5])
    assert np.isnan(rules.stds_weight(np.nan, d))
