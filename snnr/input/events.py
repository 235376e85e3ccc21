"""Sequences of spikes: recordings of event cameras and of other sensors that send events.

A recording is a list of events, each with a time and a place. `binned` counts time in T equal
windows and says for each window and place whether there was an event; `Events` makes batches of
recordings that were binned, here or elsewhere.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from snnr import kernels
from snnr.errors import ConfigError, ShapeError
from snnr.input.source import Source, fits
from snnr.layout import Layout
from snnr.tensor import Tensor


def binned(
    recordings: Sequence[ArrayLike],
    T: int,
    shape: tuple[int, ...],
    duration: float | None = None,
) -> NDArray[np.uint8]:
    """Lists of events -> uint8 ``[M, T, *shape]``, 1 where a window has an event at a place.

    Parameters
    ----------
    recordings : for each one an array ``[E, 1 + len(shape)]``: the time of every event (in any
        unit, in any order) and its place, in the order of `shape`; for a camera (t, polarity, y, x)
        with shape (2, height, width).
    T : windows of equal length.
    shape : of the places, e.g. (2, 34, 34), or (700,) for a row of sensors.
    duration : time that the T windows cover, from a recording's first event on; later events are
        left out. None: each recording is spread over the windows whole.

    Raises
    ------
    ConfigError : T, shape or duration make no sense.
    ShapeError : a recording has another form, or an event lies outside of `shape`.
    """
    if isinstance(T, bool) or not isinstance(T, int) or T < 1:
        raise ConfigError(f"T (={T!r}) must be a whole number, at least 1")
    if not shape or min(shape) < 1:
        raise ConfigError(f"shape (={shape}) must say how many places there are, e.g. (2, 34, 34)")
    if duration is not None and not 0 < duration < np.inf:
        raise ConfigError(f"duration (={duration}) must be a positive time, or None")
    out = np.zeros((len(recordings), T, *shape), np.uint8)
    for number, recording in enumerate(recordings):
        events = np.asarray(recording)
        if events.ndim != 2 or events.shape[1] != 1 + len(shape) or events.dtype.kind not in "iuf":
            raise ShapeError(
                f"recording {number} is {events.dtype} {list(events.shape)}, expected numbers "
                f"[events, {1 + len(shape)}]: a time and a place of {len(shape)} numbers"
            )
        if not len(events):
            continue
        if not np.isfinite(events).all():
            raise ShapeError(f"recording {number} has a time or a place that is not finite")
        place = events[:, 1:].astype(np.int64)
        if (place != events[:, 1:]).any() or (place < 0).any() or (place >= shape).any():
            raise ShapeError(
                f"recording {number} has an event outside of shape {list(shape)}: places are "
                f"whole numbers from 0, here from {events[:, 1:].min(axis=0).tolist()} to "
                f"{events[:, 1:].max(axis=0).tolist()}"
            )
        window = _windows(events[:, 0], T, duration)
        kept = window < T
        out[(number, window[kept], *place[kept].T)] = 1
    return out


def _windows(times: NDArray[Any], T: int, duration: float | None) -> NDArray[np.int64]:
    """The window of each event; T and more for those behind the last one."""
    # whole numbers of time (microseconds since 1970) would lose digits in a float
    since = (times - times.min()).astype(np.float64)
    if duration is not None:
        # far behind the end is as good as just behind it, and fits an integer
        return np.minimum(since * (T / duration), T).astype(np.int64)
    span = since.max()
    if span == 0:
        return np.zeros(times.size, np.int64)
    return np.minimum(since * (T / span), T - 1).astype(np.int64)


class Events(Source):
    """Batches ``[T, N, ...]`` of spikes.

    Parameters
    ----------
    spikes : ``[M, T, ...]``, bool or uint8, 0 or 1: M sequences of T steps, each step of places
        ``[C, H, W]`` or ``[C]``. They stay on the host; a batch is put together there and copied
        to the device. Nothing is moved at random.
    device : where batches lie.

    Raises
    ------
    ShapeError : another shape or dtype, or a value above 1.
    DeviceError : there is no such device here.
    """

    def __init__(self, spikes: NDArray[Any], device: str = "cpu") -> None:
        super().__init__(device)
        if spikes.dtype == np.bool_:
            spikes = spikes.view(np.uint8)
        if spikes.dtype != np.uint8 or spikes.ndim not in (3, 5) or spikes.shape[1] < 1:
            raise ShapeError(
                f"spikes is {spikes.dtype} {spikes.shape}, expected uint8 or bool [M, T, C, H, W] "
                "or [M, T, C]"
            )
        largest = int(spikes.max(initial=0))
        if largest > 1:
            raise ShapeError(
                f"spikes has a {largest}, expected 0 or 1: say whether there was an event, "
                "(counts > 0), not how many"
            )
        self.count = len(spikes)
        self.timesteps = spikes.shape[1]
        self.sample_shape = spikes.shape[2:]
        self._layout = Layout.of(spikes.ndim, self.timesteps)
        self._spikes = spikes

    @classmethod
    def from_lists(
        cls,
        recordings: Sequence[ArrayLike],
        T: int,
        shape: tuple[int, ...],
        duration: float | None = None,
        device: str = "cpu",
    ) -> "Events":
        """Of lists of events, see `binned`."""
        return cls(binned(recordings, T, shape, duration), device)

    def batch(self, index: ArrayLike, rng: np.random.Generator | None = None) -> Tensor:
        memory = kernels.backend(self.device).copy_in(self._chosen(index))
        return Tensor.from_memory(memory, self.device, self.timesteps)

    def refill(
        self, out: Tensor, index: ArrayLike, rng: np.random.Generator | None = None
    ) -> Tensor:
        chosen = self._chosen(index)
        if not fits(out, chosen.shape, np.uint8, self.timesteps, self.device):
            return self.batch(index, rng)
        out.backend.write(chosen, out.memory)
        return out

    def _chosen(self, index: ArrayLike) -> NDArray[np.uint8]:
        """The sequences at `index` in the order of memory."""
        return self._layout.to_memory(self._spikes[self.checked(index)].swapaxes(0, 1))

    def __repr__(self) -> str:
        shape = [self.count, self.timesteps, *self.sample_shape]
        return f"Events({shape}, device={self.device!r})"
