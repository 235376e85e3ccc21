"""Settings of the methods: typed records that say their bounds and what they mean.

The command line makes its options from them, a checkpoint stores them, and an optimizer is made
again from them.
"""

import math
from dataclasses import Field, asdict, dataclass, field, fields
from typing import Any, ClassVar

import numpy as np

from snnr.errors import ConfigError


def setting(
    default: Any,
    help: str,
    *,
    least: float | None = None,
    most: float | None = None,
    below: float | None = None,
    above: float | None = None,
    choices: tuple[str, ...] = (),
    option: bool = False,
) -> Any:
    """A field of a record: its bounds, what it means, and whether it is an option of `train`."""
    metadata = {
        "help": help, "least": least, "most": most, "below": below, "above": above,
        "choices": choices, "option": option,
    }  # fmt: skip
    return field(default=default, metadata=metadata)


def target_setting() -> Any:
    """The setting of methods that can be steered to a connectivity."""
    return setting(
        0.0,
        "Share of connections at the end, 0.05 for 5 %; 0, where a method may be free: whatever is "
        "left.",
        least=0, most=1, option=True,
    )  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Base of the records.

    Raises
    ------
    ConfigError : a value is out of its bounds.
    """

    def __post_init__(self) -> None:
        for one in fields(self):
            value = _plain(getattr(self, one.name))
            object.__setattr__(self, one.name, value)
            expected = _complaint(one, value)
            if expected:
                raise ConfigError(f"{one.name} (={value!r}) must be {expected}")

    #: names of properties that follow from the settings and are worth telling
    DERIVED: ClassVar[tuple[str, ...]] = ()

    def told(self) -> dict[str, Any]:
        """`as_dict`, and what follows from it."""
        return {**self.as_dict(), **{name: getattr(self, name) for name in self.DERIVED}}

    def as_dict(self) -> dict[str, Any]:
        """Names and values, as JSON takes them."""
        plain = asdict(self)
        return {key: list(v) if isinstance(v, tuple) else v for key, v in plain.items()}


def _plain(value: Any) -> Any:
    """Numbers of NumPy as Python's own, which JSON takes."""
    if isinstance(value, tuple | list):
        return tuple(map(_plain, value))
    return value.item() if isinstance(value, np.generic) else value


def _complaint(one: Field[Any], value: Any) -> str | None:
    """What a value should be, if it is not."""
    bounds = one.metadata
    if bounds["choices"]:
        known = isinstance(value, str) and value in bounds["choices"]
        return None if known else f"one of {', '.join(bounds['choices'])}"
    parts = value if isinstance(one.default, tuple) else (value,)
    if isinstance(one.default, tuple) and (
        not isinstance(value, tuple) or len(value) != len(one.default)
    ):
        return f"{len(one.default)} numbers"
    least, most, below, above = (bounds[key] for key in ("least", "most", "below", "above"))
    whole = isinstance(one.default, int)
    words = [
        *([f"at least {least:g}"] if least is not None else []),
        *([f"greater than {above:g}"] if above is not None else []),
        *([f"less than {below:g}"] if below is not None else []),
        *([f"at most {most:g}"] if most is not None else []),
    ]
    for part in parts:
        number = isinstance(part, int if whole else int | float) and not isinstance(part, bool)
        if (
            not number
            or not math.isfinite(part)
            or (least is not None and part < least)
            or (most is not None and part > most)
            or (above is not None and part <= above)
            or (below is not None and part >= below)
        ):
            kind = "a whole number" if whole else "a finite number"
            return kind + "".join(f", {word}" for word in words)
    return None


@dataclass(frozen=True, kw_only=True)
class AdamSettings(Settings):
    """Adam (Kingma & Ba, ICLR 2015)."""

    lr: float = setting(1e-3, "Learning rate.", least=0, most=1e38, option=True)
    betas: tuple[float, float] = setting(
        (0.9, 0.999), "Decay of the two moments.", least=0, below=1
    )
    eps: float = setting(1e-8, "Added to the root of the second moment.", least=1e-30, most=1e30)


#: of priors that are not 0
_WEAKEST = 1e-30


@dataclass(frozen=True, kw_only=True)
class GradRSettings(AdamSettings):
    """Grad R (Chen et al., IJCAI 2021)."""

    prior: float = setting(
        1e-3,
        "How hard the prior pushes connections away in every step; larger prunes more. After 12 "
        "epochs of MNIST 1e-3 leaves 63 % of them, 5e-2 5 %.",
        least=0, most=1e15, option=True,
    )  # fmt: skip
    sparsity: float = setting(
        0.95,
        "How far it pushes them: p, the share that the prior expects to go. Not the share that "
        "does: see --target-connectivity.",
        least=0.5, below=1, option=True,
    )  # fmt: skip
    form: str = setting("adam", "Form of the update.", choices=("adam", "sgd"))
    target_connectivity: float = target_setting()

    DERIVED = ("mu",)

    def __post_init__(self) -> None:
        super().__post_init__()
        if 0 < self.prior < _WEAKEST:
            raise ConfigError(
                f"prior (={self.prior!r}) must be 0, which switches it off, or at least "
                f"{_WEAKEST:g}: its location ln(2 - 2 sparsity)/prior would leave float32"
            )
        if self.target_connectivity and self.prior == 0:
            raise ConfigError(
                "prior (=0) must be greater than 0 with a target_connectivity, which starts from it"
            )
        if self.target_connectivity and self.sparsity == 0.5:
            raise ConfigError(
                "sparsity (=0.5) must be greater than 0.5 with a target_connectivity: it puts the "
                "prior's location on 0, where half of the connections come and go for ever"
            )

    @property
    def mu(self) -> float:
        """Location of the prior."""
        return laplace_location(self.prior, self.sparsity)


def laplace_location(prior: float, sparsity: float) -> float:
    """mu = ln(2 - 2 sparsity)/prior, so that the prior puts probability `sparsity` below 0; 0
    without a prior."""
    return math.log(2 - 2 * sparsity) / prior if prior > 0 else 0.0
