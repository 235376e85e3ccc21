"""The weight gradient of a linear layer where weights survive: one sum over the batch for each.

The rows of the batch are the lanes. Gradients lie in panels of 64 rows, turned, and so do float
inputs; spikes are bits, 64 rows to a word.
"""

from typing import Any

import numpy as np
from numba import prange
from numpy.typing import NDArray

from snnr.kernels.cpu.linear.bits import Words
from snnr.kernels.cpu.linear.lists import TASKS, Survivors
from snnr.kernels.cpu.linear.survivors import turned
from snnr.kernels.cpu.parts.dots import dot_bits, dot_panels
from snnr.kernels.cpu.parts.gather import WIDE_PANEL
from snnr.kernels.cpu.parts.rows import zero
from snnr.kernels.jit import jit

#: bytes of the panels of gradients that are gone through at a time: they stay in the second-level
#: cache
CACHE = 1 << 19

Float = NDArray[np.floating[Any]]


@jit(parallel=True)
def _weight_grad(words: Any, inputs: Any, panels: Any, outputs: int, group: int, start: Any,
                 count: Any, index: Any, factor: Any, values: Any) -> None:  # fmt: skip
    """values[e] = factor * sum of x[m, k] * dy[m, o] for the survivor (k, o) that is entry e.

    x lies in `words` (spikes) or `inputs` (floats), whichever is not empty; all three are flat.
    """
    bits = words.shape[0] > 0
    rows = start.shape[0]
    pitch = outputs * WIDE_PANEL
    blocks = panels.shape[0] // max(pitch, 1)
    for task in prange(TASKS):
        for p0 in range(0, blocks, group):
            few = min(group, blocks - p0)
            for k in range(task, rows, TASKS):
                if p0 == 0:
                    zero(values[start[k] : start[k] + count[k]])
                for e in range(start[k], start[k] + count[k]):
                    at = p0 * pitch + np.intp(index[e]) * WIDE_PANEL
                    if bits:
                        values[e] += factor * dot_bits(
                            words, p0 * rows + k, rows, panels, at, pitch, few
                        )
                    else:
                        values[e] += factor * dot_panels(
                            inputs, (p0 * rows + k) * WIDE_PANEL, rows * WIDE_PANEL, panels, at,
                            pitch, few,
                        )  # fmt: skip


def weight_grad(
    x: Float | Words, dy: Float, lists: Survivors, factor: float, values: Float
) -> None:
    """values[e] = factor * (x.T @ dy[M, O])[k, o] for every survivor (k, o); x the words of
    spikes, or floats as `turned` makes them. Entries between the lists stay as they are."""
    rows, outputs = dy.shape
    words, inputs = np.empty(0, np.uint64), np.empty(0, dy.dtype)
    if rows == 0:
        values.fill(0)
        return
    if x.dtype == np.uint64:
        words = x.reshape(-1)
    else:
        inputs = x.reshape(-1)
    group = max(CACHE // max(outputs * WIDE_PANEL * dy.itemsize, 1), 1)
    _weight_grad(
        words, inputs, turned(dy).reshape(-1), outputs, group, lists.start, lists.count,
        lists.index, dy.dtype.type(factor), values,
    )  # fmt: skip
