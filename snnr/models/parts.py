"""The parts that a network is described by, and errors that point at one of them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from snnr.errors import ConfigError, printable

#: characters of a text in messages; it is a stranger's
_SHOWN = 120


class SpecError(ConfigError):
    """A description of a network that makes no sense.

    text : the whole description; start, end : the place in it that is wrong, counted from 0.
    """

    def __init__(self, text: str, start: int, end: int, what: str) -> None:
        self.text, self.start, self.end, self.what = text, start, max(end, start + 1), what
        super().__init__(f"net {_short(text)!r}, character {start + 1}: {what}")

    def pointing(self) -> str:
        """The message in three lines: what is wrong, and the text with a mark below the place."""
        before, marked = self.text[: self.start], self.text[self.start : self.end] or " "
        blanks, marks = " " * len(printable(before)), "^" * len(printable(marked))
        return f"{printable(self.what)}\n  {printable(self.text)}\n  {blanks}{marks}"


def _short(text: str) -> str:
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."


@dataclass(frozen=True)
class Part:
    """One layer of a description, before its inputs are known.

    kind : conv, bn, lif, if, maxpool, avgpool, fc, dropout or vote.
    settings : what the layer is told, by the names that its class has for it.
    start, end : where it stands in the text, if it was read from one.
    """

    kind: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    start: int = 0
    end: int = 0

    def __str__(self) -> str:
        """As a spec has it; what is the default is left out."""
        got = self.settings
        if self.kind == "conv":
            size, stride, padding = (got[k] for k in ("kernel_size", "stride", "padding"))
            step = f"s{stride}" if stride != 1 else ""
            frame = f"p{padding}" if padding != size // 2 else ""
            return f"{got['out_channels']}c{size}{step}{frame}"
        if self.kind in ("maxpool", "avgpool"):
            size, stride = got["kernel_size"], got["stride"]
            return f"{self.kind[0]}p{size}" + (f"s{stride}" if stride != size else "")
        if self.kind == "dropout":
            return "dp" if got["p"] == 0.5 else f"dp{decimal(got['p'])}"
        if self.kind == "fc":
            return f"fc{got['out_features']}"
        if self.kind == "vote":
            return f"vote{got['group']}"
        inside = ",".join(f"{key}={_value(value)}" for key, value in got.items())
        return f"{self.kind}({inside})" if inside else self.kind


def decimal(value: float) -> str:
    """The shortest text that is read as this number, without an exponent (its hyphen would be
    another one)."""
    return np.format_float_positional(value, trim="-")


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "none" if value is None else str(value)


def conv(channels: int, size: int = 3, stride: int = 1, padding: int | None = None) -> Part:
    """A convolution; by default padded so that an odd kernel keeps the image's size."""
    frame = size // 2 if padding is None else padding
    sizes = {"out_channels": channels, "kernel_size": size, "stride": stride, "padding": frame}
    return Part("conv", sizes)


def norm() -> Part:
    """A BatchNorm."""
    return Part("bn")


def lif() -> Part:
    """LIF neurons with the paper's settings."""
    return Part("lif")


def maxpool(size: int) -> Part:
    """Max pooling of windows that do not overlap."""
    return Part("maxpool", {"kernel_size": size, "stride": size})


def fc(features: int) -> Part:
    """A linear layer."""
    return Part("fc", {"out_features": features})


def dropout(p: float) -> Part:
    """Dropout."""
    return Part("dropout", {"p": p})


def vote(group: int) -> Part:
    """Voting."""
    return Part("vote", {"group": group})
