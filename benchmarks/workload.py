"""Weights and inputs of a benchmark, made once and loaded by every contender.

NumPy alone, deterministic. Weights start as PyTorch would start them (uniform in
+-1/sqrt(fan_in)); then, layer by layer, the BatchNorm shift (or, where there is no BatchNorm,
the scale of the weights) is chosen so that the layer fires at the wanted density on the
first images. Run as a script to write the files and to see what was chosen.
"""

from __future__ import annotations

import argparse
import dataclasses
import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from networks import WORKS, Layer, Work

HERE = Path(__file__).resolve().parent
CACHE = HERE / "cache"
MNIST = HERE.parent / "data" / "mnist"
FORMAT = 1
CALIBRATION_IMAGES = {"mnist_fc": 64, "csnn": 8, "cifar10_conv": 2}

# a layer with a smaller fan-in stays whole: pruning would leave channels without any input
FEW_INPUTS = 100

Array = np.ndarray[Any, Any]


@dataclasses.dataclass
class Workload:
    """What a contender loads.

    ``images[M, N, C, H, W]`` float32, ``onehot[M, N, 10]`` float32, ``mask[N, F]`` uint8 (the
    fixed dropout mask; empty without dropout), ``params`` by name ("conv1.weight",
    "norm1.scale", "norm1.shift", ...) in PyTorch's shapes and, when the network starts pruned,
    ``theta`` and ``sign`` (int8) by the same names.
    """

    work: Work
    density: float
    connectivity: float
    images: Array
    onehot: Array
    mask: Array
    params: dict[str, Array]
    theta: dict[str, Array]
    sign: dict[str, Array]


def _idx(path: Path) -> Array:
    """An IDX file of unsigned bytes (the MNIST format) as an array."""
    raw = gzip.decompress(path.read_bytes())
    rank = raw[3]
    shape = np.frombuffer(raw, ">i4", rank, 4)
    return np.frombuffer(raw, np.uint8, offset=4 + 4 * rank).reshape(shape)


def _mnist(count: int) -> tuple[Array, Array]:
    images = _idx(MNIST / "train-images-idx3-ubyte.gz")[:count].astype(np.float32)
    labels = _idx(MNIST / "train-labels-idx1-ubyte.gz")[:count]
    normal = (images / np.float32(255) - np.float32(0.1307)) / np.float32(0.3081)
    return normal[:, None], labels.astype(np.int64)


def _smooth(count: int, shape: tuple[int, int, int], rng: np.random.Generator) -> Array:
    """Images with the 1/f spectrum and the correlated colours of photographs, unit variance."""
    channels, height, width = shape
    freq = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None])
    freq[0, 0] = 1.0 / max(height, width)
    noise = rng.standard_normal((count, channels, height, width))
    image = np.fft.irfft2(np.fft.rfft2(noise) / freq, s=(height, width))
    image = 0.8 * image.mean(axis=1, keepdims=True) * np.sqrt(channels) + 0.4 * image
    return np.asarray(image / image.std(), dtype=np.float32)


def _conv(x: Array, weight: Array) -> Array:
    """3x3 convolution, padding 1: ``x[B, H, W, C]`` with ``weight[O, C, 3, 3]``."""
    batch, height, width, _ = x.shape
    padded = np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
    out = np.zeros((batch * height * width, weight.shape[0]), np.float32)
    for row in range(3):
        for col in range(3):
            part = padded[:, row : row + height, col : col + width]
            out += part.reshape(len(out), -1) @ weight[:, :, row, col].T
    return out.reshape(batch, height, width, -1)


def _pool(x: Array) -> Array:
    """2x2 max pooling of ``x[B, H, W, C]``, odd borders dropped."""
    batch, height, width, channels = x.shape
    x = x[:, : height // 2 * 2, : width // 2 * 2]
    x = x.reshape(batch, height // 2, 2, width // 2, 2, channels)
    return np.asarray(x.max(axis=(2, 4)))


def fire(current: Array, timesteps: int) -> Array:
    """Spikes ``[T, N, ...]`` of a LIF layer (tau 2, threshold 1, hard reset to 0) driven by
    ``current[T, N, ...]``, or ``[1, N, ...]`` for a static input."""
    spikes = np.empty((timesteps, *current.shape[1:]), np.float32)
    potential = np.zeros(current.shape[1:], np.float32)
    half = np.float32(0.5)
    for t in range(timesteps):
        potential += (current[min(t, len(current) - 1)] - potential) * half
        np.greater_equal(potential, 1, out=spikes[t])
        potential *= 1 - spikes[t]
    return spikes


def _bisect(low: float, high: float, density: Callable[[float], float], wanted: float) -> float:
    """Where the growing function ``density`` reaches ``wanted``, to 2 significant decimals.

    The coarse rounding keeps the choice the same on machines whose BLAS rounds differently.
    """
    while high - low > 0.002 * max(1.0, abs(high)):
        middle = (low + high) / 2
        if density(middle) < wanted:
            low = middle
        else:
            high = middle
    return round((low + high) / 2, 2)


class _Maker:
    """Draws the weights and walks the network once, choosing shifts and scales on the way."""

    def __init__(self, work: Work, density: float, connectivity: float, seed: int) -> None:
        self.work = work
        self.density = density
        self.connectivity = connectivity
        self.rng = np.random.default_rng(seed)
        self.params: dict[str, Array] = {}
        self.theta: dict[str, Array] = {}
        self.sign: dict[str, Array] = {}
        self.chosen: dict[str, float] = {}
        self.seen: dict[str, float] = {}

    def weight(self, layer: Layer) -> Array:
        shape = (layer.outputs, layer.inputs, *((3, 3) if layer.kind == "conv" else ()))
        bound = 1 / np.sqrt(np.prod(shape[1:]))
        start = self.rng.uniform(-bound, bound, shape).astype(np.float32)
        name = f"{layer.name}.weight"
        if self.connectivity < 1 and start[0].size >= FEW_INPUTS:
            # theta is lowered until the wanted share is left above zero
            magnitude = np.abs(start)
            theta = magnitude - np.quantile(magnitude, 1 - self.connectivity)
            # scaled so that the layer's currents stay as large as before
            left = np.maximum(theta, 0)
            theta *= np.sqrt(np.square(start).sum() / np.square(left).sum())
            self.theta[name] = theta.astype(np.float32)
            self.sign[name] = np.where(start < 0, -1, 1).astype(np.int8)
            start = self.sign[name] * np.maximum(self.theta[name], 0)
        self.params[name] = start
        return start

    def scaled(self, layer: Layer, x: Array, wanted: float) -> Array:
        """The current of a linear layer, its weights scaled so that it fires as wanted."""
        name = f"{layer.name}.weight"
        current = x @ self.params[name].T
        steps = self.work.timesteps
        scale = _bisect(0.05, 50.0, lambda s: float(fire(s * current, steps).mean()), wanted)
        for store in (self.params, self.theta):
            if name in store:
                store[name] = (store[name] * np.float32(scale)).astype(np.float32)
        self.chosen[name] = scale
        return np.asarray(current * np.float32(scale))

    def shifted(self, layer: Layer, x: Array, wanted: float) -> Array:
        """BatchNorm (training mode) of ``x``, its shift chosen so that it fires as wanted."""
        axes = tuple(range(x.ndim - 1))
        normal = (x - x.mean(axis=axes)) / np.sqrt(x.var(axis=axes) + np.float32(1e-5))
        steps = self.work.timesteps
        shift = _bisect(-6.0, 3.0, lambda b: float(fire(normal + b, steps).mean()), wanted)
        self.params[f"{layer.name}.scale"] = np.ones(layer.outputs, np.float32)
        self.params[f"{layer.name}.shift"] = np.full(layer.outputs, shift, np.float32)
        self.chosen[f"{layer.name}.shift"] = shift
        return np.asarray(normal + np.float32(shift))

    def walk(self, images: Array, mask: Array) -> None:
        """Forward pass in NumPy on ``images[N, C, H, W]``, channels last: fills ``params``."""
        wanted = self.density
        x = images.transpose(0, 2, 3, 1)[None].astype(np.float32)
        for layer in self.work.layers:
            if layer.kind == "conv":
                out = _conv(x.reshape(-1, *x.shape[2:]), self.weight(layer))
                x = out.reshape(*x.shape[:2], *out.shape[1:])
            elif layer.kind == "norm":
                x = self.shifted(layer, x, wanted)
            elif layer.kind == "linear":
                self.weight(layer)
                x = self.scaled(layer, x, wanted)
            elif layer.kind == "lif":
                x = fire(x, self.work.timesteps)
                self.seen[layer.name] = float(x.mean())
            elif layer.kind == "pool":
                out = _pool(x.reshape(-1, *x.shape[2:]))
                x = out.reshape(*x.shape[:2], *out.shape[1:])
            elif layer.kind == "flatten":
                x = x.transpose(0, 1, 4, 2, 3).reshape(*x.shape[:2], -1)
            elif layer.kind == "dropout":
                x = x * mask[: x.shape[1]] * np.float32(2)


def make(work: Work, density: float = 0.1, connectivity: float = 1.0, seed: int = 1) -> Workload:
    """Draw, calibrate and return a workload; ``density`` and ``connectivity`` are shares."""
    maker = _Maker(work, density, connectivity, seed)
    count = work.batch * work.batches
    if work.image[0] == 1:
        images, labels = _mnist(count)
    else:
        images = _smooth(count, work.image, np.random.default_rng(seed + 1))
        labels = np.random.default_rng(seed + 2).integers(0, 10, count)
    draw = np.random.default_rng(seed + 3)
    mask = (draw.random((work.batch, work.features())) < 0.5).astype(np.uint8)
    maker.walk(images[: min(CALIBRATION_IMAGES[work.name], work.batch)], mask)
    for name, value in maker.chosen.items():
        print(f"  {name:14s} {value:7.2f}")
    print("  density:", ", ".join(f"{k} {100 * v:.1f} %" for k, v in maker.seen.items()))
    onehot = np.eye(10, dtype=np.float32)[labels]
    return Workload(
        work,
        density,
        connectivity,
        images.reshape(work.batches, work.batch, *work.image),
        onehot.reshape(work.batches, work.batch, 10),
        mask,
        maker.params,
        maker.theta,
        maker.sign,
    )


def save(path: Path, load: Workload) -> None:
    work = dataclasses.replace(load.work, layers=())
    meta = {
        "format": FORMAT,
        "work": dataclasses.asdict(work),
        "density": load.density,
        "connectivity": load.connectivity,
    }
    arrays = {"images": load.images, "onehot": load.onehot, "mask": load.mask}
    for kind in ("params", "theta", "sign"):
        arrays |= {f"{kind}/{name}": a for name, a in getattr(load, kind).items()}
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial.npz")
    np.savez(partial, allow_pickle=False, meta=np.array(json.dumps(meta)), **arrays)
    partial.replace(path)


def load(path: Path) -> Workload:
    """Read a workload written by :func:`prepare`."""
    with np.load(path) as file:
        meta = json.loads(str(file["meta"]))
        parts: dict[str, dict[str, Array]] = {"params": {}, "theta": {}, "sign": {}}
        for key in file.files:
            kind, _, name = key.partition("/")
            if kind in parts:
                parts[kind][name] = file[key]
        settings = meta["work"]
        settings["layers"] = WORKS[settings["name"]].layers
        settings["image"] = tuple(settings["image"])
        return Workload(
            Work(**settings),
            meta["density"],
            meta["connectivity"],
            file["images"],
            file["onehot"],
            file["mask"],
            **parts,
        )


def prepare(
    work: Work, density: float = 0.1, connectivity: float = 1.0, cache: Path = CACHE
) -> Path:
    """The workload's file, made now if it is not in the cache."""
    name = f"{work.name}-b{work.batch}-t{work.timesteps}-d{density:g}-c{connectivity:g}"
    path = cache / f"{name}-lr{work.lr:g}-p{work.prior:g}-v{FORMAT}.npz"
    if not path.exists():
        print(f"making {path.name}", flush=True)
        save(path, make(work, density, connectivity))
    return path


def main() -> None:
    """Write the workloads of the named works."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("work", nargs="*", default=list(WORKS), help="works to prepare")
    parser.add_argument("--density", type=float, default=0.1, help="spike density, 0 to 1")
    parser.add_argument("--connectivity", type=float, default=1.0, help="share of weights left")
    args = parser.parse_args()
    for name in args.work:
        print(prepare(WORKS[name], args.density, args.connectivity))


if __name__ == "__main__":
    main()
