"""Convolution that walks spikes: work in proportion to how many there are."""

from typing import Any

import numba
import numpy as np
from numba import prange
from numpy.typing import NDArray

from snnr.kernels.cpu.memory import empty
from snnr.kernels.cpu.parts import events
from snnr.kernels.cpu.parts.gather import WIDE_PANEL, gather, gather_narrow
from snnr.kernels.cpu.parts.panels import panel_width, panels_of
from snnr.kernels.cpu.parts.rows import copy, zero
from snnr.kernels.jit import jit

Float = NDArray[np.floating[Any]]
Pair = tuple[int, int]


@jit(parallel=True)
def _conv(code: Any, start: Any, panels: Any, taps: Any, shape: Any, stride: Any, padding: Any,
          acc: Any, out: Any) -> None:  # fmt: skip
    """The active (x, c) under one row of the kernel are one run of the list of that image row.

    A code is x*Ci + c and a kernel row is laid out as j*Ci + ci, so the weight row of an event is
    its code less a constant.
    """
    kh, kw = taps
    height, width, depth = shape
    batch, ho, wo, channels = out.shape
    blocks, size, columns = panels.shape
    slot = code.shape[2]
    result = out.reshape(-1)
    for task in prange(blocks * batch):
        p = task // batch
        b = task % batch
        spare = numba.get_thread_id() * columns
        c0 = p * columns
        c1 = min(c0 + columns, channels)
        for oy in range(ho):
            for ox in range(wo):
                left = ox * stride[1] - padding[1]
                x0 = max(left, 0)
                x1 = min(left + kw, width)
                # whole panels are summed up where the result lies
                whole = c1 - c0 == columns
                target = result if whole else acc
                at = ((b * ho + oy) * wo + ox) * channels + c0 if whole else spare
                fresh = True
                if x0 < x1:
                    for i in range(kh):
                        y = oy * stride[0] - padding[0] + i
                        if 0 <= y < height:
                            row = (b * height + y) * slot
                            base = ((p * size) + i * kw * depth - left * depth) * columns
                            e0 = row + start[b, y, x0]
                            e1 = row + start[b, y, x1]
                            if columns == WIDE_PANEL:
                                gather(panels, base, columns, code, e0, e1, target, at, fresh)
                            else:
                                gather_narrow(
                                    panels, base, columns, code, e0, e1, target, at, fresh
                                )
                            fresh = False
                if fresh:
                    zero(out[b, oy, ox, c0:c1])
                elif not whole:
                    copy(acc[spare : spare + c1 - c0], out[b, oy, ox, c0:c1])


def conv(x: NDArray[np.uint8], w: Float, stride: Pair, padding: Pair, out: Float) -> None:
    """out[B, Ho, Wo, Co] = x[B, H, W, Ci] * w[kh, kw, Ci, Co], any stride."""
    code, start = events.by_pixel(x)
    panels = panels_of(w.reshape(-1, w.shape[3]))
    acc = empty((numba.get_num_threads() * panels.shape[2],), out.dtype)
    _conv(code, start, panels, w.shape[:2], x.shape[1:], stride, padding, acc, out)


@jit(parallel=True)
def _weight_grad(index: Any, count: Any, dy: Any, taps: Any, lead: Any, grid: Any, group: int,
                 scratch: Any, acc: Any, dw: Any) -> None:  # fmt: skip
    """For each input channel, add up the rows of the output gradient where it fired.

    The gradient of one image and `width` output channels is copied to a padded grid that stays in
    cache; a tap is a constant offset on it.
    """
    kh, kw = taps
    top, left = lead
    wide = grid[1]
    batch, ho, wo, channels = dy.shape
    depth = dw.shape[1]
    width = scratch.shape[2]
    blocks = (channels + width - 1) // width
    groups = (depth + group - 1) // group
    slot = index.shape[2]
    for task in prange(blocks * groups):
        p = task // groups
        g = task % groups
        thread = numba.get_thread_id()
        padded = scratch[thread]
        total = acc[thread]
        ci0 = g * group
        ci1 = min(ci0 + group, depth)
        c0 = p * width
        c1 = min(c0 + width, channels)
        zero(total.reshape(-1))
        zero(padded.reshape(-1))
        for b in range(batch):
            for y in range(ho):
                for x in range(wo):
                    r = (y + top) * wide + x + left
                    copy(dy[b, y, x, c0:c1], padded[r, : c1 - c0])
            for ci in range(ci0, ci1):
                e0 = (b * depth + ci) * slot
                e1 = e0 + count[b, ci]
                for i in range(kh):
                    for j in range(kw):
                        base = ((kh - 1 - i) * wide + kw - 1 - j) * width
                        t = ((i * kw + j) * group + ci - ci0) * width
                        if width == WIDE_PANEL:
                            gather(padded, base, width, index, e0, e1, total, t, False)
                        else:
                            gather_narrow(padded, base, width, index, e0, e1, total, t, False)
        for i in range(kh * kw):
            for ci in range(ci0, ci1):
                copy(total[i * group + ci - ci0, : c1 - c0], dw[i, ci, c0:c1])


def weight_grad(x: NDArray[np.uint8], dy: Float, padding: Pair, dw: Float) -> None:
    """dw[kh, kw, Ci, Co] from spikes x[B, H, W, Ci] and dy[B, Ho, Wo, Co], stride 1.

    Needs padding < kernel size in both directions.
    """
    kh, kw, ci, co = dw.shape
    height, width = x.shape[1:3]
    grid = (height + kh - 1, width + kw - 1)
    index, count = events.by_channel(x, grid[1])
    columns = panel_width(co)
    blocks = -(-co // columns)
    threads = numba.get_num_threads()
    groups = min(ci, -(-4 * threads // blocks)) if blocks % threads else 1
    group = -(-ci // groups)
    scratch = empty((threads, grid[0] * grid[1], columns), dy.dtype)
    acc = empty((threads, kh * kw * group, columns), dy.dtype)
    lead = (kh - 1 - padding[0], kw - 1 - padding[1])
    _weight_grad(
        index, count, dy, (kh, kw), lead, grid, group, scratch, acc, dw.reshape(kh * kw, ci, co)
    )
