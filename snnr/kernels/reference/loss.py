"""Losses and their gradients, in NumPy. Made in float64 and rounded once."""

import numpy as np

from snnr.kernels.reference.types import Array


def mse(x: Array, target: Array, difference: Array, out: Array) -> None:
    """difference = x - target; out[()] = mean of its squares."""
    difference[...] = x - target
    out[...] = np.square(difference, dtype="f8").mean()


def mse_grad(difference: Array, grad: Array, dx: Array) -> None:
    """dx = grad[()] * 2/size * difference."""
    dx[...] = grad.astype("f8") * (2 / difference.size) * difference


def cross_entropy(x: Array, labels: Array, probability: Array, out: Array) -> None:
    """probability[N,C] = softmax of x[N,C]; out[()] = mean of -log probability of labels[N]."""
    shifted = x.astype("f8") - x.max(axis=1, keepdims=True)
    total = np.exp(shifted).sum(axis=1, keepdims=True)
    probability[...] = np.exp(shifted) / total
    rows = np.arange(len(labels))
    out[...] = np.mean(np.log(total[:, 0]) - shifted[rows, labels])


def cross_entropy_grad(probability: Array, labels: Array, grad: Array, dx: Array) -> None:
    """dx = grad[()]/N * (probability - one-hot)."""
    dx[...] = probability
    dx[np.arange(len(labels)), labels] -= 1
    dx *= grad / dx.dtype.type(len(labels))


def one_hot(labels: Array, out: Array) -> None:
    """out[N,C] = 1 at each of labels[N], else 0."""
    out[...] = labels[:, None] == np.arange(out.shape[1])
