"""Surrogates: a smooth stand-in g for the step function, and the derivative g' used in BPTT.

Each is a pair (primitive, derivative) of x = h - v_threshold, with steepness `alpha`: g(0) = 1/2,
g -> 0 and 1, so that the area under g' is 1. The formulas stand in `snnr.kernels.rules`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from snnr.errors import ConfigError, missing, suggestion
from snnr.kernels import rules
from snnr.kernels.reference import surrogate as arrays

#: steeper ones overflow float32 where they are squared
_STEEPEST = 1e15

Array = np.ndarray[Any, np.dtype[Any]]
Function = Callable[[Array, float], Array]


def _pair(surrogate: int) -> tuple[Function, Function]:
    def primitive(x: Array, alpha: float) -> Array:
        return arrays.primitive(x, surrogate, alpha)

    def derivative(x: Array, alpha: float) -> Array:
        return arrays.derivative(x, surrogate, alpha)

    return primitive, derivative


#: name -> (primitive, derivative), each a function of (x, alpha) over float arrays
PAIRS: dict[str, tuple[Function, Function]] = {
    name: _pair(i) for i, name in enumerate(rules.SURROGATES)
}


@dataclass(frozen=True)
class Surrogate:
    """One surrogate with its steepness.

    Raises
    ------
    ConfigError : `name` is unknown, `id` is not that name's, or `alpha` is not positive.
    """

    name: str  #: one of `rules.SURROGATES`
    id: int  #: its position there, which kernels understand
    alpha: float  #: steepness

    def __post_init__(self) -> None:
        if self.name not in PAIRS or rules.SURROGATES.index(self.name) != self.id:
            raise ConfigError(
                f"surrogate (={self.name!r}, id={self.id}) must be one of {_choices()} "
                "with its own id; use a factory such as snnr.surrogate.ATan(alpha=2.0)"
            )
        if not 0 < self.alpha <= _STEEPEST:
            raise ConfigError(
                f"alpha (={self.alpha}) of surrogate {self.name!r} must be a finite number "
                f"above 0, at most {_STEEPEST:g}; surrogates and their usual alpha: {_choices()}"
            )

    def primitive(self, x: Any) -> Array:
        """g(x) in the dtype of x (float64 for anything but float32)."""
        return PAIRS[self.name][0](_floats(x), self.alpha)

    def derivative(self, x: Any) -> Array:
        """g'(x) in the dtype of x (float64 for anything but float32)."""
        return PAIRS[self.name][1](_floats(x), self.alpha)


def _floats(x: Any) -> Array:
    array = np.asarray(x)
    return array if array.dtype in (np.float32, np.float64) else array.astype(np.float64)


def _make(name: str, alpha: float) -> Surrogate:
    return Surrogate(name, rules.SURROGATES.index(name), float(alpha))


def ATan(alpha: float = 2.0) -> Surrogate:
    """g = arctan(pi/2 alpha x)/pi + 1/2,  g' = (alpha/2)/(1 + (pi/2 alpha x)^2)."""
    return _make("atan", alpha)


def Sigmoid(alpha: float = 4.0) -> Surrogate:
    """g = 1/(1 + exp(-alpha x)),  g' = alpha g (1 - g)."""
    return _make("sigmoid", alpha)


def FastSigmoid(alpha: float = 2.0) -> Surrogate:
    """g = (alpha x/(1 + |alpha x|) + 1)/2,  g' = (alpha/2)/(1 + |alpha x|)^2 (SoftSign)."""
    return _make("fast_sigmoid", alpha)


def Rectangular(alpha: float = 1.0) -> Surrogate:
    """g = alpha x + 1/2 clipped to [0, 1],  g' = alpha where |alpha x| <= 1/2."""
    return _make("rectangular", alpha)


def Triangular(alpha: float = 1.0) -> Surrogate:
    """g piecewise quadratic,  g' = alpha max(0, 1 - |alpha x|)."""
    return _make("triangular", alpha)


def Gaussian(alpha: float = 2.0) -> Surrogate:
    """g = (1 + erf(alpha x/sqrt 2))/2,  g' the normal density with sigma = 1/alpha."""
    return _make("gaussian", alpha)


#: name -> factory
FACTORIES: dict[str, Callable[..., Surrogate]] = {
    "atan": ATan,
    "sigmoid": Sigmoid,
    "fast_sigmoid": FastSigmoid,
    "rectangular": Rectangular,
    "triangular": Triangular,
    "gaussian": Gaussian,
}


def _choices() -> str:
    return ", ".join(f"{name!r} ({factory().alpha:g})" for name, factory in FACTORIES.items())


def get(surrogate: str | Surrogate) -> Surrogate:
    """The surrogate itself, or the one of that name with its usual alpha.

    Raises
    ------
    ConfigError : no surrogate has that name.
    """
    if isinstance(surrogate, Surrogate):
        return surrogate
    if not isinstance(surrogate, str) or surrogate not in FACTORIES:
        raise ConfigError(
            f"surrogate (={surrogate!r}) must be a snnr.surrogate.Surrogate or one of these names "
            f"(usual alpha): {_choices()}{suggestion(str(surrogate), FACTORIES)}"
        )
    return FACTORIES[surrogate]()


if not TYPE_CHECKING:  # which would take any name for a good one
    __getattr__ = missing(__name__, [*FACTORIES, *(kind.__name__ for kind in FACTORIES.values())])
