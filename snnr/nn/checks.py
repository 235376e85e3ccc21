"""Settings of layers: refused where they are given, not where the network runs."""

import math
from typing import Any

import numpy as np

from snnr.errors import ConfigError

Pair = tuple[int, int]

#: time steps of a static input
MAX_TIMESTEPS = 1 << 16
#: largest step from one window to the next
MAX_STRIDE = 1 << 10
#: a wider ring of zeros makes large images of small ones
MAX_PADDING = 64
#: largest window of a pooling, whose index is kept in a byte
MAX_POOL = 15
#: far from where float32 ends, so that products of a few settings are finite
LARGEST = 1e15


def whole(layer: str, least: int = 1, most: int | None = None, **values: Any) -> int:
    """The last of the values as int; refuse what is not a whole number within the bounds."""
    for name, value in values.items():
        number = isinstance(value, int | np.integer) and not isinstance(value, bool)
        if not number or value < least or (most is not None and value > most):
            bounds = f"at least {least}" if most is None else f"from {least} to {most}"
            raise ConfigError(f"{layer}: {name} (={value!r}) must be a whole number, {bounds}")
    return int(value)


def pair(
    layer: str, name: str, value: Any, least: int = 1, most: int | None = None
) -> int | Pair:
    """A whole number, or two of them for rows and columns; two equal ones are one."""
    given = value if isinstance(value, tuple | list) else (value,)
    try:
        numbers = [whole(layer, least, most, **{name: one}) for one in given]
    except ConfigError:
        numbers = []
    if len(numbers) not in (1, 2) or (len(numbers) == 1 and given is value):
        bounds = f"at least {least}" if most is None else f"from {least} to {most}"
        hint = "; half of an odd kernel_size keeps the size at stride 1" if least == 0 else ""
        raise ConfigError(
            f"{layer}: {name} (={value!r}) must be a whole number, or two for rows and columns, "
            f"{bounds}{hint}"
        )
    return numbers[0] if numbers[0] == numbers[-1] else (numbers[0], numbers[1])


def both(value: int | Pair) -> Pair:
    """The number of rows and that of columns."""
    return value if isinstance(value, tuple) else (value, value)


def flag(layer: str, name: str, value: Any) -> bool:
    """The value as bool; refuse what only has a truth, such as "no"."""
    of_numpy = isinstance(value, np.generic) and value.dtype == "bool"
    if not (isinstance(value, bool) or of_numpy):
        raise ConfigError(f"{layer}: {name} (={value!r}) must be True or False")
    return bool(value)


def number(layer: str, name: str, value: Any) -> float:
    """The value as a number; refuse what float32 could not calculate with."""
    plain = value.item() if isinstance(value, np.generic) else value
    real = isinstance(plain, int | float) and not isinstance(plain, bool)
    if not real or not math.isfinite(plain) or abs(plain) > LARGEST:
        raise ConfigError(
            f"{layer}: {name} (={value!r}) must be a number from {-LARGEST:g} to {LARGEST:g}"
        )
    return plain


def steps(layer: str, T: Any) -> int | None:
    """T as int, or None where it is left open."""
    return None if T is None else whole(layer, most=MAX_TIMESTEPS, T=T)
