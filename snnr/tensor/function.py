"""Function: a node of the tape, forward and backward side by side."""

from abc import ABC, abstractmethod
from typing import Any, ClassVar

from snnr import kernels
from snnr.errors import ArgumentError, DeviceError, TapeError
from snnr.kernels import Backend, Memory
from snnr.layout import Layout
from snnr.tensor.checks import expect_tensors
from snnr.tensor.tensor import Tensor, is_recording


class Function(ABC):
    """A differentiable operation; the instance is the context between forward and backward.

    A subclass stores its settings in `__init__`, computes memory from its input tensors in
    `forward` and returns one gradient per input (None where there is none) from `backward`, each in
    the layout of that input's memory. What it saves on `self` in between is dropped after use. An
    instance serves one call.
    """

    #: promises that what `backward` returns is held by nobody else and returned once; then the tape
    #: need not copy it. `backward` may hand on the gradient it was given, once.
    owned: ClassVar[bool] = False

    _inputs: tuple[Tensor | None, ...] | None = None
    _used: bool = False
    backend: Backend
    needs: tuple[bool, ...]

    @abstractmethod
    def forward(self, *inputs: Any) -> Memory:
        """The result's memory, from the input tensors; may save what backward needs on `self`."""

    @abstractmethod
    def backward(self, grad: Memory) -> tuple[Memory | None, ...]:
        """One gradient per input, None where there is none, from that of the result."""

    def timesteps(self, *inputs: Tensor | None) -> int | None:
        """Time steps of the result: those of the first input unless a subclass says otherwise."""
        first = inputs[0]
        return first.timesteps if first is not None else None

    def layout(self, *inputs: Tensor | None) -> Layout | None:
        """Layout of the result; None: that of activations with as many axes."""
        return None

    def __call__(self, *inputs: Tensor | None) -> Tensor:
        """Run forward and, where a gradient is wanted, record the node.

        Raises
        ------
        ArgumentError : an input is no Tensor, or there is none.
        DeviceError : the tensors lie on different devices.
        TapeError : the instance was called before.
        """
        if self._used:
            raise TapeError(
                f"this {type(self).__name__} was called before; make a new one for each call"
            )
        self._used = True
        present = [t for t in inputs if t is not None]
        if not all(isinstance(tensor, Tensor) for tensor in present):
            expect_tensors(type(self).__name__, **{f"input {i}": t for i, t in enumerate(present)})
        if not present:
            raise ArgumentError(f"{type(self).__name__} needs at least one input tensor, got none")
        device = present[0].device
        for tensor in present:
            if tensor.device != device:
                raise DeviceError(
                    f"{type(self).__name__} got tensors on {device} and {tensor.device}; "
                    "move the whole network to one device"
                )
        self.backend = kernels.backend(device)
        self.needs = tuple(t is not None and t.requires_grad for t in inputs)
        result = Tensor.from_memory(
            self.forward(*inputs),
            device,
            self.timesteps(*inputs),
            self.layout(*inputs),
            present[0].float_dtype,
        )
        if is_recording() and any(self.needs):
            result.requires_grad = True
            result.node = self
            self._inputs = inputs
        else:
            self.clear()
        return result

    def tensors(self) -> tuple[Tensor | None, ...]:
        """Inputs of a recorded node."""
        if self._inputs is None:
            raise TapeError(
                "this part of the graph was freed by an earlier backward(); run forward again"
            )
        return self._inputs

    def release(self) -> tuple[Tensor | None, ...]:
        """Hand the inputs over to the backward pass: a node serves once."""
        inputs = self.tensors()
        self._inputs = None
        return inputs

    def clear(self) -> None:
        """Drop what was saved for the backward pass."""
        self.__dict__.clear()
        self._used = True
