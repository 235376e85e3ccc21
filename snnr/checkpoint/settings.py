"""Settings out of a file against what a constructor says it takes.

A layer trusts its settings to be of the types that it declares; a text where a number is declared
would be noticed only when the network runs.
"""

import types
from collections.abc import Mapping
from typing import Any, Union, get_args, get_origin, get_type_hints

_PLAIN = (bool, int, float, str, type(None))
_LARGEST = 1 << 31


def misfit(kind: type, settings: Mapping[str, Any]) -> str | None:
    """What is wrong with the type of a setting, or None.

    Only plain types are held to what is declared (bool, int, float, str, None); a whole number will
    do for a float. Unknown settings are left to the constructor.
    """
    try:
        declared = get_type_hints(kind.__init__)  # type: ignore[misc]
    except NameError:  # a class of somebody's own, with names that exist for type checkers only
        return None
    for key, value in settings.items():
        allowed = _choices(declared.get(key))
        if not allowed or not all(choice in _PLAIN for choice in allowed):
            continue
        fits = type(value) in allowed or (type(value) is int and float in allowed)
        if not fits or (type(value) is int and not -_LARGEST < value < _LARGEST):
            names = " or ".join(
                "None" if choice is type(None) else choice.__name__ for choice in allowed
            )
            return f"{key} (={str(value)[:40]!r}) must be {names}"
    return None


def _choices(hint: Any) -> tuple[Any, ...]:
    """The types of a union, or the one type."""
    if get_origin(hint) in (Union, types.UnionType):
        return get_args(hint)
    return () if hint is None else (hint,)
