"""Sparse Evolutionary Training (Mocanu et al., Nature Communications 9:2383, 2018)."""

from typing import ClassVar

from snnr.optim.drop_and_grow import DropAndGrow
from snnr.tensor import Parameter


class SET(DropAndGrow, launches_alike=True):
    """Drops the connections of the smallest weights and grows as many at random.

    As in the paper, but for what Evci et al. (ICML 2020) compare it in: dropped is what is smallest
    in magnitude, every so many steps rather than epochs, a share that falls along a cosine; and
    what is grown starts at ±1e-12 with a random sign rather than at a random value. A connection
    that was just dropped may be drawn again, and starts anew.
    """

    METHOD: ClassVar[str] = "set"

    def grow(self, p: Parameter, connections: int) -> None:
        # a key of its own for every call: the counter need not tell them apart
        first = p.backend.zeros((1, 4), "float64")
        p.backend.grow_random(p.memory, connections, self.key(), first, 0, self.counts[p])
