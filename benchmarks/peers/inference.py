"""Dense inference in PyTorch: hand-written, layer by layer over ``[T*N, ...]``, and compiled."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from networks import Layer
from torch import Tensor
from torch.nn import functional as F

Array = np.ndarray[Any, Any]


def lif(x: Tensor, steps: int, static: bool) -> Tensor:
    """Current ``[T*N, ...]`` (``[N, ...]`` if static) -> spikes ``[T*N, ...]``."""
    spikes = []
    half = x * 0.5
    parts = (half,) * steps if static else half.chunk(steps)
    v: Tensor | None = None
    for current in parts:
        h = current if v is None else torch.add(current, v, alpha=0.5)
        s = (h >= 1).to(h.dtype)
        v = h * (1.0 - s)
        spikes.append(s)
    # cat, not stack: it keeps channels-last
    return torch.cat(spikes)


def build(
    contender: str, layers: tuple[Layer, ...], params: dict[str, Array], T: int, images: Array
) -> Callable[[], Array]:
    """A call that classifies the images."""
    torch.set_num_threads(int(os.environ["SNNR_BENCHMARK_THREADS"]))
    tensors = {}
    for name, value in params.items():
        tensor = torch.from_numpy(value)
        last = tensor.ndim == 4
        tensors[name] = tensor.contiguous(memory_format=torch.channels_last) if last else tensor
    x0 = torch.from_numpy(np.ascontiguousarray(images))
    x0 = x0.contiguous(memory_format=torch.channels_last)

    batch = len(images)

    def forward(x: Tensor) -> Tensor:
        static = True
        for layer in layers:
            key = layer.name
            if layer.kind == "conv":
                x = F.conv2d(x, tensors[f"{key}.weight"], padding=1)
            elif layer.kind == "norm":
                mean, var, scale, shift = (
                    tensors[f"{key}.{part}"]
                    for part in ("running_mean", "running_var", "scale", "shift")
                )
                x = F.batch_norm(x, mean, var, scale, shift)
            elif layer.kind == "linear":
                x = F.linear(x, tensors[f"{key}.weight"])
            elif layer.kind == "lif":
                x = lif(x, T, static)
                static = False
            elif layer.kind == "pool":
                x = F.max_pool2d(x, 2)
            elif layer.kind == "flatten":
                x = x.flatten(1)
            elif layer.kind == "vote":
                x = x.view(len(x), 10, -1).mean(2)
        return x.view(T, batch, -1).mean(0)

    chosen = torch.compile(forward, dynamic=False) if contender == "compile" else forward

    def call() -> Array:
        with torch.inference_mode():
            return np.asarray(chosen(x0).numpy())

    return call
