"""The rules of the mask methods in plain NumPy, and small networks of parameters to try them on."""

import numpy as np

from snnr.tensor import Parameter

TINY = np.float32(1e-12)


def weights(seed: int = 0, device: str = "cpu") -> list[Parameter]:
    """A linear and a convolutional weight, and a bias."""
    rng = np.random.default_rng(seed)
    shapes = {"0_linear.weight": (12, 20), "1_conv2d.weight": (6, 5, 3, 3), "1_conv2d.bias": (6,)}
    return [
        Parameter(
            rng.normal(size=shape).astype(np.float32), name, name.rpartition(".")[2], device=device
        )
        for name, shape in shapes.items()
    ]


def gradient(p: Parameter, seed: int) -> np.ndarray:
    """Of a size that differs from place to place."""
    rng = np.random.default_rng((seed, p.size))
    return (rng.normal(size=p.shape) * rng.exponential(size=p.shape)).astype(np.float32)


def in_memory(p: Parameter, array: np.ndarray) -> np.ndarray:
    """A copy in the order of memory, which ties are decided in."""
    return p.layout.to_memory(array).copy()


def nonzero(p: Parameter) -> int:
    return int(np.count_nonzero(p.numpy()))


class Adam:
    """Adam of the connections of one weight, in float32 arrays of one axis."""

    def __init__(self, w: np.ndarray, lr: float) -> None:
        self.w, self.lr, self.t = w, lr, 0
        self.m, self.v = np.zeros_like(w), np.zeros_like(w)

    def step(self, g: np.ndarray) -> None:
        self.t += 1
        there = self.w != 0
        before = self.w.copy()
        m = np.float32(0.9) * self.m + np.float32(0.1) * g
        v = np.float32(0.999) * self.v + np.float32(1 - 0.999) * g * g
        self.m, self.v = np.where(there, m, self.m), np.where(there, v, self.v)
        rate = self.lr / (1 - 0.9**self.t)
        delta = rate * m / (np.sqrt(v) / np.sqrt(1 - 0.999**self.t) + 1e-8)
        self.w = np.where(there, self.w - delta, 0).astype(np.float32)
        self.w = np.where(there & (self.w == 0), np.copysign(TINY, before), self.w)

    def keep(self, connections: int) -> None:
        """The largest, of equal ones the first."""
        order = sorted(range(self.w.size), key=lambda i: (-abs(self.w.flat[i]), i))
        self.drop(order[connections:])

    def drop(self, places: list[int]) -> None:
        for array in (self.w, self.m, self.v):
            array.flat[places] = 0
