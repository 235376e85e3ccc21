"""Looking at what layers do while a network runs, without changing it.

Who watches is a matter of the calling thread or task: watchers nest, and none sees what another
thread runs.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

from snnr.tensor import Tensor

#: called with the layer, its input (None where it was fused with the layer before) and its output
Hook = Callable[[Any, Tensor | None, Tensor], None]


@dataclass(frozen=True, eq=False)
class Watch:
    """One watcher of a network.

    root : the network; `members` are the ids of it and all layers inside.
    begin : called with the network's input.
    after : called after each layer, the network itself left out.
    spikes : wants the spikes of neurons that would be pooled in the same pass.
    """

    root: Any
    members: frozenset[int]
    begin: Callable[[Tensor], None]
    after: Hook
    spikes: bool


_watching: ContextVar[tuple[Watch, ...]] = ContextVar("watching", default=())


@contextmanager
def watching(watch: Watch) -> Iterator[None]:
    """Within this block, in this thread or task, `watch` sees what its network does."""
    token = _watching.set((*_watching.get(), watch))
    try:
        yield
    finally:
        _watching.reset(token)


def is_watching() -> bool:
    """Whether anybody watches any network here and now."""
    return bool(_watching.get())


def watches_of(layer: object) -> list[Watch]:
    """Who watches this layer here and now."""
    return [watch for watch in _watching.get() if id(layer) in watch.members]
