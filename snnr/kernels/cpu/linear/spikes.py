"""Linear layers that walk lists of active inputs: work in proportion to how many there are."""

from typing import Any

import numba
import numpy as np
from numba import prange
from numpy.typing import NDArray

from snnr.kernels.cpu.memory import empty
from snnr.kernels.cpu.parts.gather import (
    WIDE_PANEL,
    copy_panel,
    gather,
    gather_narrow,
    gather_scaled,
    gather_scaled_narrow,
)
from snnr.kernels.cpu.parts.panels import panel_width
from snnr.kernels.cpu.parts.rows import copy, copy_padded, scale
from snnr.kernels.jit import jit

#: rows of a panel copied at a time: DEPTH x WIDE_PANEL floats leave room in the second-level cache
DEPTH = 2048

Float = NDArray[np.floating[Any]]


@jit()
def position(index: Any, start: int, stop: int, bound: int) -> int:
    """First place in the ascending index[start:stop] whose entry is not below `bound`."""
    while start < stop:
        middle = (start + stop) // 2
        if index[middle] < bound:
            start = middle + 1
        else:
            stop = middle
    return start


@jit()
def _gather_list(source: Any, origin: int, pitch: int, width: int, index: Any, start: int,
                 stop: int, value: Any, target: Any, at: int, fresh: bool) -> None:  # fmt: skip
    """Add up the rows that index[start:stop] names, times `value` unless that is empty."""
    if value.size > 0:
        if width == WIDE_PANEL:
            gather_scaled(source, origin, pitch, index, start, stop, value, target, at, fresh)
        else:
            gather_scaled_narrow(
                source, origin, pitch, index, start, stop, value, target, at, fresh
            )
    elif width == WIDE_PANEL:
        gather(source, origin, pitch, index, start, stop, target, at, fresh)
    else:
        gather_narrow(source, origin, pitch, index, start, stop, target, at, fresh)


@jit(parallel=True)
def _walk(matrix: Any, flat: Any, in_place: bool, index: Any, slot: int, count: Any, value: Any,
          factor: Any, base: Any, panels: Any, cursors: Any, acc: Any,
          out: Any) -> None:  # fmt: skip
    """out[m] = factor * (sum of the matrix rows that the list of m names, times value, + base).

    The list of m is index[m*slot : m*slot + count[m]], ascending; an empty `value` stands for
    ones, an empty `base` for zeros. A thread copies a panel of columns of the matrix into its own
    cache, DEPTH rows at a time (rows far apart cost a page each), and serves all its m from there;
    with `in_place` full panels are read where they are. `flat` is the memory of the matrix, empty
    if it is not contiguous.
    """
    chunks, depth, width = panels.shape
    packed = panels.reshape(-1)
    result = out.reshape(-1)
    rows, columns = out.shape
    tasks = ((columns + width - 1) // width) * rows
    based = base.size > 0
    for chunk in prange(chunks):
        first_task = tasks * chunk // chunks
        last_task = tasks * (chunk + 1) // chunks
        home = chunk * depth * width
        cursor = cursors[chunk]
        for p in range(first_task // rows, (last_task + rows - 1) // rows):
            m0 = max(first_task - p * rows, 0)
            m1 = min(last_task - p * rows, rows)
            first = p * width
            last = min(first + width, columns)
            # whole panels are summed up where the result lies
            whole = last - first == width
            direct = in_place and whole
            step = DEPTH if whole and not direct else max(depth, 1)
            for k0 in range(0, max(depth, 1), step):
                k1 = min(k0 + step, depth)
                if not direct:
                    if flat.size > 0 and whole and width == WIDE_PANEL:
                        copy_panel(flat, first + k0 * columns, columns, k1 - k0, packed, home)
                    else:
                        for r in range(k0, k1):
                            copy_padded(matrix[r, first:last], panels[chunk, r - k0])
                source = flat if direct else packed
                origin = first if direct else home - k0 * width
                pitch = columns if direct else width
                for m in range(m0, m1):
                    start = m * slot if k0 == 0 else cursor[m]
                    stop = m * slot + count[m]
                    if k1 < depth:
                        stop = position(index, start, stop, k1)
                        cursor[m] = stop
                    target = result if whole else acc
                    at = m * columns + first if whole else chunk * width
                    if based and k0 == 0:
                        copy(base[first:last], target[at : at + last - first])
                    _gather_list(
                        source, origin, pitch, width, index, start, stop, value, target, at,
                        k0 == 0 and not based,
                    )  # fmt: skip
                    if k1 < depth:
                        continue
                    if not whole:
                        copy(target[at : at + last - first], out[m, first:last])
                    if factor != 1:
                        scale(factor, out[m, first:last])


def walk_lists(
    matrix: Float,
    index: NDArray[Any],
    count: NDArray[Any],
    value: NDArray[Any] | None,
    factor: float,
    base: Float | None,
    out: Float,
) -> None:
    """out[m] = factor * (sum over the list of m of value * matrix row) + base; see `_walk`."""
    threads = numba.get_num_threads()
    panels = empty((threads, matrix.shape[0], panel_width(out.shape[1])), out.dtype)
    cursors = empty((threads, out.shape[0]), np.int64)
    acc = empty((threads * panels.shape[2],), out.dtype)
    values = np.empty((0, 0), out.dtype) if value is None else value
    start = np.empty(0, out.dtype) if base is None else base / out.dtype.type(factor)
    contiguous = matrix.flags.c_contiguous
    flat = matrix.reshape(-1) if contiguous else np.empty(0, matrix.dtype)
    # copying pays when rows are read more than once
    in_place = contiguous and int(count.sum()) <= matrix.shape[0]
    _walk(
        matrix, flat, in_place, index.reshape(-1), index.shape[1], count, values.reshape(-1),
        out.dtype.type(factor), start, panels, cursors, acc,
        out,
    )  # fmt: skip
