"""Losses and their gradients: a batch of scores is small, so NumPy does them."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


def mse(x: Array, target: Array, difference: Array, out: Array) -> None:
    """difference = x - target; out[()] = mean of its squares."""
    np.subtract(x, target, out=difference)
    out[...] = np.mean(np.square(difference))


def mse_grad(difference: Array, grad: Array, dx: Array) -> None:
    """dx = grad[()] * 2/size * difference."""
    np.multiply(grad * dx.dtype.type(2.0 / difference.size), difference, out=dx)


def cross_entropy(x: Array, labels: Array, probability: Array, out: Array) -> None:
    """probability[N, C] = softmax of x[N, C]; out[()] = mean of -log probability of the labels."""
    shifted = x - x.max(axis=1, keepdims=True)
    exponents = np.exp(shifted)
    total = exponents.sum(axis=1, keepdims=True)
    np.divide(exponents, total, out=probability)
    picked = shifted[np.arange(len(labels)), labels] - np.log(total[:, 0])
    out[...] = -picked.mean()


def cross_entropy_grad(probability: Array, labels: Array, grad: Array, dx: Array) -> None:
    """dx = grad[()]/N * (probability - one-hot)."""
    np.copyto(dx, probability)
    dx[np.arange(len(labels)), labels] -= 1
    dx *= grad / dx.dtype.type(len(labels))


def one_hot(labels: Array, out: Array) -> None:
    """out[N, C] = 1 at each of labels[N], else 0."""
    out.fill(0)
    out[np.arange(len(labels)), labels] = 1
