"""Names, limits and conversions that the writer and the reader of checkpoints share.

::

    /                          attrs: format, format_version, snnr_version, created, epoch, step,
                               connectivity, accuracy (absent when unknown), digest
    /*                         attrs: digest, of the member's content (see `digest`)
    /config                    JSON: what the training was called with
    /network                   attr architecture: JSON {"T", "layers": [{"name", "type",
                               "settings"}]}, layers inside of others in their settings as {"type",
                               "settings"}; one group per layer, in order, inside of that of the
                               layer it stands in, attrs: type and its plain settings (one that is
                               None has no attribute)
    /network/<layer>/weight    CSR in AnnData's encoding: data, indices, indptr; attrs
                               encoding-type, encoding-version, shape [out, in*kh*kw], kernel_shape
    /network/<layer>/...       bias, scale, shift, running_mean, running_var
    /optimizer                 attrs: method, step, the method's settings and numbers (lag, of one
                               that is steered), and parameters: JSON, names of those it moves, in
                               its order (all, where that is missing);
                               /optimizer/<layer>/<parameter>/ theta, sign, exp_avg, exp_avg_sq,
                               attr step: its updates, and for a weight the same attrs again
    /history                   one dataset per column, one row per epoch; groups with one dataset
                               per layer, and one of the optimizer's settings that may move
    /rng                       one JSON string per generator, and what a stop inside of an epoch
                               needs: progress (JSON) and order (the epoch's permutation)

A weight stores every entry whose bits are not zero, in the public order.

Version 1 had no digests, and its JSON datasets were strings of variable length.
"""

import json
from typing import Any

import h5py
import numpy as np

from snnr.errors import CheckpointError
from snnr.hdf5 import Source

FORMAT = "snnr-checkpoint"
VERSION = 2

#: more weights than this in one network are refused before anything is allocated (2 GiB)
MAX_WEIGHTS = 1 << 29

#: columns of /history with one number per epoch
COLUMNS = (
    "epoch", "train_loss", "train_accuracy", "test_loss", "test_accuracy", "connectivity",
    "seconds",
)  # fmt: skip
#: groups of /history with one column per layer
LAYER_COLUMNS = ("pruned", "regrown", "layer_connectivity", "firing_rate", "silent")
#: group of /history with one column per setting of the optimizer that may move
SETTINGS = "settings"

#: generators whose state is two integers and that this format keeps
GENERATORS = {"PCG64": np.random.PCG64, "PCG64DXSM": np.random.PCG64DXSM}

#: what is written as a whole number is an int64
MAX_COUNT = (1 << 63) - 1
#: name in /rng that is no generator
ORDER = "order"

_JSON = int | float | str | bool | None | list[Any] | dict[str, Any]


def is_name(name: object) -> bool:
    """Whether a member of the file can have this name, and is found by it again."""
    return (
        isinstance(name, str)
        and 0 < len(name) <= 255
        and name not in (".", "..")
        and not any(c == "/" or c < " " or "\ud800" <= c <= "\udfff" for c in name)
    )


def to_json(value: Any, what: str) -> str:
    """Strict JSON.

    Raises
    ------
    CheckpointError : the value has something in it that JSON cannot hold.
    """
    try:
        return json.dumps(value, allow_nan=False, default=_plain)
    except (TypeError, ValueError) as error:
        raise CheckpointError(
            f"{what} cannot be saved as JSON ({error}); use numbers, strings, lists and mappings"
        ) from None


def _plain(value: Any) -> Any:
    if isinstance(value, np.generic):
        return value.item()
    if hasattr(value, "__fspath__"):
        return str(value)
    raise TypeError(f"{type(value).__name__} is not a JSON value")


def from_json(text: str, where: str) -> _JSON:
    """Strict JSON back.

    Raises
    ------
    CheckpointError : it is not JSON, or it has a NaN or infinity in it.
    """

    def refuse(name: str) -> None:
        raise ValueError(f"{name} is not a JSON number")

    try:
        value: _JSON = json.loads(text, parse_constant=refuse)
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"{where} is not valid JSON ({error}); the file is damaged") from None
    return value


def generator_state(rng: np.random.Generator, what: str) -> dict[str, Any]:
    """State of a generator as JSON values.

    Raises
    ------
    CheckpointError : its kind is not in `GENERATORS`.
    """
    state = dict(rng.bit_generator.state)
    if state.get("bit_generator") not in GENERATORS:
        raise CheckpointError(
            f"{what} draws from {state.get('bit_generator')}, a checkpoint keeps "
            f"{' or '.join(GENERATORS)}; use numpy.random.default_rng(seed)"
        )
    return state


def restore_generator(rng: np.random.Generator, state: Any, where: str) -> None:
    """Put a generator of the same kind into a saved state.

    Raises
    ------
    CheckpointError : the state makes no sense or belongs to another kind of generator.
    """
    try:
        kind = state["bit_generator"]
        inner = {key: int(state["state"][key]) for key in ("state", "inc")}
        if kind != type(rng.bit_generator).__name__ or kind not in GENERATORS:
            raise ValueError(f"{kind} where {type(rng.bit_generator).__name__} is expected")
        if not all(0 <= value < 1 << 128 for value in inner.values()) or inner["inc"] % 2 == 0:
            raise ValueError("state or increment out of range")
        if state["has_uint32"] not in (0, 1) or not 0 <= state["uinteger"] < 1 << 32:
            raise ValueError("buffered number out of range")
        rng.bit_generator.state = {
            "bit_generator": kind,
            "state": inner,
            "has_uint32": state["has_uint32"],
            "uinteger": state["uinteger"],
        }
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise CheckpointError(f"{where}: not the state of a generator ({error!r})") from None


def read_json(source: Source, text: str, where: str) -> Any:
    """JSON of a file, with what it may take counted before it is read."""
    # "[[],[]" and so on: an object of 56 bytes and a pointer for every three characters
    source.budget.take(22 * len(text), where)
    return from_json(text, f"{source.path}: {where}")


def read_natural(source: Source, group: h5py.Group, name: str) -> int:
    """A whole number of at least 0 from an attribute."""
    value: int = source.attribute(group, name, int)
    if value < 0:
        source.fail(f"attribute {name!r} of {group.name}", f"is {value}, expected at least 0")
    return value
