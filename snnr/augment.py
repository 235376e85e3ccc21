"""Training images moved a little at random, and normalised: the last step before the network.

The random numbers come from a NumPy generator, image by image in the order of `index`, so that a
seed fixes every batch; the pixels are moved by a kernel.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from snnr.errors import ConfigError, ShapeError

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


class Augmenter:
    """Makes batches of network input from uint8 (or float32) images.

    Parameters
    ----------
    kind : "affine" (rotate, shift, scale; nearest neighbour, 0 outside), "crop-flip" (a window of
        the original size out of the image in a frame of zeros, mirrored half of the time), or None
        (normalise only).
    mean, std : one number per channel; of pixels scaled to 0..1 for uint8 images.
    kernels : a backend's operations: normalise, random_affine, crop_flip.
    degrees, translate, scale : range of "affine"; translate as a share of the image's size.
    padding : width of the frame of "crop-flip", in pixels.

    Raises
    ------
    ConfigError : unknown kind, a setting that makes no sense, or a kernel that is missing.
    """

    def __init__(
        self,
        kind: Kind | None,
        mean: Sequence[float],
        std: Sequence[float],
        kernels: Mapping[str, Callable[..., Any]],
        *,
        degrees: float = 30.0,
        translate: float = 0.15,
        scale: tuple[float, float] = (0.85, 1.11),
        padding: int = 4,
    ) -> None:
        if kind is not None and kind not in KINDS:
            raise ConfigError(f"kind (={kind!r}) must be {', '.join(KINDS)} or None")
        self.mean = np.array(mean, np.float32)
        self.std = np.array(std, np.float32)
        if self.mean.ndim != 1 or self.mean.shape != self.std.shape or not self.mean.size:
            raise ConfigError(f"mean (={mean}) and std (={std}) must have one number per channel")
        if not np.isfinite(self.mean).all() or not np.isfinite(self.std).all():
            raise ConfigError(f"mean (={mean}) and std (={std}) must be finite")
        if (self.std <= 0).any():
            raise ConfigError(f"std (={std}) must be positive in every channel")
        if not 0 <= degrees <= 180:
            raise ConfigError(f"degrees (={degrees}) must lie between 0 and 180")
        if not 0 <= translate <= 1:
            raise ConfigError(f"translate (={translate}) must lie between 0 and 1")
        if len(scale) != 2 or not 0 < scale[0] <= scale[1] < np.inf:
            raise ConfigError(f"scale (={scale}) must be (low, high) with 0 < low <= high")
        if isinstance(padding, bool) or not isinstance(padding, int) or padding < 0:
            raise ConfigError(f"padding (={padding!r}) must be a whole number, at least 0")
        missing = {"normalise", "random_affine", "crop_flip"} - set(kernels)
        if missing:
            raise ConfigError(f"the backend has no {', '.join(sorted(missing))}; choose another")
        self.kind: Kind | None = kind
        self.degrees, self.translate, self.scale = degrees, translate, scale
        self.padding = padding
        self._kernels = kernels

    def __repr__(self) -> str:
        return f"Augmenter(kind={self.kind!r}, mean={self.mean.tolist()}, std={self.std.tolist()})"

    def batch(
        self,
        images: NDArray[Any],
        index: NDArray[np.integer[Any]],
        rng: np.random.Generator | None = None,
        out: NDArray[np.float32] | None = None,
    ) -> NDArray[np.float32]:
        """The images at `index`, moved at random and normalised.

        Parameters
        ----------
        images : [M, C, H, W], uint8, or float32 (which is normalised but never moved).
        index : whole numbers [B], 0..M-1.
        rng : source of the random moves; None means plain normalisation, as for test images.
        out : an array this method returned before, of at least B images; written again.

        Returns
        -------
        float32 [B, C, H, W], channels-last in memory: `.transpose(0, 2, 3, 1)` is contiguous.

        Raises
        ------
        ShapeError : an array has the wrong shape, dtype or memory layout, or `index` points
            outside of `images`.
        ConfigError : float32 images are asked to move.
        """
        index = self._check(images, index)
        memory = _memory(out, len(index), images.shape[1:])
        if len(index):
            self._fill(images, index, rng if self.kind else None, memory)
        return memory.transpose(0, 3, 1, 2)

    def _fill(
        self,
        images: NDArray[Any],
        index: NDArray[np.int64],
        rng: np.random.Generator | None,
        out: NDArray[np.float32],
    ) -> None:
        count, height, width, _ = out.shape
        if images.dtype == np.float32:
            if rng is not None:
                raise ConfigError(
                    f"kind (={self.kind!r}) moves uint8 images only, these are float32; "
                    "use kind=None"
                )
            np.subtract(images[index].transpose(0, 2, 3, 1), self.mean, out=out)
            np.divide(out, self.std, out=out)
        elif rng is None:
            self._kernels["normalise"](images, index, self.mean, self.std, out)
        elif self.kind == "affine":
            matrix = affine_matrices(
                rng, count, height, width, self.degrees, self.translate, self.scale
            )
            self._kernels["random_affine"](images, index, matrix, self.mean, self.std, out)
        else:
            moves = rng.integers(-self.padding, self.padding, (2, count), endpoint=True)
            flip = rng.integers(0, 2, count, np.uint8)
            self._kernels["crop_flip"](
                images, index, moves[0], moves[1], flip, self.mean, self.std, out
            )

    def _check(self, images: NDArray[Any], index: NDArray[np.integer[Any]]) -> NDArray[np.int64]:
        if images.ndim != 4 or images.dtype not in (np.uint8, np.float32):
            raise ShapeError(
                f"images is {images.dtype} {images.shape}, expected uint8 or float32 [M, C, H, W]"
            )
        if images.dtype == np.uint8 and not images.flags.c_contiguous:
            raise ShapeError("images is not contiguous; pass numpy.ascontiguousarray(images)")
        if images.shape[1] != self.mean.size:
            raise ShapeError(
                f"images has {images.shape[1]} channels, mean and std have {self.mean.size}"
            )
        index = np.asarray(index)
        if index.ndim != 1 or index.dtype.kind not in "iu":
            raise ShapeError(f"index is {index.dtype} {index.shape}, expected whole numbers [B]")
        if index.size and (int(index.min()) < 0 or int(index.max()) >= len(images)):
            raise ShapeError(
                f"index runs from {index.min()} to {index.max()}, expected 0..{len(images) - 1}"
            )
        return np.ascontiguousarray(index, np.int64)


def _memory(
    out: NDArray[np.float32] | None, count: int, image: tuple[int, ...]
) -> NDArray[np.float32]:
    """The [B, H, W, C] array behind `out`, or a new one."""
    channels, height, width = image
    if out is None:
        return np.empty((count, height, width, channels), np.float32)
    fits = out.ndim == 4 and out.shape[1:] == image and len(out) >= count
    memory = out.transpose(0, 2, 3, 1) if fits else out
    if not fits or out.dtype != np.float32 or not memory.flags.c_contiguous:
        raise ShapeError(
            f"out is {out.dtype} {out.shape}, expected float32 of at least ({count}, {channels}, "
            f"{height}, {width}), channels-last in memory; pass what batch() returned before"
        )
    return memory[:count]
