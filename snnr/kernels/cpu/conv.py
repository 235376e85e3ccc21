"""Convolution on the CPU: which path runs, and the strided fallback.

Three paths serve stride 1 (tiles.py: dense register tiles; walks.py: over spikes; survivors.py:
over surviving weights), none of which copies the input nine-fold. The input gradient of a stride-1
convolution is a convolution of the output gradient with the mirrored kernel, so it runs on the
same code.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from snnr.kernels.buffers import empty
from snnr.kernels.cpu import events, survivors, tiles, walks

#: spike density above which dense tiles beat the walk over spikes (forward, weight gradient)
SPIKE_DENSITY = 0.30
#: connectivity below which walking the surviving weights beats dense tiles
SURVIVORS = 0.10

#: patches of so few values (input channels times taps) are cheaper to copy than to address
NARROW = 64

Float = NDArray[np.floating[Any]]
Pair = tuple[int, int]


def _mirrored(w: Float) -> Float:
    """Kernel of the input gradient: taps turned round, input and output channels exchanged."""
    return np.ascontiguousarray(w[::-1, ::-1].transpose(0, 1, 3, 2))


def conv2d(
    x: NDArray[Any],
    w: Float,
    bias: Float | None,
    stride: Pair,
    padding: Pair,
    out: Float,
    connectivity: float = 1.0,
) -> None:
    """out[B, Ho, Wo, Co] = x[B, H, W, Ci] * w[kh, kw, Ci, Co] + bias."""
    spikes = x.dtype == np.uint8
    share = events.density(x) if spikes else 1.0
    flat = stride == (1, 1)
    if not spikes and w[..., 0].size <= NARROW:
        np.dot(patches.narrow(x, w, stride, padding, out), w.reshape(-1, w.shape[3]), out=rows(out))
    elif flat and connectivity <= SURVIVORS and connectivity < 0.5 * share:
        survivors.conv(x, w, padding, out)
    elif spikes and share <= SPIKE_DENSITY:
        walks.conv(x, w, stride, padding, out)
    elif flat:
        tiles.conv(x, w, padding, out)
    else:
        _strided(x, w, stride, padding, out)
    if bias is not None:
        out += bias


def conv2d_input_grad(
    dy: Float, w: Float, stride: Pair, padding: Pair, dx: Float, connectivity: float = 1.0
) -> None:
    """dx[B, H, W, Ci] from dy[B, Ho, Wo, Co]."""
    if stride != (1, 1):
        _strided_input_grad(dy, w, stride, padding, dx)
        return
    mirrored = _mirrored(w)
    turned = (w.shape[0] - 1 - padding[0], w.shape[1] - 1 - padding[1])
    if min(turned) < 0:
        _strided_input_grad(dy, w, stride, padding, dx)
    elif connectivity <= SURVIVORS:
        survivors.conv(dy, mirrored, turned, dx)
    else:
        tiles.conv(dy, mirrored, turned, dx)


def conv2d_weight_grad(
    x: NDArray[Any], dy: Float, stride: Pair, padding: Pair, dw: Float
) -> None:
    """dw[kh, kw, Ci, Co] from x[B, H, W, Ci] and dy[B, Ho, Wo, Co]."""
    taps = dw.shape[:2]
    flat = stride == (1, 1) and padding[0] < taps[0] and padding[1] < taps[1]
    if x.dtype != np.uint8 and dw[..., 0].size <= NARROW:
        columns = patches.narrow(x, dw, stride, padding, dy)
        patches.tall_product(columns, rows(dy), rows(dw))
    elif not flat:
        _strided_weight_grad(x, dy, stride, padding, dw)
    elif x.dtype == np.uint8 and events.density(x) <= SPIKE_DENSITY:
        walks.weight_grad(x, dy, padding, dw)
    else:
        tiles.weight_grad(x, dy, padding, dw)


# Strides other than 1: patches of one image at a time, so that the nine-fold copy stays in cache.


def _patches(image: NDArray[Any], taps: Pair, stride: Pair, padding: Pair, dtype: Any) -> Float:
    """image[H, W, C] -> patches[Ho*Wo, kh*kw*C]."""
    padded = np.pad(image, ((padding[0],) * 2, (padding[1],) * 2, (0, 0)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, taps, axis=(0, 1))
    windows = windows[:: stride[0], :: stride[1]].transpose(0, 1, 3, 4, 2)
    return windows.reshape(windows.shape[0] * windows.shape[1], -1).astype(dtype, copy=False)


def _strided(x: NDArray[Any], w: Float, stride: Pair, padding: Pair, out: Float) -> None:
    flat = w.reshape(-1, w.shape[3])
    for image, result in zip(x, out, strict=True):
        patches = _patches(image, w.shape[:2], stride, padding, out.dtype)
        np.dot(patches, flat, out=result.reshape(-1, w.shape[3]))


def _strided_weight_grad(
    x: NDArray[Any], dy: Float, stride: Pair, padding: Pair, dw: Float
) -> None:
    total = dw.reshape(-1, dw.shape[3])
    part = empty(total.shape, dw.dtype)
    total.fill(0)
    for image, gradient in zip(x, dy, strict=True):
        patches = _patches(image, dw.shape[:2], stride, padding, dw.dtype)
        np.dot(patches.T, gradient.reshape(-1, dw.shape[3]), out=part)
        total += part


def _strided_input_grad(dy: Float, w: Float, stride: Pair, padding: Pair, dx: Float) -> None:
    kh, kw, _, co = w.shape
    _, height, width, _ = dx.shape
    ho, wo = dy.shape[1:3]
    padded = np.empty((height + 2 * padding[0], width + 2 * padding[1], dx.shape[3]), dx.dtype)
    for gradient, result in zip(dy, dx, strict=True):
        padded.fill(0)
        rows = gradient.reshape(-1, co)
        for i in range(kh):
            for j in range(kw):
                part = (rows @ w[i, j].T).reshape(ho, wo, -1)
                padded[i : i + stride[0] * ho : stride[0], j : j + stride[1] * wo : stride[1]][
                    :ho, :wo
                ] += part
        result[...] = padded[padding[0] : padding[0] + height, padding[1] : padding[1] + width]
