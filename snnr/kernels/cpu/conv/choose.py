"""Convolution on the CPU: which path runs.

Three paths serve stride 1 (tiles.py and winograd.py: dense; spikes.py: over spikes; survivors.py:
over surviving weights), none of which copies the input nine-fold. Strides other than 1, and float
inputs of a few channels, go through patches.py. The input gradient of a stride-1
convolution is a convolution of the output gradient with the mirrored kernel, so it runs on the
same code.
"""

from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from snnr.kernels.cpu.conv import patches, sampled, spikes, survivors, tiles, winograd
from snnr.kernels.cpu.count import is_finite
from snnr.kernels.cpu.linear.lists import survivors_for
from snnr.kernels.cpu.memory import empty
from snnr.kernels.cpu.packed import pack
from snnr.kernels.cpu.parts import events
from snnr.kernels.cpu.parts.transpose import swap_last
from snnr.kernels.cpu.parts.vector import REGISTER
from snnr.kernels.operations import Hints, Packed, Pair

#: spike density above which dense tiles beat the walk over spikes (forward, weight gradient)
SPIKE_DENSITY = 0.30
#: connectivity below which walking the surviving weights beats dense tiles, which gain more from
#: wide registers than a walk does
SPARSE = 0.125 if REGISTER >= 64 else 0.2
#: connectivity below which a sum for each survivor beats the gradient of all weights
SAMPLED = 0.1
#: `SPARSE` beside the walk over spikes, as a part of the spike density
SPARSE_TO_DENSITY = 0.8

#: channels from which Winograd's transforms cost less than they save
WINOGRAD_CHANNELS = 32
#: patches of so few values (input channels times taps) are cheaper to copy than to address
SMALL_PATCH = 64

Float = NDArray[np.floating[Any]]


def _mirrored(w: Float) -> Float:
    """Kernel of the input gradient: taps turned round, input and output channels exchanged."""
    kh, kw, ci, co = w.shape
    mirrored = empty((kh, kw, co, ci), w.dtype)
    swap_last(w.reshape(kh * kw, ci, co)[::-1], mirrored.reshape(kh * kw, co, ci))
    return mirrored


def _dense(x: NDArray[Any], w: Float, padding: Pair, out: Float) -> None:
    """Stride 1 from register tiles; Winograd's form where the transforms pay."""
    if w.shape[:2] == (3, 3) and min(w.shape[2:]) >= WINOGRAD_CHANNELS:
        winograd.conv(x, w, padding, out)
    else:
        tiles.conv(x, w, padding, out)


def conv2d(
    x: NDArray[Any],
    w: Float,
    bias: Float | None,
    stride: Pair,
    padding: Pair,
    out: Float,
    hints: Hints | None = None,
) -> None:
    """out[B, Ho, Wo, Co] = x[B, H, W, Ci] * w[kh, kw, Ci, Co] + bias."""
    binary = x.dtype == np.uint8
    share = events.density(x) if binary else 1.0
    flat = stride == (1, 1)
    sparse = flat and hints and hints.connectivity <= min(SPARSE, SPARSE_TO_DENSITY * share)
    few = binary and share <= SPIKE_DENSITY
    if binary and (sparse or not few) and not (
        survivors_for(w, hints).finite if hints and sparse else is_finite(w)
    ):
        # a spike that is absent passes over its weights, also those that are not finite
        sparse, few = False, True
    if not binary and w[..., 0].size <= SMALL_PATCH:
        patches.conv(x, w, stride, padding, out)
    elif hints and sparse:
        survivors.conv(x, survivors_for(w, hints), w.shape[:2], padding, out)
    elif few:
        spikes.conv(x, w, stride, padding, out)
    elif flat:
        _dense(x, w, padding, out)
    else:
        patches.conv(x, w, stride, padding, out)
    if bias is not None:
        out += bias


def conv2d_input_grad(
    dy: Float,
    w: Float,
    stride: Pair,
    padding: Pair,
    dx: Float,
    hints: Hints | None = None,
) -> None:
    """dx[B, H, W, Ci] from dy[B, Ho, Wo, Co]."""
    if stride != (1, 1):
        patches.input_grad(dy, w, stride, padding, dx)
        return
    turned = (w.shape[0] - 1 - padding[0], w.shape[1] - 1 - padding[1])
    if min(turned) < 0:
        patches.input_grad(dy, w, stride, padding, dx)
    elif hints and hints.connectivity <= SPARSE:
        survivors.input_grad(dy, survivors_for(w, hints), w.shape[:2], padding, dx)
    else:
        _dense(dy, _mirrored(w), turned, dx)


def conv2d_weight_grad(
    x: NDArray[Any],
    dy: Float,
    stride: Pair,
    padding: Pair,
    dw: Float | Packed,
    hints: Hints | None = None,
) -> None:
    """dw[kh, kw, Ci, Co] from x[B, H, W, Ci] and dy[B, Ho, Wo, Co]; only what survives where no
    more is wanted."""
    taps = dw.shape[0], dw.shape[1]
    flat = stride == (1, 1) and padding[0] < taps[0] and padding[1] < taps[1]
    narrow = x.dtype != np.uint8 and prod(dw.shape[:3]) <= SMALL_PATCH
    if isinstance(dw, Packed):
        if flat and not narrow and dw.pattern.total <= SAMPLED * prod(dw.shape):
            sampled.weight_grad(x, dy, dw.pattern, taps, padding, dw.values)
            return
        whole = empty(dw.shape, dw.dtype)
        conv2d_weight_grad(x, dy, stride, padding, whole, hints)
        pack(whole, dw)
    elif narrow or not flat:
        patches.weight_grad(x, dy, stride, padding, dw)
    elif x.dtype == np.uint8 and events.density(x) <= SPIKE_DENSITY:
        spikes.weight_grad(x, dy, padding, dw)
    else:
        tiles.weight_grad(x, dy, padding, dw)
