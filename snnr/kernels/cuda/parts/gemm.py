"""One product of tiles for dense layers and convolution.

A block makes a tile of the result, each of its threads a few rows and columns of that in registers.
Step by step the block copies a slice of both operands into shared memory, the next one while it
multiplies; a thread copies entries of one term (its `deep`), so that where it lies is worked out
once per step. Rows outside of the matrix repeat the last one: what they give is never written.
Which entry lies where, the maps say (`maps`). Indices are words of 32 bits, unsigned, relative to a
base of 64: with signed ones the compiler makes neither wide loads nor ends with 128 registers.

Absent spikes pass over weights that are not finite: a slice that has such a weight is added up by
selection, all others by multiply-add.
"""

from functools import cache
from typing import Any, NamedTuple

import numpy as np

from snnr.kernels.cuda.device import Kernel, cuda, function, kernel
from snnr.kernels.cuda.parts.maps import Map
from snnr.kernels.cuda.parts.tiles import Tile


class Side(NamedTuple):
    """An operand: the maps of its rows (columns, of the second operand) and of its terms, and
    whether places are checked against the window."""

    outer: Map
    deep: Map
    windowed: bool = False
    #: neighbours in memory are terms, not rows: so lie the threads that copy
    along: bool = True


#: what happens to a sum before it is written: nothing (a part); times alpha; with a bias of its
#: column; kept where a mask of rows that repeat is not 0; with beta times what was there
PART, SCALED, BIASED, MASKED, ADDED = "part", "scaled", "biased", "masked", "added"


@cache
def _multiply(tile: Tile, dtype: Any, selecting: bool) -> Any:
    """Device function: one term of every sum of a thread, from what lies at a_at and b_at."""
    rows, columns, run_m, run_n = tile.rows, tile.columns, tile.run_m, tile.run_n
    apart_m, apart_n = tile.m // (rows // run_m), tile.n // (columns // run_n)

    def multiply(a_shared: Any, b_shared: Any, a_at: Any, b_at: Any, acc: Any) -> None:
        a_run = cuda.local.array(rows, dtype)
        b_run = cuda.local.array(columns, dtype)
        zero = dtype(0)
        for i in range(rows):
            # in 64 bits: neighbours are then one load of 16 bytes
            a_run[i] = a_shared[np.uint64(a_at) + np.uint64(i // run_m * apart_m + i % run_m)]
        for j in range(columns):
            b_run[j] = b_shared[np.uint64(b_at) + np.uint64(j // run_n * apart_n + j % run_n)]
        for i in range(rows):
            for j in range(columns):
                if selecting:
                    acc[i * columns + j] += b_run[j] if a_run[i] != zero else zero
                else:
                    acc[i * columns + j] += a_run[i] * b_run[j]

    return function(multiply, forceinline=True)


def _halves(word: Any) -> tuple[Any, Any]:
    """How far to shift for the upper half of a word, and a mask of its lower half."""
    bits = 4 * np.dtype(word).itemsize
    return word(bits), word((1 << bits) - 1)


@cache
def _spot(word: Any) -> Any:
    """Device function: the place (y, x) in one word, so that a sum of places is one addition. A
    negative x borrows from y, which does no harm: such a place is outside already."""
    half = _halves(word)[0]

    def spot(y: Any, x: Any) -> Any:
        return word(word(word(y) << half) + word(np.int64(np.int32(x))))

    return function(spot, forceinline=True)


@cache
def _fetch(side: Side, loads: int, word: Any) -> Any:
    """Device function: what lies at a thread's entries of one term, and which of these there are,
    as bits. Nobody looks at the values before they are stored: until then loads are under way."""
    at, windowed = side.deep.at, side.windowed
    spot, half, lower = _spot(word), *_halves(word)

    def fetch(x: Any, base: Any, shape: Any, rest: Any, window: Any, term: Any, depth: Any,
              words: Any, spots: Any, values: Any) -> Any:  # fmt: skip
        nowhere, bits = word(0), np.uint32(0)
        deep, down, across = at(shape, rest, term)
        mine = spot(down, across)
        inside = term < depth
        for i in range(loads):
            fits = inside
            if windowed:
                # places of rows change by nothing, which the compiler does not know: it keeps them
                # and does not divide again for every slice
                words[i] = word(words[i] + word(window[2]))
                spots[i] = word(spots[i] + word(window[2]))
                place = word(mine + spots[i])
                fits = fits & (word(place >> half) < word(window[0]))
                fits = fits & (word(place & lower) < word(window[1]))
                bits = np.uint32(bits | np.uint32(np.uint32(fits) << np.uint32(i)))
            values[i] = x[base + np.uint64(word(deep + words[i]) if fits else nowhere)]
        return bits if windowed else np.uint32(0xFFFFFFFF if inside else 0)

    return function(fetch, forceinline=True)


@cache
def _store(loads: int, step: int, dtype: Any, spikes: bool) -> Any:
    """Device function: puts fetched values into shared memory, 0 where there is none; how many of
    them are not 0 in rows up to the last, or whether one is not finite."""

    def store(values: Any, bits: Any, first: Any, last: Any, shared: Any, to: Any) -> Any:
        zero, one = dtype(0), dtype(1)
        found, odd = np.uint32(0), np.uint32(0)
        for i in range(loads):
            here = np.uint32(np.uint32(bits >> np.uint32(i)) & np.uint32(1)) != np.uint32(0)
            place = np.uint64(to) + np.uint64(i * step)
            if spikes:
                here = here & (values[i] != 0)
                shared[place] = one if here else zero
                if here & (np.uint32(first + np.uint32(i * step)) <= last):
                    found = np.uint32(found + np.uint32(1))
            else:
                value = values[i] if here else zero
                shared[place] = value
                if value - value != zero:
                    odd = np.uint32(1)
        return found if spikes else odd

    return function(store, forceinline=True)


@cache
def product(
    tile: Tile, dtype: Any, word: Any, left: Side, right: Side, out_map: Map, spikes: bool,
    counted: bool, end: str, name: str,
) -> Kernel:  # fmt: skip
    """Kernel of out = left @ right.

    spikes : the left operand is uint8, 0 or 1.
    counted : adds to count[0] the spikes and to count[1] the entries it looked at.
    """
    tile_m, tile_n, tile_k = map(np.uint32, tile[:3])
    threads = tile.threads
    pitch_a, pitch_b = tile.m + 4, tile.n + 4
    whole_a, whole_b = 2 * tile.k * pitch_a, 2 * tile.k * pitch_b
    half_a, half_b = np.uint32(tile.k * pitch_a), np.uint32(tile.k * pitch_b)
    line_a, line_b = np.uint32(pitch_a), np.uint32(pitch_b)
    step = threads // tile.k
    loads_a, loads_b = tile.m // step, tile.n // step
    deep_lanes, copy_lanes = np.uint32(tile.k), np.uint32(step)
    along_a, along_b = left.along, right.along
    rows, columns, steps = tile.rows, tile.columns, tile.k
    sums = rows * columns
    run_m, run_n = tile.run_m, tile.run_n
    apart_m, apart_n = tile.m // (rows // run_m), tile.n // (columns // run_n)
    warp = np.uint32(tile.lanes_m * tile.lanes_n)
    lanes_m, lanes_n = np.uint32(tile.lanes_m), np.uint32(tile.lanes_n)
    warps_n = np.uint32(tile.n // columns // tile.lanes_n)
    long_run_m, long_run_n = np.uint32(run_m), np.uint32(run_n)
    outer_a_origin, outer_a_at = left.outer
    outer_b_origin, outer_b_at = right.outer
    deep_a_origin, deep_b_origin = left.deep.origin, right.deep.origin
    out_origin, out_at = out_map
    part, biased, masked, added = (end == e for e in (PART, BIASED, MASKED, ADDED))
    zero32, one32, two32 = np.uint32(0), np.uint32(1), np.uint32(2)
    fetch_a, fetch_b = _fetch(left, loads_a, word), _fetch(right, loads_b, word)
    store_a = _store(loads_a, step, dtype, spikes)
    store_b = _store(loads_b, step, dtype, False)
    spot = _spot(word)
    raw: Any = np.uint8 if spikes else dtype
    # where terms lie along rows the other operand is weights; in a weight gradient it is not
    passing = spikes and along_a
    multiply, select = _multiply(tile, dtype, False), _multiply(tile, dtype, True)

    def gemm(a: Any, b: Any, extra: Any, count: Any, out: Any, size: Any, a_outer: Any,
             a_deep: Any, b_outer: Any, b_deep: Any, out_shape: Any, window: Any, alpha: Any,
             beta: Any) -> None:  # fmt: skip
        a_shared = cuda.shared.array(whole_a, dtype)
        b_shared = cuda.shared.array(whole_b, dtype)
        odd = cuda.shared.array(2, np.uint32)
        seen = cuda.shared.array(1, np.uint32)
        acc = cuda.local.array(sums, dtype)
        a_next = cuda.local.array(loads_a, raw)
        b_next = cuda.local.array(loads_b, dtype)
        a_word = cuda.local.array(loads_a, word)
        a_spot = cuda.local.array(loads_a, word)
        b_word = cuda.local.array(loads_b, word)
        b_spot = cuda.local.array(loads_b, word)
        zero = dtype(0)

        t = np.uint32(cuda.threadIdx.x)
        block, piece = np.uint64(cuda.blockIdx.x), np.uint64(cuda.blockIdx.y)
        m, n, k, chunk = size[0], size[1], size[2], size[3]
        across = (n + np.uint64(tile_n) - np.uint64(1)) // np.uint64(tile_n)
        m0 = (block // across) * np.uint64(tile_m)
        n0 = (block % across) * np.uint64(tile_n)
        k0 = piece * chunk
        last_m = np.uint32(min(m - m0, np.uint64(tile_m)) - np.uint64(1))
        last_n = np.uint32(min(n - n0, np.uint64(tile_n)) - np.uint64(1))
        depth = np.uint32(min(k - k0, chunk))

        a_base, a_rest = outer_a_origin(a_outer, m0)
        deep, a_deep_rest = deep_a_origin(a_deep, k0)
        a_base += deep
        b_base, b_rest = outer_b_origin(b_outer, n0)
        deep, b_deep_rest = deep_b_origin(b_deep, k0)
        b_base += deep

        if along_a:
            a_term, a_m = np.uint32(t % deep_lanes), np.uint32(t // deep_lanes)
        else:
            a_term, a_m = np.uint32(t // copy_lanes), np.uint32(t % copy_lanes)
        if along_b:
            b_term, b_n = np.uint32(t % deep_lanes), np.uint32(t // deep_lanes)
        else:
            b_term, b_n = np.uint32(t // copy_lanes), np.uint32(t % copy_lanes)
        for i in range(loads_a):
            row = np.uint32(a_m + np.uint32(i * step))
            a_word[i], y, x = outer_a_at(a_outer, a_rest, row if row < last_m else last_m)
            a_spot[i] = spot(y, x)
        for i in range(loads_b):
            row = np.uint32(b_n + np.uint32(i * step))
            b_word[i], y, x = outer_b_at(b_outer, b_rest, row if row < last_n else last_n)
            b_spot[i] = spot(y, x)
        a_to = np.uint32(np.uint32(a_term * line_a) + a_m)
        b_to = np.uint32(np.uint32(b_term * line_b) + b_n)

        group, lane = np.uint32(t // warp), np.uint32(t % warp)
        t_m = np.uint32(np.uint32(group // warps_n) * lanes_m + np.uint32(lane // lanes_n))
        t_n = np.uint32(np.uint32(group % warps_n) * lanes_n + np.uint32(lane % lanes_n))
        t_m, t_n = np.uint32(t_m * long_run_m), np.uint32(t_n * long_run_n)
        for i in range(sums):
            acc[i] = zero
        found = np.uint32(0)
        if passing:
            if t < two32:
                odd[t] = np.uint32(0)
            if counted:
                seen[0] = np.uint32(0)
            cuda.syncthreads()

        slices = np.uint32(np.uint32(depth + np.uint32(tile_k - one32)) // tile_k)
        s = np.uint32(0)
        # round 0 copies the first slice; round s multiplies slice s - 1 and copies slice s
        a_from, b_from = t_m, t_n
        if slices > s:
            a_bits = fetch_a(a, a_base, a_deep, a_deep_rest, window, a_term, depth, a_word,
                             a_spot, a_next)  # fmt: skip
            b_bits = fetch_b(b, b_base, b_deep, b_deep_rest, window, b_term, depth, b_word,
                             b_spot, b_next)  # fmt: skip
            found = store_a(a_next, a_bits, a_m, last_m, a_shared, a_to)
            special = store_b(b_next, b_bits, b_n, last_n, b_shared, b_to)
            if passing and special != zero32:
                odd[0] = one32
        cuda.syncthreads()
        while s < slices:
            s = np.uint32(s + one32)
            half = np.uint32(s & one32)
            a_term = np.uint32(a_term + tile_k)
            b_term = np.uint32(b_term + tile_k)
            a_bits = fetch_a(a, a_base, a_deep, a_deep_rest, window, a_term, depth, a_word,
                             a_spot, a_next)  # fmt: skip
            b_bits = fetch_b(b, b_base, b_deep, b_deep_rest, window, b_term, depth, b_word,
                             b_spot, b_next)  # fmt: skip
            selecting = False
            if passing:
                selecting = odd[one32 - half] == s
            if selecting:
                for d in range(steps):
                    select(a_shared, b_shared, np.uint32(a_from + np.uint32(np.uint32(d) * line_a)),
                           np.uint32(b_from + np.uint32(np.uint32(d) * line_b)), acc)  # fmt: skip
            else:
                for d in range(0, steps, 4):
                    a_at = np.uint32(a_from + np.uint32(np.uint32(d) * line_a))
                    b_at = np.uint32(b_from + np.uint32(np.uint32(d) * line_b))
                    multiply(a_shared, b_shared, a_at, b_at, acc)
                    a_at, b_at = np.uint32(a_at + line_a), np.uint32(b_at + line_b)
                    multiply(a_shared, b_shared, a_at, b_at, acc)
                    a_at, b_at = np.uint32(a_at + line_a), np.uint32(b_at + line_b)
                    multiply(a_shared, b_shared, a_at, b_at, acc)
                    a_at, b_at = np.uint32(a_at + line_a), np.uint32(b_at + line_b)
                    multiply(a_shared, b_shared, a_at, b_at, acc)
            a_now = np.uint32(a_to + np.uint32(half * half_a))
            b_now = np.uint32(b_to + np.uint32(half * half_b))
            seen_now = store_a(a_next, a_bits, a_m, last_m, a_shared, a_now)
            special = store_b(b_next, b_bits, b_n, last_n, b_shared, b_now)
            if passing:
                found = np.uint32(found + seen_now)
                if special != zero32:
                    odd[half] = np.uint32(s + one32)
            a_from = np.uint32(t_m + np.uint32(half * half_a))
            b_from = np.uint32(t_n + np.uint32(half * half_b))
            cuda.syncthreads()

        if counted:
            if n0 == np.uint64(0):
                cuda.atomic.add(seen, 0, found)
            cuda.syncthreads()
            if t == np.uint32(0) and n0 == np.uint64(0):
                cuda.atomic.add(count, 0, np.int64(seen[0]))
                looked = (np.uint64(last_m) + np.uint64(1)) * np.uint64(depth)
                cuda.atomic.add(count, 1, np.int64(looked))

        out_base, out_rest = out_origin(out_shape, m0)
        out_base += n0
        if part:
            out_base += piece * m * n
        images = np.uint32(1)
        first = np.uint32(0)
        if masked:
            images = np.uint32(size[4])
            first = np.uint32(m0 % size[4])
        for i in range(rows):
            row = np.uint32(t_m + np.uint32(i // run_m * apart_m + i % run_m))
            if row <= last_m:
                at, _y, _x = out_at(out_shape, out_rest, row)
                mask = np.uint64(0)
                if masked:
                    mask = np.uint64(np.uint32(np.uint32(first + row) % images)) * n + n0
                for j in range(columns):
                    column = np.uint32(t_n + np.uint32(j // run_n * apart_n + j % run_n))
                    if column <= last_n:
                        where = out_base + np.uint64(word(at + word(column)))
                        value = acc[i * columns + j]
                        if not part:
                            value = alpha * value
                        if biased:
                            value = value + extra[n0 + np.uint64(column)]
                        if added:
                            value = value + beta * out[where]
                        if masked and extra[mask + np.uint64(column)] == 0:
                            value = zero
                        out[where] = value

    gemm.__name__ = f"gemm_{tile.name}_{name}_{np.dtype(dtype).name}_{end}" + (
        "_spikes" * spikes + "_counted" * counted + "_wide" * (word is not np.uint32)
    )
    return kernel(launch_bounds=(threads, max(512 // threads, 1)))(gemm)
