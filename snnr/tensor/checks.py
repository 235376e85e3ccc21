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
    text = repr(value)
    return f"{kind.__name__} {text if len(text) < 40 else text[:37] + '...'}"


def remedy(value: Any) -> str:
    """How it becomes a tensor."""
    if isinstance(value, np.ndarray):
        return "wrap it: snnr.Tensor(array)"
    if type(value).__module__.partition(".")[0] == "torch":
        return "convert it: snnr.Tensor(x.detach().cpu().numpy())"
    return "make one: snnr.Tensor(np.asarray(values, np.float32))"


def expect_tensors(name: str, **given: Any) -> None:
    """Refuse what is no Tensor.

    Raises
    ------
    ArgumentError : one of `given` is something else.
    """
    for argument, value in given.items():
        if not isinstance(value, Tensor):
            raise ArgumentError(
                f"{name}: {argument} is {described(value)}, expected a snnr.Tensor; {remedy(value)}"
            )
