"""How training images move at random: which way, and how far."""

import math
from dataclasses import dataclass, replace
from typing import Any

from snnr.errors import ConfigError
from snnr.wording import Worded


@dataclass(frozen=True)
class Moves(Worded):
    """Base of the ways; `str` of one is the text that names it.

    Raises
    ------
    ConfigError : a value is out of its bounds.
    """


@dataclass(frozen=True)
class Affine(Moves):
    """Turn, shift and scale; the nearest pixel, 0 outside. The paper's by default.

    degrees : turned by up to so many either way.
    translate : shifted by up to this share of the image's size.
    scale : times a factor between the two.
    """

    NAME = "affine"
    degrees: float = 30.0
    translate: float = 0.15
    scale: tuple[float, float] = (0.85, 1.11)

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.degrees <= 180:
            raise ConfigError(f"degrees (={self.degrees}) must lie between 0 and 180")
        if not 0 <= self.translate <= 1:
            raise ConfigError(f"translate (={self.translate}) must lie between 0 and 1")
        if len(self.scale) != 2 or not 0 < self.scale[0] <= self.scale[1] < math.inf:
            raise ConfigError(f"scale (={self.scale}) must be (low, high) with 0 < low <= high")


@dataclass(frozen=True)
class CropFlip(Moves):
    """A window of the original size out of the image in a frame of zeros, mirrored half of the
    time.

    padding : width of the frame, in pixels, at most 10,000.
    """

    NAME = "crop-flip"
    padding: int = 4

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.padding <= 10_000:
            raise ConfigError(f"padding (={self.padding}) must lie between 0 and 10,000")


#: name -> way
MOVES: dict[str, type[Moves]] = {kind.NAME: kind for kind in (Affine, CropFlip)}
#: the names
KINDS = tuple(MOVES)
_EXAMPLES = "affine:degrees=7,translate=0.05,scale=0.95/1.05, crop-flip:padding=2"


def moves(kind: str | Moves, what: str = "moves", **given: Any) -> Moves:
    """A way by name, or by name and options; or one that is made already.

    Parameters
    ----------
    what : the argument that `kind` is, for messages.
    given : options besides; None are left out.

    Raises
    ------
    ConfigError : there is no such way or option, or a value makes no sense.
    """
    found = kind if isinstance(kind, Moves) else Moves.read(kind, MOVES, what, _EXAMPLES)
    if MOVES.get(found.NAME) is not type(found):
        raise ConfigError(
            f"{what} (a {type(found).__name__}) must be one of {', '.join(KINDS)}, which a "
            "checkpoint can tell; make a snnr.input.Source for one of your own"
        )
    given = {name: value for name, value in given.items() if value is not None}
    for name in given:
        if name not in vars(found):
            listed = ", ".join(vars(found))
            raise ConfigError(f"{name} is no option of {found.NAME}: expected {listed}")
    return replace(found, **given)


def canonical_moves(kind: str | Moves) -> str:
    """The one text of all those that name the same. Raises as `moves`."""
    return str(moves(kind))
