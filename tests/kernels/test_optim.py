"""Optimizer steps against the reference and against the recorded Grad R trajectories."""

from pathlib import Path

import h5py
import numpy as np
import pytest

from .harness import compare, normal, sized

FIXTURE = Path(__file__).parents[1] / "fixtures" / "grad_r_trajectory.h5"
SIZES = sized([1, 7, 64, 1031, 40_000], [1, 7, 131])
ADAM = {"beta1": 0.9, "beta2": 0.999, "eps": 1e-8}


def rates(step_size, inv_sqrt_c2=9.1, prior=0.0, mu=0.0):
    """The row in the middle, between two that no kernel should read."""
    found = np.full((3, 4), np.nan)
    found[1] = step_size, inv_sqrt_c2, prior, mu
    return {"rates": found, "row": 1}


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
    w[::3] = 0
    g[::6] = 0
    state = moments(generator, size, dtype)
    state["m"][::6] = 0
    for updated, counts in ((), None), (("counts",), np.array([7, 5, 3])):
        compare(
            kernels, "adam_step", (), updated=("w", "m", "v", *updated), w=w, g=g, counts=counts,
            **rates(0.01), **state, **ADAM,
        )  # fmt: skip


def test_adam_of_a_shaped_weight(kernels):
    (w, g, m, v) = normal(np.random.default_rng(4), sized([(4, 3, 3, 5, 7)], [(4, 2, 1, 5, 7)])[0])
    common = {"m": m, "v": v * v, **rates(0.01), **ADAM}
    compare(kernels, "adam_step", (), updated=("w", "m", "v"), w=w, g=g, **common)


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
        updated=("w", "theta", "sign", "m", "v", "counts"),
        counts=np.array([7, 5, 3]),
        **rates(0.02, prior=prior, mu=mu),
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
        updated=("w", "theta", "sign", "counts"),
        counts=np.array([7, 5, 3]),
        **rates(0.02, prior=0.1, mu=0.005),
        **state(np.random.default_rng(2), size, np.float32),
    )


def test_counts(every_kernels):
    w = np.array([0.5, -0.001, 0.0, 0.0], np.float32)
    theta = np.array([0.5, 0.001, -0.001, -0.5], np.float32)
    sign = np.array([1, -1, 1, -1], np.int8)
    g = np.array([0, -1, -1, 0], np.float32)
    counts = np.array([100, 10, 20])
    every_kernels["grad_r_sgd_step"](w, theta, sign, g, **rates(0.01), counts=counts)
    assert counts.tolist() == [2, 11, 21]
    np.testing.assert_allclose(theta, [0.5, -0.009, 0.009, -0.5], rtol=1e-6)
    assert w[[1, 3]].tolist() == [0, 0]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_weight_set_by_hand_is_believed(kernels, dtype):
    """Changed, sign turned, pruned and revived; what was not touched stays as it is."""
    generator = np.random.default_rng(5)
    parts = state(generator, sized([4099], [139])[0], dtype)
    w, theta, sign = parts["w"], parts["theta"], parts["sign"]
    untouched = theta.copy()
    w[0::5] = generator.normal(size=w[0::5].size)
    w[1::5] *= -1
    w[2::5] = 0
    w[-1] = -0.0
    done = compare(
        kernels, "grad_r_believe", (), updated=("theta", "sign"), w=w, theta=theta, sign=sign
    )
    np.testing.assert_array_equal(w, done["sign"] * np.maximum(done["theta"], 0))
    np.testing.assert_array_equal(done["sign"][0::5], np.sign(w[0::5]))
    np.testing.assert_array_equal(done["theta"][3:-1:5], untouched[3:-1:5])
    assert (done["theta"][3::5] < 0).any()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("size", [0, *SIZES])
def test_grad_r_start(kernels, size, dtype):
    w = normal(np.random.default_rng(6), (size,), dtype)
    w[::2] = 0
    w[::4] = -0.0
    theta, sign = np.empty_like(w), np.empty(size, np.int8)
    for key in (0, 1 << 63 | 11):
        done = compare(
            kernels, "grad_r_start", ("theta", "sign"), w=w, theta=theta, sign=sign, key=key
        )
        assert set(np.unique(done["sign"])) <= {-1, 1}
        if size > 1000:
            assert abs(done["sign"][::2].mean()) < 0.1
    # the published bits: the highest of 6627e8d5, e169c58d, bc57ac4c, 9b00dbd8
    first = np.empty(4, np.int8)
    kernels["grad_r_start"](np.zeros(4, dtype), np.empty(4, dtype), first, 0)
    assert first.tolist() == [-1, 1, 1, 1]


@pytest.mark.parametrize("case", sized(["case0", "case1", "case2", "case3"], ["case1"]))
def test_recorded_trajectory(every_kernels, case):
    """The published optimizer, up to 300 steps: theta within 1e-6, the same zeros."""
    with h5py.File(FIXTURE) as file:
        group = file[case]
        setting = {name: float(value) for name, value in group.attrs.items()}
        w, gradients, steps = (group[n][()] for n in ("weight_initial", "gradients", "steps"))
        recorded = {n: group[n][()] for n in ("theta", "weight", "sign")}
    gradients = gradients[: sized([len(gradients)], [10])[0]]
    # entries [0, :3] start at 0 and stay dead in the published code; here they have a sign
    judged = np.ones(w.shape, bool)
    judged[0, :3] = False
    sign = np.where(w < 0, -1, 1).astype(np.int8)
    np.testing.assert_array_equal(sign[judged], recorded["sign"][judged])
    theta, m, v = np.abs(w), np.zeros_like(w), np.zeros_like(w)
    for t, gradient in enumerate(gradients, start=1):
        before, counts = w.copy(), np.zeros(3, np.int64)
        every_kernels["grad_r_step"](
            w.reshape(-1),
            theta.reshape(-1),
            sign.reshape(-1),
            gradient.reshape(-1),
            m.reshape(-1),
            v.reshape(-1),
            **rates(
                setting["lr"] / (1 - setting["beta1"] ** t),
                (1 - setting["beta2"] ** t) ** -0.5,
                setting["prior"],
                setting["mu"],
            ),
            **{name: setting[name] for name in ("beta1", "beta2", "eps")},
            counts=counts,
        )
        changed = (before == 0, w == 0)
        assert counts.tolist() == [
            np.sum(w != 0),
            np.sum(~changed[0] & changed[1]),
            np.sum(changed[0] & ~changed[1]),
        ]
        for k in np.flatnonzero(steps == t):
            there = recorded["theta"][k][judged]
            assert np.max(np.abs(theta[judged] - there)) <= 1e-6
            differs = (w[judged] == 0) != (recorded["weight"][k][judged] == 0)
            assert np.all(np.abs(there[differs]) <= 1e-6)
