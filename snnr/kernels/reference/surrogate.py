"""The surrogates of `rules`, over arrays. A test holds the two to each other."""

import numpy as np

from snnr.kernels import rules
from snnr.kernels.reference.types import Array


def primitive(x: Array, surrogate: int, alpha: float) -> Array:
    """g(x), the smooth spike, in the dtype of x; formulas in `rules.surrogate_primitive`."""
    result: Array
    u = alpha * x
    if surrogate == rules.ATAN:
        result = np.arctan(np.pi / 2 * u) / np.pi + 0.5
    elif surrogate == rules.SIGMOID:
        e = np.exp(-np.abs(u))
        result = np.where(u >= 0, 1, e) / (1 + e)
    elif surrogate == rules.FAST_SIGMOID:
        result = (u / (1 + np.abs(u)) + 1) / 2
    elif surrogate == rules.RECTANGULAR:
        result = np.clip(u + 0.5, 0, 1)
    elif surrogate == rules.TRIANGULAR:
        area = np.maximum(1 - np.abs(u), 0) ** 2 / 2
        result = np.where(u < 0, area, 1 - area)
    elif surrogate == rules.GAUSSIAN:
        from scipy.special import erf  # here, because it takes as long to import as all of snnr

        result = (1 + erf(u / np.sqrt(2).astype(u.dtype))) / 2
    else:
        raise ValueError(f"surrogate (={surrogate}) must be an id between 0 and 5")
    return np.asarray(result, x.dtype)


def derivative(x: Array, surrogate: int, alpha: float) -> Array:
    """g'(x), in the dtype of x; formulas in `rules.surrogate_derivative`."""
    result: Array
    u = alpha * x
    if surrogate == rules.ATAN:
        result = (alpha / 2) / (1 + (np.pi / 2 * u) ** 2)
    elif surrogate == rules.SIGMOID:
        e = np.exp(-np.abs(u))
        result = alpha * (e / (1 + e) ** 2)
    elif surrogate == rules.FAST_SIGMOID:
        result = (alpha / 2) / (1 + np.abs(u)) ** 2
    elif surrogate == rules.RECTANGULAR:
        result = alpha * (np.abs(u) <= 0.5)
    elif surrogate == rules.TRIANGULAR:
        result = alpha * np.maximum(1 - np.abs(u), 0)
    elif surrogate == rules.GAUSSIAN:
        result = alpha / float(np.sqrt(2 * np.pi)) * np.exp(-u * u / 2)
    else:
        raise ValueError(f"surrogate (={surrogate}) must be an id between 0 and 5")
    return np.asarray(result, x.dtype)
