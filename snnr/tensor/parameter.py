"""Tensors that a layer owns: parameters, which an optimizer moves, and buffers, which are saved."""

from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from snnr import kernels
from snnr.errors import ShapeError
from snnr.kernels import Hints, Memory
from snnr.layout import Layout
from snnr.tensor.tensor import FLOATS, Tensor


class Stored(Tensor):
    """A tensor with a name and a role, kept by a layer and written to checkpoints.

    Parameters
    ----------
    data : initial values, float, of the public shape.
    name : path within a network, e.g. ``"0_linear.weight"``.
    role : what it is for, e.g. "weight" or "running_mean".
    layout : how it lies in memory; by default that of a linear or conv weight where the role is
        "weight", else plain.
    """

    __slots__ = ("name", "role")

    def __init__(
        self,
        data: ArrayLike,
        name: str = "",
        role: str = "",
        layout: Layout | None = None,
        device: str = "cpu",
    ) -> None:
        array = np.asarray(data)
        if array.dtype not in FLOATS:
            raise ShapeError(
                f"{name or role} is {array.dtype}, expected float32 or float64; convert with "
                ".astype(np.float32)"
            )
        if layout is None:
            layout = Layout.of_weight(array.ndim) if role == "weight" else Layout.PLAIN
        backend = kernels.backend(device)
        lying = layout.to_memory(array)
        memory = backend.empty(lying.shape, lying.dtype)
        backend.write(lying, memory)
        self._set(memory, device, None, layout)
        self.name = name
        self.role = role

    @classmethod
    def unset(cls, shape: tuple[int, ...], role: str, layout: Layout, device: str = "cpu") -> Self:
        """Float32 zeros of this public shape, to be assigned."""
        made = cls.__new__(cls)
        memory = kernels.backend(device).zeros(layout.memory_shape(shape))
        made._set(memory, device, None, layout)
        made.name, made.role = "", role
        return made

    def to(self, device: str) -> Self:
        """Move to another device; returns self. A gradient is dropped on the way.

        Raises
        ------
        DeviceError : there is no such device here.
        """
        if device != self.device:
            there = kernels.backend(device)
            self.memory = there.copy_in(self.backend.copy_out(self.memory))
            self.grad_memory = None
            self.device = device
        return self

    def known_nonzero(self, count: int) -> None:
        """Say how many entries are not zero, where that is known: a hint for speed."""

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name!r}, {list(self.shape)}, {self.role})"


class Buffer(Stored):
    """Saved but not trained, e.g. a running mean."""

    __slots__ = ()


class Parameter(Stored):
    """A leaf that an optimizer moves; role "weight" (prunable), "bias", "scale" or "shift".

    `data` is a view that may be written to; `numpy` is one that may not.

    gradient : "all", or "survivors": of weights that are 0 no gradient is wanted, and `grad` is 0
        there. It is what makes a backward pass follow the connections. An optimizer says so for
        the steps that look at no other gradient; set it to "all" to see them again.
    """

    __slots__ = ("_counts", "_known", "exposed", "gradient", "kept", "pattern", "version")

    _counts: Memory | None

    def __init__(
        self,
        data: ArrayLike,
        name: str = "",
        role: str = "weight",
        layout: Layout | None = None,
        device: str = "cpu",
    ) -> None:
        super().__init__(data, name, role, layout, device)

    def _set(self, memory: Memory, device: str, timesteps: int | None, layout: Layout) -> None:
        super()._set(memory, device, timesteps, layout)
        self.requires_grad = True
        #: nonzero, pruned, regrown: int64[3] that the optimizer's kernels write
        self._counts = None
        self._known = 1.0
        #: what kernels keep with the weight, valid for `version` of its values, or for as long as
        #: the same of them are 0: `pattern` is the version that brought others
        self.kept: dict[str, Any] = {}
        self.version = self.pattern = 0
        self.gradient = "all"
        #: a view that can be written to was handed out: values may change unseen
        self.exposed = False

    @property
    def data(self) -> NDArray[Any]:
        """A host array that shares the memory, of the public shape; what is written into it, the
        optimizer believes at its next step.

        Raises
        ------
        DeviceError : the memory is on a device; use `numpy` and `assign`.
        """
        self.exposed = True
        return super().data

    @data.setter
    def data(self, values: ArrayLike) -> None:
        self._host("data")
        self.assign(values)

    def numpy(self) -> NDArray[Any]:
        view = super().numpy().view()
        view.flags.writeable = False
        return view

    def assign(self, values: ArrayLike) -> None:
        super().assign(values)
        self.changed()
        if self.role == "weight":
            count = self.backend.zeros(1, np.int64) if self._counts is None else self._counts
            self.backend.count_nonzero(self.memory, count)
            self._known = int(self.backend.copy_out(count)[0]) / max(self.size, 1)

    def changed(self, rewired: bool = True) -> None:
        """Say that the values are others now, and whether others of them may be 0."""
        self.version += 1
        if rewired:
            self.pattern = self.version

    def to(self, device: str) -> Self:
        if device != self.device:
            self._known = self.connectivity
            self._counts = None
            self.kept = {}
            super().to(device)
        return self

    def known_nonzero(self, count: int) -> None:
        self._known = count / max(self.size, 1)
        self.changed()

    def counted(self, counts: Memory) -> None:
        """Where its nonzero entries are counted from now on."""
        self._counts = counts

    @property
    def connectivity(self) -> float:
        """Share of entries that are not zero, as last counted: a hint for speed."""
        if self._counts is not None and self.backend.host:
            self._known = int(self._counts[0]) / max(self.size, 1)
        return self._known

    def hints(self) -> Hints:
        """What its kernels may use to be quicker."""
        return Hints(
            connectivity=self.connectivity,
            weight=None if self.exposed else self.kept,
            version=self.version,
            pattern=self.pattern,
        )
