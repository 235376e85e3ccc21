"""Check a backward pass against differences of the forward pass, in float64.

The output y = f(inputs) is projected on a random p, L = Σ p*y. For each input the analytic gradient
g of L is compared, along one direction d of length 1, with central differences of L at two step
sizes, extrapolated to step 0 (Richardson). The direction is half random, half along g: the first
half finds wrong entries, the second makes <g, d> large, so that a wrong scale never hides.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from snnr.errors import ArgumentError, ConfigError, ShapeError, SnnrError
from snnr.tensor import Tensor
from snnr.tensor.checks import described

Array = np.ndarray[Any, np.dtype[Any]]
Function = Callable[[list[Tensor]], Tensor]


class GradientError(SnnrError):
    """A backward pass disagrees with the differences of its forward pass."""


def gradcheck(
    f: Function,
    inputs: Sequence[Tensor | Array],
    *,
    eps: float = 1e-4,
    rtol: float = 1e-6,
    atol: float | None = None,
    seed: int = 0,
    projections: int = 2,
) -> float:
    """Largest relative error of the gradients of `f`, or an error if one exceeds `rtol`.

    Parameters
    ----------
    f : maps a list of float64 Tensors (all with requires_grad) to one float64 Tensor. It must be
        deterministic, and smooth where it is checked: neurons with smooth spikes, fixed masks.
    inputs : Tensors or arrays, float64. They are copied, never written to.
    eps : the larger of the two steps, as the distance moved by the whole input.
    rtol, atol : an error is relative to max(|analytic|, |numeric|) + atol/rtol; atol is what the
        differences owe to rounding, by default 1e-11 times the norm of p*y.
    seed : of the random projections and directions.
    projections : how many random p; each costs one backward and four forward passes per input.

    Raises
    ------
    GradientError : a gradient is wrong, missing, not finite or of the wrong shape.
    ShapeError : an input or the output is not float64, or there are no inputs.
    ConfigError : eps, rtol, atol or projections is out of range.
    """
    for name, value, least in (("eps", eps, 0), ("rtol", rtol, 0), ("projections", projections, 0)):
        if not value > least:
            raise ConfigError(f"{name} (={value}) must be greater than {least}")
    if atol is not None and not atol >= 0:
        raise ConfigError(f"atol (={atol}) must be at least 0")
    if not callable(f):
        raise ArgumentError(
            f"gradcheck: f is {described(f)}, expected a function of a list of tensors, such as "
            "lambda xs: layer(xs[0])"
        )
    if isinstance(inputs, Tensor | np.ndarray):
        raise ShapeError(
            f"inputs ({type(inputs).__name__} {list(inputs.shape)}) must be a list, as f gets one: "
            "gradcheck(lambda xs: layer(xs[0]), [x])"
        )
    given = [_checked(i, value) for i, value in enumerate(inputs)]
    if not given:
        raise ShapeError("gradcheck needs at least one input, got an empty list")

    def run(at: int = -1, move: Array | float = 0.0) -> Array:
        # fresh copies: an f that writes to its inputs does not shift the base point
        tensors = _tensors(given, inputs)
        if at >= 0:
            tensors[at].assign(tensors[at].numpy() + move)
        return _output(f(tensors))

    generator = np.random.default_rng(seed)
    first = run()
    if not np.array_equal(first, run()):
        raise GradientError(
            "f gives different outputs for the same inputs; fix its random state (a dropout mask, "
            "for example) before checking gradients"
        )
    worst = 0.0
    for projection in range(projections):
        p = np.asarray(generator.standard_normal(first.shape))
        floor = (1e-11 * float(np.linalg.norm(p * first)) if atol is None else atol) / rtol
        gradients = _gradients(f, given, inputs, p)
        for i, array in enumerate(given):
            direction = _direction(gradients[i], generator)
            analytic = float(np.sum(gradients[i] * direction))
            quotients = []
            for step in (eps, eps / 2):
                above = run(i, step * direction)
                below = run(i, -step * direction)
                # difference before sum: the digits that cancel are those of one element
                quotients.append(float(np.sum(p * (above - below))) / (2 * step))
            numeric = (4 * quotients[1] - quotients[0]) / 3
            scale = max(abs(analytic), abs(numeric)) + floor
            error = abs(analytic - numeric) / scale if scale > 0 else 0.0
            if not error <= rtol:
                raise GradientError(
                    f"gradient of input {i} (shape {array.shape}) is wrong: analytic "
                    f"{analytic:.12g}, numeric {numeric:.12g} along a direction of length 1, "
                    f"relative error {error:.3g} exceeds rtol (={rtol:g}) in projection "
                    f"{projection + 1} of {projections}"
                    + _doubt(quotients, scale, rtol)
                    + _detached(f(_tensors(given, inputs)))
                )
            worst = max(worst, error)
    return worst


def _checked(i: int, value: Tensor | Array) -> Array:
    """A copy of the input's data, refused unless it is float64 and finite."""
    data = value.numpy() if isinstance(value, Tensor) else np.asarray(value)
    if data.dtype != np.float64:
        raise ShapeError(
            f"input {i} is {data.dtype}, gradcheck needs float64: differences of float32 carry too "
            "few digits to judge a gradient; convert with .astype(np.float64)"
        )
    if not np.all(np.isfinite(data)):
        raise GradientError(f"input {i} (shape {data.shape}) holds NaN or infinity")
    return data.copy(order="K")


def _tensors(given: list[Array], inputs: Sequence[Tensor | Array]) -> list[Tensor]:
    """Leaves with copies of the data, and the time steps and device of the inputs."""
    leaves = []
    for array, value in zip(given, inputs, strict=True):
        steps, device = (
            (value.timesteps, value.device) if isinstance(value, Tensor) else (None, "cpu")
        )
        leaves.append(Tensor(array.copy(order="K"), True, steps, device))
    return leaves


def _output(y: Tensor) -> Array:
    """A copy of the output's data, refused unless it is float64 and finite."""
    if y.dtype != np.float64:
        raise ShapeError(
            f"f returned {y.dtype}, gradcheck needs float64; for spikes (uint8) use neurons "
            "with smooth spikes, whose forward pass is the surrogate's primitive"
        )
    values = np.array(y.numpy())
    if not np.all(np.isfinite(values)):
        raise GradientError("f returned NaN or infinity; check its inputs")
    return values


def _gradients(
    f: Function, given: list[Array], inputs: Sequence[Tensor | Array], p: Array
) -> list[Array]:
    """Gradients of Σ p*f by the backward pass; zeros for an input that f does not use."""
    tensors = _tensors(given, inputs)
    y = f(tensors)
    if y.requires_grad:  # else nothing leads to the inputs: their gradients are zero
        y.backward(p)
    result = []
    for i, tensor in enumerate(tensors):
        found = tensor.grad_numpy()
        gradient = np.zeros_like(given[i]) if found is None else np.array(found)
        if gradient.shape != given[i].shape or gradient.dtype != np.float64:
            raise GradientError(
                f"gradient of input {i} is {gradient.dtype} {gradient.shape}, expected float64 "
                f"{given[i].shape} like the input"
            )
        if not np.all(np.isfinite(gradient)):
            raise GradientError(f"gradient of input {i} holds NaN or infinity")
        result.append(gradient)
    return result


def _direction(gradient: Array, generator: np.random.Generator) -> Array:
    """A vector of length 1, half random, half along the gradient."""
    direction = np.asarray(generator.standard_normal(gradient.shape))
    direction /= float(np.linalg.norm(direction)) or 1.0
    length = float(np.linalg.norm(gradient))
    if length > 0:
        # towards it, never against: the two halves must not cancel
        turn = -1.0 if np.sum(direction * gradient) < 0 else 1.0
        direction = turn * direction + gradient / length
    direction /= float(np.linalg.norm(direction)) or 1.0
    return np.asarray(direction)


def _doubt(quotients: list[float], scale: float, rtol: float) -> str:
    """A hint for the case in which the differences themselves cannot be trusted."""
    gap = abs(quotients[0] - quotients[1]) / scale
    if gap <= 100 * rtol:
        return ""
    return (
        f". The differences do not converge (two steps differ by {gap:.3g}): f may have a kink or "
        "step nearby, or eps may be too large"
    )


def _detached(y: Tensor) -> str:
    """Names the usual reason for a gradient that looks wrong and is meant so."""
    seen: set[Any] = set()
    nodes = [y.node]
    while nodes:
        node = nodes.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        neuron = getattr(node, "neuron", None)
        if neuron is not None and neuron.detach and getattr(node, "held_spikes", None) is None:
            return (
                ". There are neurons with detach_reset=True in f (the default): their backward "
                "pass leaves out the reset on purpose, and differences of the forward pass do "
                "not. Make them with detach_reset=False, or hold the spikes of the reset "
                "(`held` of snnr.functional.spiking)"
            )
        nodes += [one.node for one in node.tensors() if one is not None]
    return ""
