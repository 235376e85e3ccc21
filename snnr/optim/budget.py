"""How many connections each layer may have, for methods that hold their number exactly."""

from collections.abc import Sequence
from math import prod
from typing import Any

from snnr.kernels.backend import digit
from snnr.tensor import Parameter

#: ways to share out connections whose number follows from the shapes alone
DISTRIBUTIONS = ("erk", "uniform")


def total_budget(shapes: Sequence[Sequence[int]], connectivity: float) -> int:
    """Connections of all layers together: the share `connectivity` of the weights, rounded."""
    return round(connectivity * sum(map(prod, shapes)))


def layer_budgets(
    shapes: Sequence[Sequence[int]], connectivity: float, distribution: str = "erk"
) -> list[int]:
    """Connections of each layer; their sum is `total_budget`.

    Parameters
    ----------
    shapes : public shapes of the weights, ``[out, in]`` or ``[out, in, kh, kw]``.
    connectivity : share of all weights that are connections, in (0, 1].
    distribution : "erk", Erdos-Renyi-kernel (Evci, Gale, Menick, Castro & Elsen, ICML 2020): a
        layer gets connections in proportion to the sum of its shape, so that small layers are
        denser; or "uniform": in proportion to its weights.

    No layer gets more connections than it has weights (the others share what is left), nor fewer
    than one, where there are enough.
    """
    sizes = [prod(shape) for shape in shapes]
    parts = [sum(shape) for shape in shapes] if distribution == "erk" else sizes
    return shared_out(total_budget(shapes, connectivity), parts, sizes)


def shared_out(total: int, parts: Sequence[int], most: Sequence[int]) -> list[int]:
    """`total` in proportion to `parts`, no share above its `most`, by largest remainders; of equal
    ones the first gets more. Whole numbers throughout, so that it comes out alike everywhere."""
    shares = list(most)
    open_ones = [i for i, size in enumerate(most) if size > 0]
    while open_ones:
        left = total - sum(shares[i] for i in range(len(most)) if i not in open_ones)
        whole = sum(parts[i] for i in open_ones)
        full = [i for i in open_ones if left * parts[i] >= most[i] * whole]
        if not full:
            break
        open_ones = [i for i in open_ones if i not in full]
    if open_ones:
        for i in open_ones:
            shares[i] = left * parts[i] // whole
        by_remainder = sorted(open_ones, key=lambda i: -(left * parts[i] % whole))
        for i in by_remainder[: left - sum(shares[i] for i in open_ones)]:
            shares[i] += 1
    _one_for_each(shares, most)
    return shares


def _one_for_each(shares: list[int], most: Sequence[int]) -> None:
    """A layer without a connection gets one of the layer that has most, while that has another."""
    for i, size in enumerate(most):
        richest = max(range(len(shares)), key=lambda k: shares[k])
        if size > 0 and shares[i] == 0 and shares[richest] > 1:
            shares[richest] -= 1
            shares[i] = 1


def budgets_by_magnitude(weights: Sequence[Parameter], total: int) -> list[int]:
    """How many of the `total` largest magnitudes of all weights together each of them has; of equal
    ones the first weight's go before. Reads from the device, for every 16 bits of a weight.

    The weights are of one dtype: their bits are compared.
    """
    if total >= sum(p.size for p in weights) or total == 0:
        return [p.size if total else 0 for p in weights]
    kept = [0] * len(weights)
    prefix, rank = 0, total
    for level in range(weights[0].dtype.itemsize // 2):
        tables = [_digits(p, level, prefix) for p in weights]
        found, rank = digit(sum(tables), rank)
        kept = [n + int(table[:found].sum()) for n, table in zip(kept, tables, strict=True)]
        prefix = prefix << 16 | found
    for i, table in enumerate(tables):
        ties = min(rank, int(table[found]))
        kept[i] += ties
        rank -= ties
    return kept


def _digits(p: Parameter, level: int, prefix: int) -> Any:
    """The table of a weight, on the host."""
    bins = p.backend.empty(1 << 16, "int64")
    p.backend.count_magnitudes(p.memory, level, prefix, bins)
    return p.backend.copy_out(bins)
