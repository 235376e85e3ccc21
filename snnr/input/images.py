"""Images moved a little at random, and normalised: the last step before the network.

The random numbers come from a NumPy generator, image by image in the order of `index`, so that a
seed fixes every batch on every device; the pixels are moved by a kernel.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from snnr import kernels
from snnr.errors import ConfigError, ShapeError
from snnr.input.moves import Affine, CropFlip, Moves, moves
from snnr.input.source import Source, fits
from snnr.kernels import Memory
from snnr.tensor import Tensor


def affine_matrices(
    rng: np.random.Generator,
    count: int,
    height: int,
    width: int,
    degrees: float,
    translate: float,
    scale: tuple[float, float],
) -> NDArray[np.float32]:
    """Random maps from output to input pixels, float32 [count, 6].

    Drawn as torchvision's `RandomAffine(degrees, (translate, translate), scale)` draws them: the
    angle uniform in ±degrees, the shift uniform in ±translate of the size and rounded to whole
    pixels, the scale uniform. Forward, a point p about the centre goes to scale·R(angle)·p + shift;
    row (m0..m5) is the inverse of that.
    """
    angle = np.deg2rad(rng.uniform(-degrees, degrees, count))
    shift_x = np.rint(rng.uniform(-translate * width, translate * width, count))
    shift_y = np.rint(rng.uniform(-translate * height, translate * height, count))
    size = rng.uniform(*scale, count)
    cos, sin = np.cos(angle) / size, np.sin(angle) / size
    return np.stack(
        [
            cos,
            sin,
            -cos * shift_x - sin * shift_y,
            -sin,
            cos,
            sin * shift_x - cos * shift_y,
        ],
        axis=1,
    ).astype(np.float32)


class Images(Source):
    """Static batches ``[N, C, H, W]``, float32, of uint8 or float32 images.

    Parameters
    ----------
    images : ``[M, C, H, W]``, uint8, or float32 (which are normalised but never moved). They are
        put into the device's memory once; on a host device they are the very array where it is
        contiguous.
    mean, std : one number per channel; of pixels scaled to 0..1 for uint8 images.
    kind : how images move when `batch` is given a generator: "affine" or "crop-flip", with options
        (``"affine:degrees=7,scale=0.95/1.05"``), or one of `snnr.input.moves`; None: not at all.
    device : where batches lie.
    degrees, translate, scale, padding : options of `kind`, as in `Affine` and `CropFlip`.

    `kind` is then the text that names it, and `moves` the record (or None).

    Raises
    ------
    ShapeError : the images have another shape or dtype.
    ConfigError : unknown kind, float images that are to move, or a setting that makes no sense.
    DeviceError : there is no such device here.
    """

    def __init__(
        self,
        images: NDArray[Any],
        mean: Sequence[float] | NDArray[Any],
        std: Sequence[float] | NDArray[Any],
        kind: str | Moves | None = None,
        device: str = "cpu",
        *,
        degrees: float | None = None,
        translate: float | None = None,
        scale: tuple[float, float] | None = None,
        padding: int | None = None,
    ) -> None:
        super().__init__(device)
        if images.ndim != 4 or images.dtype not in (np.uint8, np.float32):
            raise ShapeError(
                f"images is {images.dtype} {images.shape}, expected uint8 or float32 [M, C, H, W]"
            )
        options: dict[str, Any] = {
            "degrees": degrees, "translate": translate, "scale": scale, "padding": padding,
        }  # fmt: skip
        self.moves = None if kind is None else moves(kind, **options)
        if self.moves is None and any(value is not None for value in options.values()):
            raise ConfigError(
                "degrees, translate, scale and padding are options of a kind, which is None"
            )
        if self.moves is not None and images.dtype != np.uint8:
            raise ConfigError(
                f"kind (={kind!r}) moves uint8 images only, these are float32; use kind=None"
            )
        self.kind = None if self.moves is None else str(self.moves)
        average, spread = _statistics(mean, std, images.shape[1])
        self.count = len(images)
        self.sample_shape = images.shape[1:]
        self.mean, self.std = mean, std
        self._backend = kernels.backend(self.device)
        self._images = self._backend.copy_in(images)
        self._norm = self._backend.copy_in(average), self._backend.copy_in(spread)

    def about(self) -> dict[str, Any]:
        return {
            "image_shape": list(self.sample_shape),
            "mean": [float(value) for value in self.mean],
            "std": [float(value) for value in self.std],
        }

    def batch(self, index: ArrayLike, rng: np.random.Generator | None = None) -> Tensor:
        """The images at `index`, moved at random where there is a generator, and normalised."""
        places = self.checked(index)
        out = self._backend.empty(self._shape(places), np.float32)
        self._fill(places, rng, out)
        return Tensor.from_memory(out, self.device)

    def refill(
        self, out: Tensor, index: ArrayLike, rng: np.random.Generator | None = None
    ) -> Tensor:
        places = self.checked(index)
        if not fits(out, self._shape(places), np.float32, None, self.device):
            return self.batch(places, rng)
        self._fill(places, rng, out.memory)
        return out

    def _shape(self, index: NDArray[np.int64]) -> tuple[int, ...]:
        """Of a batch in memory."""
        channels, height, width = self.sample_shape
        return index.size, height, width, channels

    def _fill(self, index: NDArray[np.int64], rng: np.random.Generator | None, out: Memory) -> None:
        backend, count = self._backend, index.size
        if not count:
            return
        _, height, width = self.sample_shape
        chosen, how = backend.copy_in(index), self.moves
        if rng is not None and isinstance(how, Affine):
            matrix = affine_matrices(
                rng, count, height, width, how.degrees, how.translate, how.scale
            )
            backend.random_affine(self._images, chosen, backend.copy_in(matrix), *self._norm, out)
        elif rng is not None and isinstance(how, CropFlip):
            moved = rng.integers(-how.padding, how.padding, (2, count), endpoint=True)
            flip = rng.integers(0, 2, count, np.uint8)
            down, right, mirrored = map(backend.copy_in, (moved[0], moved[1], flip))
            backend.crop_flip(self._images, chosen, down, right, mirrored, *self._norm, out)
        else:
            backend.normalise(self._images, chosen, *self._norm, out)

    def __repr__(self) -> str:
        shape = [self.count, *self.sample_shape]
        return f"Images({shape}, kind={self.kind!r}, device={self.device!r})"


def _statistics(mean: Any, std: Any, channels: int) -> tuple[NDArray[Any], NDArray[Any]]:
    """Mean and std as float32 ``[C]``.

    Raises
    ------
    ConfigError : they are not a positive, finite spread and a finite mean for each channel.
    """
    try:
        average, spread = np.array(mean, np.float32), np.array(std, np.float32)
    except (TypeError, ValueError):
        raise ConfigError(f"mean (={mean!r}) and std (={std!r}) must be numbers") from None
    if average.shape != (channels,) or spread.shape != (channels,):
        raise ConfigError(
            f"mean (={mean}) and std (={std}) must have one number for each of the {channels} "
            "channels of the images"
        )
    if not np.isfinite(average).all() or not np.isfinite(spread).all():
        raise ConfigError(f"mean (={mean}) and std (={std}) must be finite")
    if (spread <= 0).any():
        raise ConfigError(f"std (={std}) must be positive in every channel")
    return average, spread
