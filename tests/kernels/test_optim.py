"""Optimizer steps against the reference and against the recorded Grad R trajectories."""

from pathlib import Path

import h5py
import numpy as np
import pytest

from .harness import compare, normal

FIXTURE = Path(__file__).parents[1] / "fixtures" / "grad_r_trajectory.h5"
SIZES = [1, 7, 64, 1031, 40_000]
ADAM = {"beta1": 0.9, "beta2": 0.999, "inv_sqrt_c2": 9.1, "eps": 1e-8}


def state(generator, size, dtype):
    """Weights about half of which are pruned, most of them close to the edge."""
    theta = (0.02 * generator.standard_normal(size)).astype(dtype)
    sign = generator.choice(np.array([-1, 1], np.int8), size)
    return {
        "theta": theta,
        "sign": sign,
        "w": (sign * np.maximum(theta, 0)).astype(dtype),
        "g": normal(generator, (size,), dtype),
    }


def moments(generator, size, dtype):
    m, v = normal(generator, (size,), dtype), normal(generator, (size,), dtype) ** 2
    return {"m": m, "v": v}


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("size", SIZES)
def test_adam_step(kernels, size, dtype):
    generator = np.random.default_rng(0)
    (w, g) = normal(generator, (2, size), dtype)
    compare(
        kernels,
        "adam_step",
        (),
        updated=("w", "m", "v"),
        w=w,
        g=g,
        step_size=0.01,
        **moments(generator, size, dtype),
        **ADAM,
    )


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("prior", "mu"), [(0.0, 0.0), (0.05, -46.05), (1.0, 0.01)])
@pytest.mark.parametrize("size", SIZES)
def test_grad_r_step(kernels, size, prior, mu, dtype):
    generator = np.random.default_rng(1)
    arguments = state(generator, size, dtype)
    arguments["theta"][0] = mu  # signum(0) = 0
    arguments["w"][0] = arguments["sign"][0] * max(arguments["theta"][0], 0)
    compare(
        kernels,
        "grad_r_step",
        (),
        updated=("w", "theta", "m", "v"),
        step_size=0.02,
        prior=prior,
        mu=mu,
        **moments(generator, size, dtype),
        **arguments,
        **ADAM,
    )


@pytest.mark.parametrize("size", SIZES)
def test_grad_r_sgd_step(kernels, size):
    compare(
        kernels,
        "grad_r_sgd_step",
        (),
        updated=("w", "theta"),
        lr=0.02,
        prior=0.1,
        mu=0.005,
        **state(np.random.default_rng(2), size, np.float32),
    )


def test_counts(every_kernels):
    w = np.array([0.5, -0.001, 0.0, 0.0], np.float32)
    theta = np.array([0.5, 0.001, -0.001, -0.5], np.float32)
    sign = np.array([1, -1, 1, -1], np.int8)
    g = np.array([0, -1, -1, 0], np.float32)
    counts = every_kernels["grad_r_sgd_step"](w, theta, sign, g, 0.01, 0.0, 0.0)
    assert counts == (2, 1, 1)
    assert all(type(count) is int for count in counts)
    np.testing.assert_allclose(theta, [0.5, -0.009, 0.009, -0.5], rtol=1e-6)
    assert w[[1, 3]].tolist() == [0, 0]


@pytest.mark.parametrize("case", ["case0", "case1", "case2", "case3"])
def test_recorded_trajectory(every_kernels, case):
    """The published optimizer, 150 to 300 steps: theta within 1e-6, the same zeros."""
    with h5py.File(FIXTURE) as file:
        group = file[case]
        setting = {name: float(value) for name, value in group.attrs.items()}
        w, gradients, steps = (group[n][()] for n in ("weight_initial", "gradients", "steps"))
        recorded = {n: group[n][()] for n in ("theta", "weight", "sign")}
    # entries [0, :3] start at 0 and stay dead in the published code; here they have a sign
    judged = np.ones(w.shape, bool)
    judged[0, :3] = False
    sign = np.where(w < 0, -1, 1).astype(np.int8)
    np.testing.assert_array_equal(sign[judged], recorded["sign"][judged])
    theta, m, v = np.abs(w), np.zeros_like(w), np.zeros_like(w)
    for t, gradient in enumerate(gradients, start=1):
        before = w.copy()
        counts = every_kernels["grad_r_step"](
            w.reshape(-1),
            theta.reshape(-1),
            sign.reshape(-1),
            gradient.reshape(-1),
            m.reshape(-1),
            v.reshape(-1),
            setting["lr"] / (1 - setting["beta1"] ** t),
            setting["prior"],
            setting["mu"],
            setting["beta1"],
            setting["beta2"],
            (1 - setting["beta2"] ** t) ** -0.5,
            setting["eps"],
        )
        changed = (before == 0, w == 0)
        assert counts == (
            np.sum(w != 0),
            np.sum(~changed[0] & changed[1]),
            np.sum(changed[0] & ~changed[1]),
        )
        for k in np.flatnonzero(steps == t):
            there = recorded["theta"][k][judged]
            assert np.max(np.abs(theta[judged] - there)) <= 1e-6
            differs = (w[judged] == 0) != (recorded["weight"][k][judged] == 0)
            assert np.all(np.abs(there[differs]) <= 1e-6)
