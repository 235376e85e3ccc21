"""One mask for all time steps, and exchanged axes, in NumPy."""

from snnr.kernels.reference.types import Array


def mask_time(x: Array, mask: Array, factor: float, out: Array) -> None:
    """out[T,M] = x[T,M] * mask[M] * factor; x float or uint8, mask uint8.

    With factor 1, `out` may be uint8, so that spikes stay spikes.
    """
    product = x * mask
    out[...] = product if factor == 1 else product.astype(out.dtype) * factor


def swap_last(x: Array, out: Array) -> None:
    """out[B,C,R] = x[B,R,C] with its last two axes exchanged."""
    out[...] = x.swapaxes(1, 2)
