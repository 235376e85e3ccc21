"""Reading a spec such as ``32c3-bn-lif-mp2-64c3-bn-lif-mp2-fc256-lif-fc10-lif``.

Layers, from the input on, with a hyphen between two:

========== =====================================================================================
64c3       convolution: 64 channels, kernels of 3x3, padded to keep the size (by 3 // 2)
64c5s2p0   the same with kernels of 5x5, stride 2, no padding
bn         BatchNorm
lif, if    neurons; ``lif(tau=1.5,v_threshold=0.8,v_reset=none)`` sets what `snnr.nn.LIF` has
mp2, ap2   max and average pooling of 2x2 windows; ``mp3s2`` has stride 2
fc256      linear layer of 256 outputs; images are flattened before the first one
dp, dp0.3  dropout with p=0.5, or another p
vote10     each class is the mean of 10 outputs
========== =====================================================================================

No layer has a bias. Capitals and small letters are the same.
"""

import inspect
import re
from collections.abc import Callable, Iterator
from typing import Any

from snnr.errors import ConfigError, suggestion
from snnr.models.parts import Part, SpecError
from snnr.nn import IF, LIF
from snnr.surrogate import FACTORIES

#: longer ones are refused unread
MAX_TEXT = 1000
MAX_PARTS = 200
#: of channels, features, kernel sizes and so on; what is sensible is up to the layers
MAX_NUMBER = 1 << 20

GRAMMAR = (
    "64c3 (convolution; 64c5s2p0 with stride and padding), bn, lif, if, mp2, ap2, fc256, dp, dp0.3 "
    "or vote10"
)
#: how others call layers
_ELSEWHERE = {
    "batchnorm": "bn", "dropout": "dp", "maxpool": "mp2", "avgpool": "ap2", "vot": "vote10",
    "relu": "lif", "plif": "lif", "linear": "fc256", "dense": "fc256", "conv": "64c3",
}  # fmt: skip
_NUMBER = r"\d+"
_DECIMAL = r"\d{0,9}\.?\d{1,17}"
_NEURONS: dict[str, type[IF]] = {"lif": LIF, "if": IF}
#: arguments of a neuron that the network or a test decides
_NOT_SET = ("T", "smooth")


def parse(text: str) -> list[Part]:
    """The parts of a spec, each with its place; shapes are not looked at.

    Raises
    ------
    SpecError : a layer that there is not, and what could stand there.
    """
    if len(text) > MAX_TEXT:
        raise ConfigError(f"net has {len(text)} characters, at most {MAX_TEXT} are read")
    parts: list[Part] = []
    for start, token in _tokens(text):
        if len(parts) == MAX_PARTS:
            raise SpecError(text, start, len(text), f"more than {MAX_PARTS} layers")
        parts.append(_part(text, start, token))
    if not any(part.kind in _NEURONS for part in parts):
        raise SpecError(text, len(text), len(text), "no neurons: a lif or an if is expected")
    return parts


def _tokens(text: str) -> Iterator[tuple[int, str]]:
    """What stands between hyphens outside of brackets, with its place."""
    start = depth = 0
    for place, character in enumerate(text):
        depth += {"(": 1, ")": -1}.get(character, 0)
        if character == "-" and depth == 0:
            yield start, text[start:place]
            start = place + 1
    yield start, text[start:]


def _part(text: str, start: int, token: str) -> Part:
    left = len(token) - len(token.lstrip())
    start, word = start + left, token.strip().lower()
    end = start + len(word)
    for pattern, make in _FORMS:
        match = re.fullmatch(pattern, word, re.ASCII)
        if match is None:
            continue

        def complain(what: str) -> SpecError:
            return SpecError(text, start, end, what)

        kind, settings = make(match, complain)
        return Part(kind, settings, start, end)
    if not word:
        raise SpecError(text, start, end, f"a layer is missing; expected {GRAMMAR}")
    raise SpecError(text, start, end, f"{word!r} is no layer{_meant(word)}; expected {GRAMMAR}")


def _meant(word: str) -> str:
    for start, meant in _ELSEWHERE.items():
        if word.startswith(start):
            return f" (did you mean {meant}?)"
    return suggestion(word, ("bn", "lif", "if", "mp2", "ap2", "dp", "vote10"))


Complain = Callable[[str], SpecError]
Made = tuple[str, dict[str, Any]]


def _whole(match: "re.Match[str]", name: str, complain: Complain, least: int = 1) -> int:
    digits = match[name]
    if len(digits) > 9 or not least <= int(digits) <= MAX_NUMBER:
        raise complain(f"{name} (={digits[:20]}) must lie between {least} and {MAX_NUMBER}")
    return int(digits)


def _conv(match: "re.Match[str]", complain: Complain) -> Made:
    channels, size = (_whole(match, name, complain) for name in ("channels", "kernel"))
    return "conv", {
        "out_channels": channels,
        "kernel_size": size,
        "stride": _whole(match, "stride", complain) if match["stride"] else 1,
        "padding": _whole(match, "padding", complain, 0) if match["padding"] else size // 2,
    }


def _pool(match: "re.Match[str]", complain: Complain) -> Made:
    size = _whole(match, "window", complain)
    stride = _whole(match, "stride", complain) if match["stride"] else size
    kind = "maxpool" if match["kind"] == "m" else "avgpool"
    return kind, {"kernel_size": size, "stride": stride}


def _fc(match: "re.Match[str]", complain: Complain) -> Made:
    return "fc", {"out_features": _whole(match, "outputs", complain)}


def _vote(match: "re.Match[str]", complain: Complain) -> Made:
    return "vote", {"group": _whole(match, "group", complain)}


def _dropout(match: "re.Match[str]", complain: Complain) -> Made:
    p = float(match["p"]) if match["p"] else 0.5
    if not 0 <= p < 1:
        raise complain(f"dropout p (={match['p'][:20]}) must lie in [0, 1)")
    return "dropout", {"p": p}


def _norm(match: "re.Match[str]", complain: Complain) -> Made:
    return "bn", {}


def _neuron(match: "re.Match[str]", complain: Complain) -> Made:
    kind = _NEURONS[match["kind"]]
    known = {k: v for k, v in inspect.signature(kind).parameters.items() if k not in _NOT_SET}
    given: dict[str, Any] = {}
    for pair in filter(None, (match["inside"] or "").split(",")):
        key, equals, value = (word.strip() for word in pair.partition("="))
        if not equals or key not in known or key in given:
            raise complain(
                f"{match['kind']} does not take {pair.strip()!r}{suggestion(key, known)}; expected "
                f"each of {', '.join(known)} at most once, as in lif(tau=1.5,v_threshold=0.8)"
            )
        given[key] = _setting(key, value, known[key].default, complain)
    try:
        kind(**given)
    except ConfigError as error:
        raise complain(str(error)) from None
    return match["kind"], {
        key: given[key] for key in known if key in given and given[key] != known[key].default
    }


def _setting(key: str, value: str, default: Any, complain: Complain) -> Any:
    """A value of the type that the default has."""
    if isinstance(default, bool):
        if value not in ("yes", "no"):
            raise complain(f"{key} (={value!r}) must be yes or no")
        return value == "yes"
    if isinstance(default, str):
        if value not in FACTORIES:
            meant = suggestion(value, FACTORIES)
            raise complain(f"{key} (={value!r}) must be one of {', '.join(FACTORIES)}{meant}")
        return value
    if key == "v_reset" and value == "none":
        return None
    if not re.fullmatch(rf"-?{_DECIMAL}(?:e-?\d{{1,2}})?", value, re.ASCII):
        raise complain(f"{key} (={value!r}) must be a number")
    return float(value)


#: how a word looks, and what it means
_FORMS: tuple[tuple[str, Callable[["re.Match[str]", Complain], Made]], ...] = (
    (
        rf"(?P<channels>{_NUMBER})c(?P<kernel>{_NUMBER})"
        rf"(?:s(?P<stride>{_NUMBER}))?(?:p(?P<padding>{_NUMBER}))?",
        _conv,
    ),
    (rf"(?P<kind>[ma])p(?P<window>{_NUMBER})(?:s(?P<stride>{_NUMBER}))?", _pool),
    (rf"fc(?P<outputs>{_NUMBER})", _fc),
    (rf"vote(?P<group>{_NUMBER})", _vote),
    (rf"dp(?P<p>{_DECIMAL})?", _dropout),
    (r"bn", _norm),
    (r"(?P<kind>lif|if)(?:\((?P<inside>[^()]*)\))?", _neuron),
)
