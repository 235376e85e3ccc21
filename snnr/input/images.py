"""Images moved a little at random, and normalised: the last step before the network.

The random numbers come from a NumPy generator, image by image in the order of `index`, so that a
seed fixes every batch on every device; the pixels are moved by a kernel.
"""

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from snnr import kernels
from snnr.errors import ConfigError, ShapeError
from snnr.input.source import Source, fits
from snnr.kernels import Memory
from snnr.tensor import Tensor

Kind = Literal["affine", "crop-flip"]
KINDS: tuple[Kind, ...] = ("affine", "crop-flip")


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
    kind : how images move when `batch` is given a generator: "affine" (rotate, shift, scale;
        nearest neighbour, 0 outside), "crop-flip" (a window of the original size out of the image
        in a frame of zeros, mirrored half of the time), or None (not at all).
    device : where batches lie.
    degrees, translate, scale : range of "affine"; translate as a share of the image's size.
    padding : width of the frame of "crop-flip", in pixels.

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
        kind: Kind | None = None,
        device: str = "cpu",
        *,
        degrees: float = 30.0,
        translate: float = 0.15,
        scale: tuple[float, float] = (0.85, 1.11),
        padding: int = 4,
    ) -> None:
        super().__init__(device)
        if images.ndim != 4 or images.dtype not in (np.uint8, np.float32):
            raise ShapeError(
                f"images is {images.dtype} {images.shape}, expected uint8 or float32 [M, C, H, W]"
            )
        if kind is not None and kind not in KINDS:
            raise ConfigError(f"kind (={kind!r}) must be {', '.join(KINDS)} or None")
        if kind is not None and images.dtype != np.uint8:
            raise ConfigError(
                f"kind (={kind!r}) moves uint8 images only, these are float32; use kind=None"
            )
        average, spread = _statistics(mean, std, images.shape[1])
        if not 0 <= degrees <= 180:
            raise ConfigError(f"degrees (={degrees}) must lie between 0 and 180")
        if not 0 <= translate <= 1:
            raise ConfigError(f"translate (={translate}) must lie between 0 and 1")
        if len(scale) != 2 or not 0 < scale[0] <= scale[1] < np.inf:
            raise ConfigError(f"scale (={scale}) must be (low, high) with 0 < low <= high")
        if isinstance(padding, bool) or not isinstance(padding, int) or padding < 0:
            raise ConfigError(f"padding (={padding!r}) must be a whole number, at least 0")
        self.count = len(images)
        self.sample_shape = images.shape[1:]
        self.kind = kind
        self.mean, self.std = mean, std
        self.degrees, self.translate, self.scale = degrees, translate, scale
        self.padding = padding
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
        rng = rng if self.kind is not None else None
        _, height, width = self.sample_shape
        chosen = backend.copy_in(index)
        if rng is None:
            backend.normalise(self._images, chosen, *self._norm, out)
        elif self.kind == "affine":
            matrix = affine_matrices(
                rng, count, height, width, self.degrees, self.translate, self.scale
            )
            backend.random_affine(self._images, chosen, backend.copy_in(matrix), *self._norm, out)
        else:
            moves = rng.integers(-self.padding, self.padding, (2, count), endpoint=True)
            flip = rng.integers(0, 2, count, np.uint8)
            down, right, mirrored = map(backend.copy_in, (moves[0], moves[1], flip))
            backend.crop_flip(self._images, chosen, down, right, mirrored, *self._norm, out)

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
