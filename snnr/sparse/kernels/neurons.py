"""A neuron over time: its current in every lane to its words of spikes."""

from typing import Any

import numpy as np

from snnr.kernels.cpu.parts.bits import lowest
from snnr.kernels.jit import jit
from snnr.sparse.kernels.lanes import (
    get,
    put,
    reached_16,
    reached_32,
    reached_64,
    step_hard_1,
    step_hard_2,
    step_hard_4,
    step_hard_8,
    step_hard_16,
    step_hard_32,
    step_hard_64,
    step_soft_1,
    step_soft_2,
    step_soft_4,
    step_soft_8,
    step_soft_16,
    step_soft_32,
    step_soft_64,
)

_ONE = np.uint64(1)
_NONE = np.uint64(0)
#: words at the start of the workspace that `reach` writes to
REACH = 0


@jit(forceinline=True)
def hard_word(G: int, z: Any, z0: int, gain: Any, offset: Any, scalars: Any, s0: int, v: Any,
              v0: int, fresh: bool) -> Any:  # fmt: skip
    """One time step of G neurons with hard reset: who fires."""
    if G == 1:
        return step_hard_1(z, z0, gain, offset, scalars, s0, v, v0, fresh)
    if G == 64:
        return step_hard_64(z, z0, gain, offset, scalars, s0, v, v0, fresh)
    if G == 32:
        return step_hard_32(z, z0, gain, offset, scalars, s0, v, v0, fresh)
    if G == 16:
        return step_hard_16(z, z0, gain, offset, scalars, s0, v, v0, fresh)
    if G == 8:
        return step_hard_8(z, z0, gain, offset, scalars, s0, v, v0, fresh)
    if G == 4:
        return step_hard_4(z, z0, gain, offset, scalars, s0, v, v0, fresh)
    return step_hard_2(z, z0, gain, offset, scalars, s0, v, v0, fresh)


@jit()
def soft_word(G: int, z: Any, z0: int, gain: Any, offset: Any, scalars: Any, s0: int, v: Any,
              v0: int, fresh: bool) -> Any:  # fmt: skip
    """The same with soft reset."""
    if G == 1:
        return step_soft_1(z, z0, gain, offset, scalars, s0, v, v0, fresh)
    if G == 64:
        return step_soft_64(z, z0, gain, offset, scalars, s0, v, v0, fresh)
    if G == 32:
        return step_soft_32(z, z0, gain, offset, scalars, s0, v, v0, fresh)
    if G == 16:
        return step_soft_16(z, z0, gain, offset, scalars, s0, v, v0, fresh)
    if G == 8:
        return step_soft_8(z, z0, gain, offset, scalars, s0, v, v0, fresh)
    if G == 4:
        return step_soft_4(z, z0, gain, offset, scalars, s0, v, v0, fresh)
    return step_soft_2(z, z0, gain, offset, scalars, s0, v, v0, fresh)


@jit(forceinline=True)
def fire(z: Any, z0: int, stride: int, S: int, G: int, gain: Any, offset: Any, scalars: Any,
         s0: int, v: Any, v0: int, fresh: bool, words: Any, w0: int) -> None:  # fmt: skip
    """A neuron over S steps: its words. Its currents lie in z, `stride` from step to step."""
    soft = scalars[s0 + 5] != 0
    word = _NONE
    lane = 0
    q = w0
    for t in range(S):
        at = z0 + t * stride
        if soft:
            bits = soft_word(G, z, at, gain, offset, scalars, s0, v, v0, fresh and t == 0)
        else:
            bits = hard_word(G, z, at, gain, offset, scalars, s0, v, v0, fresh and t == 0)
        word |= bits << np.uint64(lane)
        lane += G
        if lane == 64:
            put(words, q, word)
            word = _NONE
            lane = 0
            q += 1
    if lane:
        put(words, q, word)


@jit(forceinline=True)
def reach(z: Any, z0: int, G: int, gain: Any, offset: Any, theta: Any, theta0: int, S: int,
          words: Any) -> Any:  # fmt: skip
    """Who reaches the critical current of each step, in the first words; returns the last."""
    if G == 64:
        return reached_64(z, z0, gain, offset, theta, theta0, S, words, REACH)
    if G == 32:
        return reached_32(z, z0, gain, offset, theta, theta0, S, words, REACH)
    return reached_16(z, z0, gain, offset, theta, theta0, S, words, REACH)


@jit(forceinline=True)
def fire_periodic(z: Any, z0: int, S: int, G: int, gain: Any, offset: Any, theta: Any,
                  theta0: int, words: Any, w0: int, Q: int) -> None:  # fmt: skip
    """A neuron with hard reset under constant currents, from its reset on: every k steps."""
    for q in range(Q):
        put(words, w0 + q, _NONE)
    own = ~_NONE if G == 64 else (_ONE << np.uint64(G)) - _ONE
    ever = reach(z, z0, G, gain, offset, theta, theta0, S, words) & own
    if ever == 0:
        return
    before = _NONE
    for k in range(S):
        within = get(words, REACH + k) & own
        new = within & ~before
        before = within
        if new:
            lane = k * G
            while lane < S * G:
                q = w0 + (lane >> 6)
                put(words, q, get(words, q) | (new << np.uint64(lane & 63)))
                lane += (k + 1) * G


@jit(forceinline=True)
def fire_rows(z: Any, z0: int, stride: int, S: int, G: int, n: int, gain: Any, offset: Any,
              scalars: Any, s0: int, v: Any, inside: Any, words: Any, w0: int) -> None:  # fmt: skip
    """16 neighbouring neurons of image n over S steps, from rest; bit x of `inside` is set where
    there is one. Who fires gets its bit in the word of its place."""
    soft = scalars[s0 + 5] != 0
    for t in range(S):
        at = z0 + t * stride
        if soft:
            bits = step_soft_16(z, at, gain, offset, scalars, s0, v, 0, t == 0)
        else:
            bits = step_hard_16(z, at, gain, offset, scalars, s0, v, 0, t == 0)
        bits &= inside
        bit = _ONE << np.uint64(t * G + n)
        while bits:
            place = w0 + lowest(bits)
            bits &= bits - _ONE
            put(words, place, get(words, place) | bit)
