"""RigL (Evci, Gale, Menick, Castro & Elsen, ICML 2020, arXiv 1911.11134)."""

from typing import ClassVar

from snnr.optim.drop_and_grow import DropAndGrow
from snnr.tensor import Parameter


class RigL(DropAndGrow, launches_alike=True):
    """Drops the connections of the smallest weights and grows as many where the loss would fall
    fastest: where |dL/dw| is largest.

    The gradients are those of the step that was just taken; the paper takes a rewiring instead of
    that step. What is grown starts at 1e-12 with the sign of -dL/dw, to which a step would take it.
    A connection that was just dropped may be grown again (algorithm 1 excludes only those that
    stay), and starts anew.
    """

    METHOD: ClassVar[str] = "rigl"

    def needs_all(self, step: int) -> bool:
        return self.share(step) > 0

    def rewire(self) -> None:
        # `every` may be another since the gradients were asked for
        if not self.asked_for_few:
            super().rewire()

    def grow(self, p: Parameter, connections: int) -> None:
        p.backend.grow_largest(p.memory, p.grad_memory, connections, self.counts[p])
