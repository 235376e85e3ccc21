"""Records that a text names: "cosine", or "step:factor=0.3,at=0.6/0.9". The text is all that a
checkpoint keeps of them."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from numbers import Integral, Real
from typing import Any, ClassVar, Self

from snnr.errors import ConfigError, suggestion

_MAX_TEXT = 200
_WHOLE = r"\d{1,9}"
_NUMBER = r"\d*\.?\d{1,17}(e[-+]?\d{1,3})?"  # whatever repr makes of a float


@dataclass(frozen=True)
class Worded:
    """Base of such records, frozen dataclasses whose fields all have defaults: a number, or a tuple
    of them. `str` of one is its text, without what is as by default.

    Raises
    ------
    ConfigError : a value is of another kind than the default.
    """

    NAME: ClassVar[str] = ""

    def __post_init__(self) -> None:
        for one in fields(self):
            value = _like(one.name, one.default, getattr(self, one.name))
            object.__setattr__(self, one.name, value)

    def __str__(self) -> str:
        given = [
            f"{one.name}={told(value)}"
            for one in fields(self)
            if (value := getattr(self, one.name)) != one.default
        ]
        return self.NAME + ":" * bool(given) + ",".join(given)

    @classmethod
    def read(cls, text: str, kinds: Mapping[str, type[Self]], what: str, examples: str) -> Self:
        """The record that a text names.

        Parameters
        ----------
        kinds : name -> record.
        what, examples : what it is, and texts with options, for messages.

        Raises
        ------
        ConfigError : there is no such record or option, or a value makes no sense.
        """
        if not isinstance(text, str) or len(text) > _MAX_TEXT:
            raise ConfigError(f"{what} must be a text of at most {_MAX_TEXT} characters")
        name, colon, inside = (part.strip() for part in text.partition(":"))
        kind = kinds.get(name.lower())
        if kind is None:
            raise ConfigError(
                f"unknown {what} {text!r}: expected one of {', '.join(kinds)}, or one of them "
                f"with options ({examples}){suggestion(name, kinds)}"
            )
        known = {one.name: one.default for one in fields(kind)}
        given: dict[str, Any] = {}
        for pair in inside.split(",") if colon else ():
            key, _, value = (word.strip() for word in pair.partition("="))
            if key not in known or key in given:
                listed = ", ".join(f"{k} (default {told(v)})" for k, v in known.items()) or "none"
                wrong, meant = f"{key} is given twice", ""
                if key not in given:
                    wrong, meant = f"{pair.strip()!r} is no option", suggestion(key, known)
                raise ConfigError(
                    f"{what} {text!r}: {wrong} of {kind.NAME}{meant}; expected {listed}"
                )
            given[key] = _value(f"{what} {text!r}: {key}", value, known[key])
        return kind(**given)


def _value(name: str, text: str, default: Any) -> Any:
    """A number, or several with strokes between them, as the default is."""
    several, whole = isinstance(default, tuple), isinstance(default, int)
    words = [word.strip() for word in (text.split("/") if several else [text])]
    pattern = _WHOLE if whole else _NUMBER
    if not all(re.fullmatch(pattern, word, re.ASCII) for word in words):
        kind = "a whole number such as 4" if whole else "a number such as 0.01"
        if several:
            kind = f"numbers such as {told(default)}"
        raise ConfigError(f"{name} (={text!r}) must be {kind}")
    numbers = tuple(map(int if whole else float, words))
    return numbers if several else numbers[0]


def _like(name: str, default: Any, value: Any) -> Any:
    """A value as its text would be read: 7 is 7.0, a list a tuple, NumPy's numbers are Python's."""
    if isinstance(default, tuple):
        if not isinstance(value, Sequence) or isinstance(value, str):
            raise ConfigError(f"{name} (={value!r}) must be numbers such as {default}")
        return tuple(_like(name, 0.0, one) for one in value)
    kind, wanted = (Integral, "whole number") if isinstance(default, int) else (Real, "number")
    if not isinstance(value, kind) or isinstance(value, bool):
        raise ConfigError(f"{name} (={value!r}) must be a {wanted} such as {default}")
    return type(default)(value)


def told(value: Any) -> str:
    """A value as it stands in a text."""
    return "/".join(map(repr, value)) if isinstance(value, tuple) else repr(value)
