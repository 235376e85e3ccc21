"""What a training draws its batches from."""

from abc import ABC, abstractmethod
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from snnr.errors import ShapeError
from snnr.kernels import resolve
from snnr.tensor import Tensor


def fits(
    out: Tensor, shape: tuple[int, ...], dtype: Any, timesteps: int | None, device: str
) -> bool:
    """Whether a batch of this shape in memory can be written over `out`."""
    told = tuple(out.memory.shape), out.dtype, out.timesteps, out.device
    return told == (tuple(shape), np.dtype(dtype), timesteps, device)


class Source(ABC):
    """Many samples, and a batch of them as network input.

    Attributes: `count` of the samples; `sample_shape` of one of them, public, without batch and
    time; `timesteps` of a sequence, None where samples are static; `device` where batches lie;
    `kind` of the random moves, None where there are none.
    """

    count: int
    sample_shape: tuple[int, ...]
    timesteps: int | None = None
    kind: str | None = None
    device: str

    def __init__(self, device: str = "cpu") -> None:
        self.device = resolve(device)

    @abstractmethod
    def batch(self, index: ArrayLike, rng: np.random.Generator | None = None) -> Tensor:
        """The samples at `index`: a static tensor ``[N, ...]`` or a sequence ``[T, N, ...]``.

        Parameters
        ----------
        index : whole numbers ``[N]``, 0..count-1.
        rng : source of random moves, in training; None gives the samples as they are.

        Raises
        ------
        ShapeError : `index` is not such an array.
        """

    def refill(
        self, out: Tensor, index: ArrayLike, rng: np.random.Generator | None = None
    ) -> Tensor:
        """`batch`, written over `out`, an earlier batch; a fresh tensor where it does not fit."""
        made = self.batch(index, rng)
        if not fits(out, made.memory.shape, made.dtype, made.timesteps, made.device):
            return made
        out.backend.copy(made.memory, out.memory)
        return out

    def about(self) -> dict[str, Any]:
        """What a checkpoint keeps of the source, as JSON values."""
        return {"image_shape": list(self.sample_shape), "timesteps": self.timesteps}

    def checked(self, index: ArrayLike) -> NDArray[np.int64]:
        """The index as int64, when it points at samples.

        Raises
        ------
        ShapeError : it does not.
        """
        found = np.asarray(index)
        if found.ndim != 1 or (found.size and found.dtype.kind not in "iu"):
            raise ShapeError(f"index is {found.dtype} {found.shape}, expected whole numbers [N]")
        if found.size and not 0 <= int(found.min()) <= int(found.max()) < self.count:
            raise ShapeError(
                f"index runs from {found.min()} to {found.max()}, expected 0..{self.count - 1}"
            )
        return np.ascontiguousarray(found, np.int64)

    def __len__(self) -> int:
        return self.count
