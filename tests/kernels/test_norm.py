"""Batch normalisation against the reference."""

import numpy as np
import pytest

from .harness import compare, normal, sized

SHAPES = sized(
    [(1, 1), (2, 3), (7, 17), (257, 33), (64, 64), (1031, 5), (40, 130)],
    [(1, 1), (9, 5), (131, 2), (3, 33)],
)
#: rows of the tests of digits that are lost
MANY = sized([2000], [400])[0]
CHANNELS = sized([17], [2])[0]


@pytest.mark.parametrize("shape", SHAPES)
def test_batch_norm_stats(kernels, shape):
    x = normal(np.random.default_rng(0), shape)
    (mean, var) = np.empty((2, shape[1]), np.float32)
    compare(kernels, "batch_norm_stats", ("mean", "var"), floor=1.0, x=x, mean=mean, var=var)


def test_variance_beside_a_large_mean(kernels):
    """E[x^2] - E[x]^2 in float32 would lose every digit here."""
    x = 300 + normal(np.random.default_rng(1), (MANY, CHANNELS))
    (mean, var) = np.empty((2, CHANNELS), np.float32)
    expected = compare(kernels, "batch_norm_stats", ("mean", "var"), x=x, mean=mean, var=var)
    np.testing.assert_allclose(expected["var"], 1, atol=0.2)


@pytest.mark.parametrize("scale", [1.0, 1e4])
@pytest.mark.parametrize("place", [0, 3, MANY // 3, MANY - 1])
def test_variance_beside_a_distant_row(kernels, place, scale):
    """One row far from the others, wherever it is, costs the variance no digits."""
    x = scale * normal(np.random.default_rng(1), (MANY, CHANNELS))
    x[place] = 3000 * scale
    (mean, var) = np.empty((2, CHANNELS), np.float32)
    compare(kernels, "batch_norm_stats", ("mean", "var"), x=x, mean=mean, var=var)
    kernels["batch_norm_stats"](x, mean, var)
    np.testing.assert_allclose(var, x.astype(np.float64).var(axis=0), rtol=1e-6)


@pytest.mark.parametrize("rows", [1, 2, 500])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_running_statistics_and_folding(kernels, rows, dtype):
    generator = np.random.default_rng(6)
    mean, scale, shift, running_mean = normal(generator, (4, 33), dtype)
    var, running_var = np.square(normal(generator, (2, 33), dtype))
    compare(
        kernels, "update_running", (), updated=("running_mean", "running_var"), mean=mean, var=var,
        rows=rows, momentum=0.3, running_mean=running_mean, running_var=running_var,
    )  # fmt: skip
    inv_std, gain, offset = np.empty((3, 33), dtype)
    compare(
        kernels, "fold_norm", ("inv_std", "gain", "offset"), mean=mean, var=var, scale=scale,
        shift=shift, eps=1e-5, inv_std=inv_std, gain=gain, offset=offset,
    )  # fmt: skip


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", SHAPES)
def test_gradients_in_evaluation(kernels, shape, dtype):
    generator = np.random.default_rng(7)
    common = grad_arguments(generator, shape, dtype)
    common["gain"] = common.pop("scale") * common["inv_std"]
    x, dy = common.pop("x"), normal(generator, shape, dtype)
    compare(
        kernels, "batch_norm_eval_grad", ("dscale", "dshift", "dx"), floor=1.0, x=x, dy=dy,
        dx=np.empty_like(x), **common,
    )  # fmt: skip
    compare(
        kernels, "norm_lif_eval_grad", ("dscale", "dshift"), updated=("dz",), floor=1.0, dz=dy,
        sum_dz=dy.sum(axis=0), sum_dzx=(dy * x).sum(axis=0), **common,
    )  # fmt: skip


@pytest.mark.parametrize("shape", SHAPES)
def test_batch_norm(kernels, shape):
    generator = np.random.default_rng(2)
    (gain, offset) = normal(generator, (2, shape[1]))
    x, out = normal(generator, shape), np.empty(shape, np.float32)
    compare(kernels, "batch_norm", ("out",), x=x, gain=gain, offset=offset, out=out)


def grad_arguments(generator, shape, dtype):
    x = normal(generator, shape, dtype)
    return {
        "x": x,
        "mean": x.mean(axis=0),
        "inv_std": (x.var(axis=0) + 0.1) ** -0.5,
        "scale": normal(generator, shape[1:], dtype),
        "dscale": np.empty(shape[1], dtype),
        "dshift": np.empty(shape[1], dtype),
    }


def run_batch_norm_grad(kernels, shape, dtype):
    generator = np.random.default_rng(3)
    compare(
        kernels,
        "batch_norm_grad",
        ("dscale", "dshift", "dx"),
        floor=1.0,
        dy=normal(generator, shape, dtype),
        dx=np.empty(shape, dtype),
        **grad_arguments(generator, shape, dtype),
    )


def run_norm_lif_input_grad(kernels, shape, dtype):
    generator = np.random.default_rng(4)
    arguments = grad_arguments(generator, shape, dtype)
    dz = normal(generator, shape, dtype)
    compare(
        kernels,
        "norm_lif_input_grad",
        ("dscale", "dshift"),
        updated=("dz",),
        floor=1.0,
        dz=dz,
        sum_dz=dz.sum(axis=0),
        sum_dzx=(dz * arguments["x"]).sum(axis=0),
        **arguments,
    )


@pytest.mark.parametrize("shape", SHAPES)
def test_batch_norm_grad(kernels, shape):
    run_batch_norm_grad(kernels, shape, np.float32)


@pytest.mark.parametrize("shape", SHAPES)
def test_norm_lif_input_grad(kernels, shape):
    run_norm_lif_input_grad(kernels, shape, np.float32)


def test_float64(kernels):
    shape = (37, 5)
    generator = np.random.default_rng(5)
    x, (mean, var) = normal(generator, shape, np.float64), np.empty((2, 5))
    (gain, offset) = normal(generator, (2, 5), np.float64)
    compare(kernels, "batch_norm_stats", ("mean", "var"), x=x, mean=mean, var=var)
    compare(kernels, "batch_norm", ("out",), x=x, gain=gain, offset=offset, out=np.empty(shape))
    run_batch_norm_grad(kernels, shape, np.float64)
    run_norm_lif_input_grad(kernels, shape, np.float64)
