"""What functions take: tensors and numbers; anything else is refused by name."""

from typing import Any

import numpy as np

from snnr.errors import ArgumentError
from snnr.tensor.tensor import Tensor


def described(value: Any) -> str:
    """What somebody gave, in a few words."""
    kind = type(value)
    if isinstance(value, np.ndarray):
        return f"a NumPy array {list(value.shape)} {value.dtype}"
    if kind.__module__.partition(".")[0] == "torch":
        return f"a torch.{kind.__name__}"
    if isinstance(value, type):
        return f"the class {value.__name__}"
    if callable(value) and hasattr(value, "__name__"):
        return f"the function {value.__name__}"
    text = " ".join(repr(value).split())
    short = text if len(text) < 60 else text[:57] + "..."
    return short if short.startswith(kind.__name__) else f"{kind.__name__} {short}"


def remedy(value: Any) -> str:
    """How it becomes a tensor."""
    if isinstance(value, np.ndarray):
        return "wrap it: snnr.Tensor(array)"
    if type(value).__module__.partition(".")[0] == "torch":
        return "convert it: snnr.Tensor(x.detach().cpu().numpy())"
    return "make one: snnr.Tensor(np.asarray(values, np.float32))"


def expect_tensors(name: str, **given: Any) -> None:
    """Refuse what is no Tensor; `name` is that of the function.

    Raises
    ------
    ArgumentError : one of `given` is something else.
    """
    for argument, value in given.items():
        if not isinstance(value, Tensor):
            raise ArgumentError(
                f"{name}: {argument} is {described(value)}, expected a snnr.Tensor; {remedy(value)}"
            )
