"""Tensor, Function and the tape: reverse-mode differentiation, one node per layer and sequence."""

from snnr.tensor.function import Function
from snnr.tensor.parameter import Buffer, Parameter, Stored
from snnr.tensor.tensor import FLOATS, Tensor, is_recording, no_grad

__all__ = [
    "FLOATS",
    "Buffer",
    "Function",
    "Parameter",
    "Stored",
    "Tensor",
    "is_recording",
    "no_grad",
]
