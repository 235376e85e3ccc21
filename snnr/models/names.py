"""A network by the text that names it: its name, its name and options, or a spec."""

import inspect
import re
from collections.abc import Callable
from typing import Any

from snnr.errors import ConfigError, suggestion
from snnr.models.build import DEFAULT_T, Shape, build
from snnr.models.paper import cifar10_conv, csnn, mnist_fc
from snnr.models.parts import SpecError, decimal
from snnr.models.spec import MAX_TEXT, parse
from snnr.nn import Sequential

#: network name -> function that makes it
MODELS: dict[str, Callable[..., Sequential]] = {
    "mnist_fc": mnist_fc,
    "csnn": csnn,
    "cifar10_conv": cifar10_conv,
}

#: arguments of those functions that a run decides
_OF_THE_RUN = ("T", "seed", "device", "input_shape", "classes")
EXAMPLE = "32c3-bn-lif-mp2-fc10-lif"


def make(
    name: str,
    T: int | None = None,
    seed: int = 0,
    device: str = "cpu",
    input_shape: Shape | None = None,
    classes: int = 10,
) -> Sequential:
    """Make a network by name ("csnn"), name and options ("csnn:channels=64") or spec
    ("32c3-bn-lif-mp2-fc10-lif"); None keeps its own T (8 for a spec) and the data set's shape.

    Raises
    ------
    ConfigError : there is no such network, or it does not fit the shape and classes; of a spec a
        `SpecError`, which points at the place.
    """
    if T is not None and T < 1:
        raise ConfigError(f"timesteps (={T}) must be at least 1")
    settings: dict[str, Any] = {"seed": seed, "device": device, "classes": classes}
    if T is not None:
        settings["T"] = T
    if input_shape is not None:
        settings["input_shape"] = input_shape
    base, options = _named(name)
    if base is None:
        return build(parse(name), **{"T": DEFAULT_T, **settings}, text=name)
    return MODELS[base](**settings, **options)


def canonical(name: str) -> str:
    """The one text of all those that name the same network: small letters, no blanks, options in
    their order, nothing that is the default.

    Raises
    ------
    ConfigError : as `make`, as far as that can be told without the data set.
    """
    base, options = _named(name)
    if base is None:
        return "-".join(map(str, parse(name)))
    return base + ":" * bool(options) + ",".join(f"{k}={decimal(v)}" for k, v in options.items())


def base_name(name: str) -> str | None:
    """The network of that name without its options; None for a spec."""
    return _named(name)[0]


def _named(name: str) -> tuple[str | None, dict[str, Any]]:
    """Name of a network and its options that are not the default; None for what must be a spec."""
    if not isinstance(name, str) or len(name) > MAX_TEXT:
        raise ConfigError(f"net must be a text of at most {MAX_TEXT} characters")
    base, colon, inside = name.partition(":")
    base = base.strip().lower()
    if base in MODELS:
        return base, _options(name, base, inside) if colon else {}
    if colon or "-" not in name or base.replace("-", "_") in MODELS:
        try:
            parse(name)
        except SpecError as error:
            if error.start == 0 and error.what.find("no layer") >= 0:
                raise ConfigError(
                    f"unknown network {name!r}{suggestion(base, MODELS)}: expected one of "
                    f"{', '.join(MODELS)}, one of them with options (csnn:channels=64), or a spec "
                    f"such as {EXAMPLE}{_lacking(base)}"
                ) from None
            raise
    return None, {}


def _lacking(name: str) -> str:
    """What a network that others have needs, and this version has not."""
    if any(part in name for part in ("resnet", "densenet", "mobilenet", "former", "unet")):
        return "; this version has chains of layers, without shortcuts and attention"
    return ""


def _options(name: str, base: str, inside: str) -> dict[str, Any]:
    """The options of a named network, checked against the arguments of its function."""
    known = {
        key: parameter.default
        for key, parameter in inspect.signature(MODELS[base]).parameters.items()
        if key not in _OF_THE_RUN
    }
    start = name.index(":") + 1
    given: dict[str, Any] = {}
    for pair in inside.split(","):
        place = start + len(pair) - len(pair.lstrip())
        key, equals, value = (word.strip() for word in pair.partition("="))
        start += len(pair) + 1
        if not equals or key not in known or key in given:
            listed = ", ".join(f"{k} (default {v})" for k, v in known.items())
            wrong = f"{key} is given twice" if key in given else f"{pair.strip()!r} is no option"
            meant = "" if key in given else suggestion(key, known)
            raise SpecError(
                name, place, place + len(pair.strip()),
                f"{wrong} of {base}{meant}; expected {listed}, as in {base}:{next(iter(known))}=64",
            )  # fmt: skip
        whole = isinstance(known[key], int)
        if not re.fullmatch(r"\d{1,6}" if whole else r"\d*\.?\d{1,17}", value, re.ASCII):
            kind = "a whole number of up to six digits" if whole else "a number such as 0.5"
            raise SpecError(
                name, place, place + len(pair.strip()), f"{key} (={value!r}) must be {kind}"
            )
        given[key] = int(value) if whole else float(value)
        if whole and given[key] < 1:
            raise SpecError(name, place, place + len(pair.strip()), f"{key} must be at least 1")
    return {key: given[key] for key in known if key in given and given[key] != known[key]}
