"""Integrate-and-fire neurons over a whole sequence, and their BPTT, in NumPy.

Arrays are [T,R,C] (time, rows, channels). The input may be static: x[1,R,C] is seen at all T
steps. The neuron is charged with z = gain[c]*x + offset[c] (None: x itself). `held` replaces the
spikes in the reset, `start` are the potentials before the first step; both are constant for the
gradient.
"""

import numpy as np

from snnr.kernels.reference.surrogate import derivative, primitive
from snnr.kernels.reference.types import Array
from snnr.kernels.rules import Neuron


def _run(
    x: Array,
    gain: Array | None,
    offset: Array | None,
    neuron: Neuron,
    held: Array | None,
    steps: int,
    start: Array | None,
) -> tuple[Array, Array, Array]:
    """h, spikes (as floats) and v after the reset, each [T,R,C]."""
    z = x if gain is None else gain * x
    z = z if offset is None else z + offset
    h = np.empty((steps, *x.shape[1:]), x.dtype)
    s = np.empty_like(h)
    v = np.empty_like(h)
    before = np.full(x.shape[1:], 0.0 if neuron.soft else neuron.v_reset, x.dtype)
    if start is not None:
        before[...] = start
    for t in range(steps):
        h[t] = neuron.decay * before + neuron.drive * z[min(t, len(z) - 1)] + neuron.rest
        if neuron.smooth:
            s[t] = primitive(h[t] - neuron.v_threshold, neuron.surrogate, neuron.alpha)
        else:
            s[t] = h[t] >= neuron.v_threshold
        reset = s[t] if held is None else held[t]
        if neuron.soft:
            v[t] = h[t] - neuron.v_threshold * reset
        else:
            v[t] = h[t] * (1 - reset) + neuron.v_reset * reset
        before = v[t]
    return h, s, v


def lif(
    x: Array,
    gain: Array | None,
    offset: Array | None,
    neuron: Neuron,
    held: Array | None,
    out: Array,
    start: Array | None = None,
    end: Array | None = None,
) -> None:
    """Spikes out[T,R,C], uint8, or float where `neuron.smooth`; end[R,C] = the last potentials."""
    _, s, v = _run(x, gain, offset, neuron, held, len(out), start)
    out[...] = s
    if end is not None:
        end[...] = v[-1]


def lif_potential(
    x: Array,
    gain: Array | None,
    offset: Array | None,
    neuron: Neuron,
    out_v: Array,
    start: Array | None = None,
) -> None:
    """Potential after the reset, out_v[T,R,C]."""
    out_v[...] = _run(x, gain, offset, neuron, None, len(out_v), start)[2]


def lif_grad(
    x: Array,
    gain: Array | None,
    offset: Array | None,
    neuron: Neuron,
    held: Array | None,
    dout: Array,
    dz: Array,
    sum_dz: Array | None = None,
    sum_dzx: Array | None = None,
    start: Array | None = None,
) -> None:
    """Gradient dz[Tx,R,C] with respect to z = gain*x + offset, from dout[T,R,C].

    For a static input dz is summed over time. Also leaves Σ dz and Σ dz*x per channel, where they
    have a place to go.
    """
    h, s, _ = _run(x, gain, offset, neuron, held, len(dout), start)
    slope = derivative(h - neuron.v_threshold, neuron.surrogate, neuron.alpha)
    each = np.empty_like(dout)
    dv = np.zeros_like(dout[0])
    for t in reversed(range(len(dout))):
        # v[t] depends on h[t] directly, and through the spike in the reset
        if neuron.soft:
            dv_dh, dv_ds = np.ones_like(dv), np.full_like(dv, -neuron.v_threshold)
        else:
            dv_dh = 1 - (s[t] if held is None else held[t])
            dv_ds = neuron.v_reset - h[t]
        ds = dout[t].copy()
        if not neuron.detach and held is None:
            ds += dv * dv_ds
        dh = dv * dv_dh + ds * slope[t]
        each[t] = neuron.drive * dh
        dv = neuron.decay * dh
    dz[...] = each if len(x) == len(dout) else each.sum(axis=0, keepdims=True)
    if sum_dz is not None and sum_dzx is not None:
        sum_dz[...] = dz.sum(axis=(0, 1), dtype=np.float64)
        sum_dzx[...] = (dz.astype(np.float64) * x).sum(axis=(0, 1))


def _rows(x: Array) -> Array:
    """[T,B,H,W,C] as [T,R,C]."""
    return x.reshape(x.shape[0], -1, x.shape[-1])


def _quarters(x: Array, shape: tuple[int, ...]) -> Array:
    """The four pixels of each 2x2 window, [4,T,B,H//2,W//2,C], row-major."""
    (rows, columns) = shape[2:4]
    return np.stack(
        [x[:, :, i : 2 * rows : 2, j : 2 * columns : 2] for i in (0, 1) for j in (0, 1)]
    )


def lif_pool(
    x: Array, gain: Array, offset: Array, neuron: Neuron, out: Array, index: Array
) -> None:
    """Spikes of x[Tx,B,H,W,C], max-pooled 2x2 with stride 2 to out[T,B,H//2,W//2,C] uint8.

    `index` is the row-major position (0..3) of the first maximum in its window.
    """
    spikes = np.empty((len(out), *x.shape[1:]), np.uint8)
    lif(_rows(x), gain, offset, neuron, None, _rows(spikes))
    quarters = _quarters(spikes, out.shape)
    index[...] = quarters.argmax(axis=0)
    out[...] = quarters.max(axis=0)


def lif_pool_grad(
    x: Array,
    gain: Array,
    offset: Array,
    neuron: Neuron,
    index: Array,
    dout: Array,
    dz: Array,
    sum_dz: Array,
    sum_dzx: Array,
) -> None:
    """Backward of `lif_pool`: dz[Tx,B,H,W,C] and its sums, as in `lif_grad`."""
    spread = np.zeros((len(dout), *x.shape[1:]), dout.dtype)
    (rows, columns) = dout.shape[2:4]
    for position in range(4):
        (i, j) = divmod(position, 2)
        spread[:, :, i : 2 * rows : 2, j : 2 * columns : 2] = np.where(index == position, dout, 0)
    lif_grad(_rows(x), gain, offset, neuron, None, _rows(spread), _rows(dz), sum_dz, sum_dzx)
