"""What callers and kernels tell each other besides arrays: hints, and gradients that are packed."""

from dataclasses import dataclass, field
from typing import Any

#: an array of the backend
Memory = Any


@dataclass(slots=True)
class Hints:
    """What may make a call quicker, and never changes its result.

    connectivity : share of the weights that are not zero.
    call : what the forward pass leaves for the backward pass of the same input.
    weight : what is kept with the weight from call to call, valid for `version` of its values, or
        for `pattern`, which of them are not zero (None: nothing may be kept; a pattern of None
        changes with the version).
    needed : uint8 ``[N, K]``, the entries of an input gradient that are not thrown away afterwards,
        the same for every time step (None: all).
    """

    connectivity: float = 1.0
    call: dict[str, Any] = field(default_factory=dict)
    weight: dict[str, Any] | None = None
    version: int = 0
    pattern: int | None = None
    needed: Memory | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Packed:
    """The gradient of a weight where that is not zero; elsewhere it is taken for zero.

    values : memory of few entries, in the backend's order.
    pattern : the backend's list of where they belong.
    shape : of the weight's memory.
    """

    values: Memory
    pattern: Any
    shape: tuple[int, ...]

    @property
    def dtype(self) -> Any:
        """Of the values."""
        return self.values.dtype
