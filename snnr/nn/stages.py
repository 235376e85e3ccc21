"""The groups of layers that belong together: flatten - dropout - weight - norm - neuron - pool.

Made once for a network; read by whoever asks what follows what (passes that are fused, metrics,
sparse networks, exports).
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from snnr.nn.base import Layer
from snnr.nn.dropout import Dropout
from snnr.nn.neuron import IF
from snnr.nn.norm import BatchNorm
from snnr.nn.shape import Flatten, MaxPool2d
from snnr.nn.weights import Conv2d, Linear

#: what may stand in a stage, in this order, each once
_SLOTS: tuple[tuple[str, tuple[type[Layer], ...]], ...] = (
    ("flatten", (Flatten,)),
    ("dropout", (Dropout,)),
    ("weight", (Linear, Conv2d)),
    ("norm", (BatchNorm,)),
    ("neuron", (IF,)),
    ("pool", (MaxPool2d,)),
)


@dataclass(frozen=True)
class Stage:
    """Neighbouring layers, each of its kind or None; `other` stands alone in its stage."""

    flatten: Flatten | None = None
    dropout: Dropout | None = None
    weight: Linear | Conv2d | None = None
    norm: BatchNorm | None = None
    neuron: IF | None = None
    pool: MaxPool2d | None = None
    other: Layer | None = None

    @property
    def layers(self) -> tuple[Layer, ...]:
        """The layers in order."""
        every = (*(getattr(self, name) for name, _ in _SLOTS), self.other)
        return tuple(layer for layer in every if layer is not None)


def _slot(layer: Layer) -> int | None:
    for place, (_, kinds) in enumerate(_SLOTS):
        if isinstance(layer, kinds):
            return place
    return None


def grouped(layers: Iterable[Layer]) -> list[Stage]:
    """Layers that run one after the other, as stages."""
    stages: list[Stage] = []
    found: dict[str, Layer] = {}
    last = -1
    for layer in layers:
        place = _slot(layer)
        if found and (place is None or place <= last):
            stages.append(Stage(**found))  # type: ignore[arg-type]
            found = {}
        if place is None:
            stages.append(Stage(other=layer))
            last = -1
            continue
        found[_SLOTS[place][0]] = layer
        last = place
    if found:
        stages.append(Stage(**found))  # type: ignore[arg-type]
    return stages


def chain(network: Layer) -> Iterator[Layer]:
    """The layers that run one after the other, nested sequences opened; a layer that has layers
    inside and is no sequence comes as it is."""
    in_order = getattr(network, "in_order", None)
    if in_order is None:
        yield network
        return
    for layer in in_order:
        yield from chain(layer)


def stages(network: Layer) -> list[Stage]:
    """The stages of a network, nested sequences opened."""
    return grouped(chain(network))
