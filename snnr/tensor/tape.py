"""The backward pass: from a tensor to the leaves, node by node."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from snnr.errors import ShapeError
from snnr.kernels import Memory, Packed

if TYPE_CHECKING:
    from snnr.tensor.function import Function
    from snnr.tensor.tensor import Tensor


def propagate(root: "Tensor", start: Memory) -> None:
    """Add to every leaf that requires it its gradient, from that of the root; nodes are freed."""
    if root.node is None:
        _collect(root, start)
        return
    pending: dict[Function, Memory] = {root.node: start}
    for node in _reversed_order(root.node):
        received = pending.pop(node, None)
        inputs = node.release()
        if received is None:
            continue
        for tensor, part in zip(inputs, node.backward(received), strict=True):
            if tensor is None or part is None or not tensor.requires_grad:
                continue
            part = _fitting(node, tensor, part)
            if tensor.node is None:
                _collect(tensor, part)
            elif tensor.node in pending:
                tensor.backend.accumulate(part, pending[tensor.node])
            else:
                pending[tensor.node] = part
        node.clear()


def _collect(leaf: "Tensor", part: Memory) -> None:
    """Add to a leaf's gradient, which nobody else holds; spikes, being 0 or 1, collect none."""
    if leaf.dtype == "uint8":
        return
    total = leaf.grad_memory
    if total is None:
        leaf.grad_memory = part
    elif isinstance(part, Packed) and isinstance(total, Packed) and part.pattern is total.pattern:
        leaf.backend.accumulate(part.values, total.values)
    else:
        leaf.grad_memory = part
        part = leaf.whole_gradient()
        leaf.grad_memory = total
        leaf.backend.accumulate(part, leaf.whole_gradient())


def _fitting(node: "Function", tensor: "Tensor", part: Memory) -> Memory:
    """The gradient in the tensor's float dtype, in memory that nobody else holds."""
    if tuple(part.shape) != tuple(tensor.memory.shape):
        raise ShapeError(
            f"{type(node).__name__}.backward returned a gradient of shape {list(part.shape)} for "
            f"an input whose memory has shape {list(tensor.memory.shape)}"
        )
    if node.owned and part.dtype == tensor.float_dtype:
        return part
    copy = tensor.backend.empty(part.shape, tensor.float_dtype)
    tensor.backend.copy(part, copy)
    return copy


def _reversed_order(root: "Function") -> Iterator["Function"]:
    """Nodes from the root towards the leaves, each after all nodes that use it; no recursion."""
    order: list[Function] = []
    seen: set[Function] = set()
    stack: list[tuple[Function, bool]] = [(root, False)]
    while stack:
        node, expanded = stack.pop()
        if expanded:
            order.append(node)
            continue
        if node in seen:
            continue
        seen.add(node)
        stack.append((node, True))
        for tensor in node.tensors():
            if tensor is not None and tensor.node is not None and tensor.node not in seen:
                stack.append((tensor.node, False))
    while order:
        yield order.pop()
