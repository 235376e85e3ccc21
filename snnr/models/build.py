"""A network from its parts, once the shape of its input and the number of classes are known."""

import math
from collections.abc import Iterable, Sequence
from typing import Any, NoReturn

import numpy as np

from snnr.errors import ConfigError, SnnrError
from snnr.models.parts import Part, SpecError
from snnr.nn import (
    IF,
    LIF,
    AvgPool2d,
    BatchNorm1d,
    BatchNorm2d,
    Conv2d,
    Dropout,
    Flatten,
    Layer,
    Linear,
    MaxPool2d,
    Sequential,
    Voting,
)
from snnr.nn.arrays import generator

Shape = tuple[int, int, int]

#: time steps where nobody says otherwise (the paper's)
DEFAULT_T = 8
#: more weights than a checkpoint holds (2 GiB of them) are refused before anything is allocated
MAX_WEIGHTS = 1 << 29
#: numbers that a layer may put out for one image at one time step
MAX_OUTPUTS = 1 << 24
#: parts behind which the shape is what it was
_SAME = ("bn", "lif", "if", "dropout")


def build(
    parts: Iterable[Part],
    T: int = DEFAULT_T,
    seed: int = 0,
    device: str = "cpu",
    input_shape: Shape = (1, 28, 28),
    classes: int = 10,
    text: str | None = None,
) -> Sequential:
    """Make a network; images are flattened in front of the first linear layer.

    Parameters
    ----------
    seed : draws first weights, layer by layer, and the keys of dropout.
    input_shape : ``(C, H, W)`` of an image.
    text : what the parts were read from, for messages.

    Raises
    ------
    ConfigError : a part does not fit what comes in (a `SpecError` that points at it, when `text` is
        given), the network does not end in one output per class, or is too large.
    """
    return _Builder(tuple(parts), input_shape, seed, text).network(T, device, classes)


class _Builder:
    """Goes through the parts with the shape of one sample."""

    def __init__(
        self, parts: Sequence[Part], shape: tuple[int, ...], seed: int, text: str | None
    ) -> None:
        self.parts = parts
        self.shape = shape
        self.text = text
        self.rng = generator(seed)
        self.keys = np.random.default_rng((seed, 1))
        self.weights = 0
        self.layers: list[Layer] = []

    def network(self, T: int, device: str, classes: int) -> Sequential:
        for index, part in enumerate(self.parts):
            if len(self.shape) == 3 and self._is_flat(index):
                self._add(part, Flatten())
            self._add(part, self._layer(part))
        if self.shape != (classes,):
            outputs = math.prod(self.shape)
            shaping = [part for part in self.parts if part.kind not in _SAME]
            last = (shaping or self.parts)[-1]
            vote = outputs % classes == 0 and len(self.shape) == 1
            self._fail(
                last,
                f"the network ends in {outputs} outputs, {classes} classes need one each; expected "
                f"fc{classes} as its last weights"
                + f", or a vote{outputs // classes} at the end" * vote,
            )
        return Sequential(*self.layers, T=T, device=device)

    def _is_flat(self, index: int) -> bool:
        """Whether this part, or the one after dropouts, is a linear layer."""
        after = [part.kind for part in self.parts[index:]]
        while after and after[0] == "dropout":
            after.pop(0)
        return after[:1] == ["fc"]

    def _add(self, part: Part, layer: Layer) -> None:
        try:
            self.shape = layer.output_shape(self.shape)
        except SnnrError as error:
            self._fail(part, str(error))
        if math.prod(self.shape) > MAX_OUTPUTS:
            self._fail(
                part,
                f"gives {math.prod(self.shape):,} numbers per image and time step, at most "
                f"{MAX_OUTPUTS:,} are allowed",
            )
        self.layers.append(layer)

    def _layer(self, part: Part) -> Layer:
        made: dict[str, type[Layer]] = {
            "lif": LIF, "if": IF, "maxpool": MaxPool2d, "avgpool": AvgPool2d, "vote": Voting,
        }  # fmt: skip
        try:
            if part.kind in made:
                return made[part.kind](**part.settings)
            if part.kind == "bn":
                kind = BatchNorm2d if len(self.shape) == 3 else BatchNorm1d
                return kind(self.shape[0])
            if part.kind == "dropout":
                return Dropout(**part.settings, rng=self.keys)
            return self._weights(part, part.settings)
        except ConfigError as error:
            if isinstance(error, SpecError):
                raise
            self._fail(part, str(error))

    def _weights(self, part: Part, settings: Any) -> Layer:
        if part.kind == "conv" and len(self.shape) != 3:
            self._fail(part, f"a convolution takes images, not {self.shape[0]} numbers behind a fc")
        inputs = self.shape[0]
        outputs = settings["out_channels" if part.kind == "conv" else "out_features"]
        taps = settings["kernel_size"] ** 2 if part.kind == "conv" else 1
        self.weights += inputs * outputs * taps
        if self.weights > MAX_WEIGHTS:
            self._fail(
                part,
                f"brings the network to {self.weights:,} weights, at most {MAX_WEIGHTS:,} are "
                "allowed",
            )
        if part.kind == "conv":
            return Conv2d(inputs, **settings, bias=False, rng=self.rng)
        return Linear(inputs, **settings, bias=False, rng=self.rng)

    def _fail(self, part: Part, what: str) -> NoReturn:
        if self.text is None:
            raise ConfigError(f"{part}: {what}") from None
        raise SpecError(self.text, part.start, part.end, f"{part}: {what}") from None
