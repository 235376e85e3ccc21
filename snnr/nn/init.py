"""First values of weights, drawn on the host: a seed gives the same bits on every device.

Each function gives an initialiser, which maps a public shape and a generator to float32 values. A
layer takes one, and so does any parameter afterwards:

>>> from snnr import nn
>>> layer = nn.Linear(784, 800, weight_init=nn.init.kaiming_normal(), rng=0)
>>> nn.init.fill(layer.weight, nn.init.orthogonal(), rng=1)

fan_in is how many inputs an output has, ``in`` or ``in/groups*kh*kw``; fan_out how many outputs an
input has, ``out`` or ``out*kh*kw`` (of grouped kernels as if there were no groups, as in PyTorch).
Gains are those of layers without a nonlinearity: neurons have none of their own here, so a network
that stays silent wants a larger `gain`. An optimizer that prunes takes weights as it finds them:
Grad R splits each into its sign and theta when it is made, and anew after `fill`.
"""

import math
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from snnr.errors import ConfigError, ShapeError, missing
from snnr.nn.arrays import Initial, Seed, Shape, generator
from snnr.nn.checks import number
from snnr.tensor import Parameter
from snnr.tensor.checks import described

Fan = Literal["fan_in", "fan_out"]


def fans(shape: Shape) -> tuple[int, int]:
    """fan_in and fan_out of a weight ``[out, in]`` or ``[out, in, kh, kw]``.

    Raises
    ------
    ShapeError : it has fewer than two axes.
    """
    if len(shape) < 2:
        raise ShapeError(
            f"a parameter of shape {list(shape)} has no inputs and outputs: initialisers by fan "
            "are for weights; use constant, uniform or normal"
        )
    window = math.prod(shape[2:])
    return shape[1] * window, shape[0] * window


def _number(name: str, setting: str, value: Any, least: float = -math.inf) -> float:
    found = number(f"init.{name}", setting, value)
    if found < least:
        raise ConfigError(f"init.{name}: {setting} (={value!r}) must be at least {least:g}")
    return found


def default(fan_in: int) -> Initial:
    """Uniform in ±1/sqrt(fan_in): what weights and biases of all layers start from."""
    bound = 1.0 / math.sqrt(fan_in)
    return uniform(-bound, bound)


def uniform(low: float, high: float) -> Initial:
    """Uniform in [low, high)."""
    low, high = _number("uniform", "low", low), _number("uniform", "high", high)
    if not low <= high:
        raise ConfigError(f"init.uniform: low (={low}) must not lie above high (={high})")
    return lambda shape, rng: rng.uniform(low, high, shape).astype(np.float32)


def normal(mean: float = 0.0, std: float = 1.0) -> Initial:
    """Normal with this mean and standard deviation."""
    mean, std = _number("normal", "mean", mean), _number("normal", "std", std, 0)
    return lambda shape, rng: rng.normal(mean, std, shape).astype(np.float32)


def constant(value: float) -> Initial:
    """One value everywhere."""
    value = _number("constant", "value", value)
    return lambda shape, rng: np.full(shape, value, np.float32)


def zeros() -> Initial:
    """0 everywhere: no connection at all. Grad R draws signs for them and lets them grow."""
    return constant(0)


def ones() -> Initial:
    """1 everywhere."""
    return constant(1)


def _kaiming(name: str, slope: Any, mode: Any) -> tuple[float, int]:
    slope = _number(name, "slope", slope)
    if mode not in ("fan_in", "fan_out"):
        raise ConfigError(f"init.{name}: mode (={mode!r}) must be fan_in or fan_out")
    return math.sqrt(2.0 / (1.0 + slope**2)), int(mode == "fan_out")


def kaiming_uniform(slope: float = 0.0, mode: Fan = "fan_in") -> Initial:
    """Uniform in ±gain*sqrt(3/fan) with gain = sqrt(2/(1 + slope^2)) (He et al., ICCV 2015, eq. 10
    and 14)."""
    gain, which = _kaiming("kaiming_uniform", slope, mode)

    def initial(shape: Shape, rng: np.random.Generator) -> Any:
        bound = gain * math.sqrt(3.0 / fans(shape)[which])
        return rng.uniform(-bound, bound, shape).astype(np.float32)

    return initial


def kaiming_normal(slope: float = 0.0, mode: Fan = "fan_in") -> Initial:
    """Normal of standard deviation gain/sqrt(fan), gain as in `kaiming_uniform`."""
    gain, which = _kaiming("kaiming_normal", slope, mode)

    def initial(shape: Shape, rng: np.random.Generator) -> Any:
        return rng.normal(0, gain / math.sqrt(fans(shape)[which]), shape).astype(np.float32)

    return initial


def xavier_uniform(gain: float = 1.0) -> Initial:
    """Uniform in ±gain*sqrt(6/(fan_in + fan_out)) (Glorot & Bengio, AISTATS 2010, eq. 16)."""
    gain = _number("xavier_uniform", "gain", gain, 0)

    def initial(shape: Shape, rng: np.random.Generator) -> Any:
        bound = gain * math.sqrt(6.0 / sum(fans(shape)))
        return rng.uniform(-bound, bound, shape).astype(np.float32)

    return initial


def xavier_normal(gain: float = 1.0) -> Initial:
    """Normal of standard deviation gain*sqrt(2/(fan_in + fan_out))."""
    gain = _number("xavier_normal", "gain", gain, 0)

    def initial(shape: Shape, rng: np.random.Generator) -> Any:
        return rng.normal(0, gain * math.sqrt(2.0 / sum(fans(shape))), shape).astype(np.float32)

    return initial


def orthogonal(gain: float = 1.0) -> Initial:
    """Rows, or columns where there are fewer of them, of length `gain` and at right angles, of the
    weight as ``[out, fan_in]`` (Saxe et al., ICLR 2014). Its last bits are those of this machine's
    LAPACK."""
    gain = _number("orthogonal", "gain", gain, 0)

    def initial(shape: Shape, rng: np.random.Generator) -> Any:
        fan_in, _ = fans(shape)
        long, short = max(shape[0], fan_in), min(shape[0], fan_in)
        q, r = np.linalg.qr(rng.standard_normal((long, short)))
        # without it the distribution would not be uniform over orthogonal matrices
        q *= 2.0 * (r.diagonal() >= 0) - 1.0
        rows = q if shape[0] == long else q.T
        return (gain * rows).reshape(shape).astype(np.float32)

    return initial


def fill(parameter: Parameter, initial: Initial, rng: Seed = None) -> Parameter:
    """Give a parameter new values, and return it.

    Parameters
    ----------
    parameter : of any device.
    initial : one of the above, or a function of a public shape and a generator.
    rng : a seed, or a generator, which moves on: one for all layers of a network.

    Raises
    ------
    ConfigError : `parameter` is no Parameter, or `initial` is no function.
    ShapeError : the values have another shape, or the parameter is no weight and has no fan.
    """
    if not isinstance(parameter, Parameter):
        raise ConfigError(
            f"init.fill: {described(parameter)} is no snnr.Parameter; a layer has its own as "
            "layer.weight and layer.bias"
        )
    parameter.assign(checked("init.fill", initial)(parameter.shape, generator(rng)))
    return parameter


def checked(owner: str, initial: Any) -> Initial:
    """The initialiser, refused where it is none."""
    if not callable(initial) or isinstance(initial, type):
        raise ConfigError(
            f"{owner}: the initialiser is {described(initial)}, expected one such as "
            "snnr.nn.init.kaiming_uniform(), or a function of a shape and a generator"
        )
    if getattr(initial, "__module__", None) == __name__ and "." not in initial.__qualname__:
        raise ConfigError(f"{owner}: call it: snnr.nn.init.{initial.__name__}(...)")
    found: Initial = initial
    return found


__all__ = [
    "constant",
    "default",
    "fans",
    "fill",
    "kaiming_normal",
    "kaiming_uniform",
    "normal",
    "ones",
    "orthogonal",
    "uniform",
    "xavier_normal",
    "xavier_uniform",
    "zeros",
]

if not TYPE_CHECKING:  # which would take any name for a good one
    __getattr__ = missing(__name__, __all__)
