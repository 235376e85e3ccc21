"""Random masks and their use, in NumPy. Counter-based: what is drawn depends on key and place."""

import numpy as np

from snnr.kernels.backend import philox_blocks
from snnr.kernels.reference.types import Array

_WORD = np.uint64(0xFFFFFFFF)
_HALF = np.uint64(32)


def philox(counter: Array, key: tuple[int, int]) -> Array:
    """Philox 4x32-10 (Salmon et al., SC 2011): counter[4, n] of 32-bit words to four words [4, n].

    Words are held in uint64, so that a product of two of them is exact.
    """
    c0, c1, c2, c3 = counter.astype(np.uint64)
    k0, k1 = key
    for _ in range(10):
        even = np.uint64(0xD2511F53) * c0
        odd = np.uint64(0xCD9E8D57) * c2
        c0, c2 = (odd >> _HALF) ^ c1 ^ np.uint64(k0), (even >> _HALF) ^ c3 ^ np.uint64(k1)
        c1, c3 = odd & _WORD, even & _WORD
        k0, k1 = (k0 + 0x9E3779B9) & 0xFFFFFFFF, (k1 + 0xBB67AE85) & 0xFFFFFFFF
    return np.stack([c0, c1, c2, c3])


def words(key: int, counter: int, size: int) -> Array:
    """`size` words: four from each of the blocks counter, counter + 1, ..."""
    blocks = np.uint64(counter) + np.arange(-(-size // 4), dtype=np.uint64)
    zero = np.zeros_like(blocks)
    start = np.stack([blocks & _WORD, blocks >> _HALF, zero, zero])
    drawn: Array = philox(start, (key & 0xFFFFFFFF, key >> 32)).T.reshape(-1)[:size]
    return drawn


def dropout_mask(key: int, counter: Array, p: float, out: Array) -> None:
    """out uint8 = 1 where the word of the element is at least round(p * 2**32); the counter
    moves on."""
    drawn = words(key, int(counter[0]), out.size)
    out[...] = (drawn >= np.uint64(round(p * 2**32))).reshape(out.shape)
    counter += np.uint64(philox_blocks(out.size))


def mask_time(x: Array, mask: Array, factor: float, out: Array) -> None:
    """out[T,M] = x[T,M] * mask[M] * factor; x float or uint8, mask uint8.

    With factor 1, `out` may be uint8, so that spikes stay spikes.
    """
    product = x * mask
    out[...] = product if factor == 1 else product.astype(out.dtype) * factor
