"""Two operands brought to one shape, one time axis, one layout and one dtype.

The rule: a static tensor is the same at every time step, and so is a sequence of one step; of the
other axes, counted from the last one, each pair has one length or one of the two is 1 or absent
(NumPy's rule, on public shapes).
"""

from itertools import zip_longest

from snnr.errors import DeviceError, ShapeError
from snnr.layout import Layout, Shape
from snnr.tensor.shapes import Stretch, as_float, fitted, laid_out
from snnr.tensor.tensor import Tensor


def joined(a: Shape, b: Shape) -> Shape | None:
    """The shape that both fit; None where there is none."""
    found = []
    for one, other in zip_longest(reversed(a), reversed(b), fillvalue=1):
        if one != other and 1 not in (one, other):
            return None
        found.append(other if one == 1 else one)
    return tuple(reversed(found))


def together(name: str, a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """Both in one shape and layout; of floats, in one dtype.

    Raises
    ------
    ShapeError : the shapes do not fit each other, or one is float32 and the other float64.
    DeviceError : they lie on different devices.
    """
    if a.device != b.device:
        raise DeviceError(
            f"{name} got tensors on {a.device} and {b.device}; move the whole network to one device"
        )
    floats = {t.dtype for t in (a, b) if t.dtype != "uint8"}
    if len(floats) > 1:
        raise ShapeError(f"{name}: {a!r} and {b!r} must have one dtype; convert one of them")
    if (a.shape, a.timesteps) == (b.shape, b.timesteps):
        return a, laid_out(b, a.layout)
    sample = joined(a.sample_shape, b.sample_shape)
    lengths = {t.timesteps for t in (a, b)} - {None}
    steps = max((n for n in lengths if n is not None), default=None)
    if sample is None or len(lengths - {1}) > 1:
        raise ShapeError(
            f"{name}: {a!r} and {b!r} do not fit each other: axes behind time are compared from "
            "the last one on and must be equal, 1 or absent, and time steps equal or absent; sum, "
            "index or make one of them anew"
        )
    shape = sample if steps is None else (steps, *sample)
    lying = next(
        (t.layout for t in (a, b) if (t.shape, t.timesteps) == (shape, steps)),
        Layout.of(len(shape), steps),
    )
    return _stretched(a, shape, steps, lying), _stretched(b, shape, steps, lying)


def _stretched(x: Tensor, shape: Shape, steps: int | None, lying: Layout) -> Tensor:
    if (x.shape, x.timesteps) == (shape, steps):
        return laid_out(x, lying)
    lead: Shape = () if steps is None else (x.timesteps or 1,)
    padding = (1,) * (len(shape) - len(lead) - len(x.sample_shape))
    padded = (*lead, *padding, *x.sample_shape)
    x = laid_out(fitted(x, padded, lead[0] if lead else None), lying)
    return x if padded == shape else Stretch(shape, steps, lying)(x)


def floats(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """Spikes as floats of the other's dtype."""
    dtype = a.float_dtype if a.dtype != "uint8" else b.float_dtype
    return as_float(a, dtype), as_float(b, dtype)
