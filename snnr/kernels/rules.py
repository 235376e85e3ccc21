"""The scalar equations of snnr, written once: neuron, surrogates, optimizers, noise.

Every rule is a plain function of scalars with no calls outside `math` and no calls to other rules,
so that the same source compiles for the CPU (`jit()(rules.charge)`) and for CUDA
(`cuda.jit(device=True)(rules.charge)`) and runs as Python. Backends loop; rules know no arrays.

Precision: Numba promotes a float32 that meets an integer or float literal to float64. The small
constants below are int8, which promotes nothing, so a rule computes in the type of its arguments;
two of them must not meet each other (int8 with int8 is int64). Callers cast the scalars of a
`Neuron` and the derived constants (`surrogate_slope`, ...) to the working type before the loop.
Compile with `error_model="numpy"`: the default checks every division for zero, which keeps the
loop from being vectorised (measured: 0.9 ns per ATan derivative against 0.13 ns).
"""

import math
from typing import Any, NamedTuple

import numpy as np

_ZERO: Any = np.int8(0)
_ONE: Any = np.int8(1)
_TWO: Any = np.int8(2)
_FOUR: Any = np.int8(4)

_WORD = np.uint64(0xFFFFFFFF)
_HALF = np.uint64(32)
_SIDEWAYS = np.uint64(1)
_OPPOSITE = np.uint64(2)
_QUARTER = np.uint64(30)
_REST = np.uint64((1 << 30) - 1)
_EVEN = np.uint64(0xD2511F53)
_ODD = np.uint64(0xCD9E8D57)
_STEP0 = np.uint64(0x9E3779B9)
_STEP1 = np.uint64(0xBB67AE85)

ATAN = 0
SIGMOID = 1
FAST_SIGMOID = 2
RECTANGULAR = 3
TRIANGULAR = 4
GAUSSIAN = 5
#: name of each surrogate at the position of its id
SURROGATES = ("atan", "sigmoid", "fast_sigmoid", "rectangular", "triangular", "gaussian")


class Neuron(NamedTuple):
    """Everything a neuron kernel needs to know, as plain scalars.

    The charge is ``h = decay*v + drive*z + rest`` for every kind of neuron; the functions
    `lif_neuron` and `if_neuron` fill in the three coefficients.
    """

    decay: float  #: factor of the previous potential
    drive: float  #: factor of the input
    rest: float  #: constant term, v_reset / tau
    v_threshold: float  #: fires when h >= v_threshold
    v_reset: float  #: potential after a spike (hard reset) and at the start; 0.0 when soft
    soft: int  #: 1: reset by subtracting v_threshold, 0: reset to v_reset
    detach: int  #: 1: no gradient through the spike in the reset
    surrogate: int  #: id of the surrogate
    alpha: float  #: steepness of the surrogate
    smooth: int  #: 1: the forward pass emits g(h - v_threshold) in place of the step


def lif_neuron(
    tau: float = 2.0,
    v_threshold: float = 1.0,
    v_reset: float | None = 0.0,
    decay_input: bool = True,
    detach_reset: bool = True,
    surrogate: int = ATAN,
    alpha: float = 2.0,
    smooth: bool = False,
) -> Neuron:
    """Leaky integrate-and-fire neuron; `v_reset=None` is the soft reset.

    decay_input:      h = v + (z - (v - v_reset)) / tau
    not decay_input:  h = v - (v - v_reset) / tau + z
    """
    reset = 0.0 if v_reset is None else float(v_reset)
    return Neuron(
        decay=1.0 - 1.0 / tau,
        drive=1.0 / tau if decay_input else 1.0,
        rest=reset / tau,
        v_threshold=float(v_threshold),
        v_reset=reset,
        soft=int(v_reset is None),
        detach=int(detach_reset),
        surrogate=int(surrogate),
        alpha=float(alpha),
        smooth=int(smooth),
    )


def if_neuron(
    v_threshold: float = 1.0,
    v_reset: float | None = 0.0,
    detach_reset: bool = True,
    surrogate: int = ATAN,
    alpha: float = 2.0,
    smooth: bool = False,
) -> Neuron:
    """Integrate-and-fire neuron without leak: h = v + z; `v_reset=None` is the soft reset."""
    return Neuron(
        decay=1.0,
        drive=1.0,
        rest=0.0,
        v_threshold=float(v_threshold),
        v_reset=0.0 if v_reset is None else float(v_reset),
        soft=int(v_reset is None),
        detach=int(detach_reset),
        surrogate=int(surrogate),
        alpha=float(alpha),
        smooth=int(smooth),
    )


# Neuron, forward. `s` is the spike in the working float type: 0, 1, or between them when smooth.


def charge(v: float, z: float, decay: float, drive: float, rest: float) -> float:
    """Potential before the reset, from the previous potential `v` and the input `z`."""
    return decay * v + drive * z + rest


def fire(h: float, v_threshold: float) -> bool:
    """Whether the neuron fires: at the threshold it does."""
    return h >= v_threshold


def reset_hard(h: float, s: float, v_reset: float) -> float:
    """Potential after a reset to `v_reset`."""
    return h * (_ONE - s) + v_reset * s


def reset_soft(h: float, s: float, v_threshold: float) -> float:
    """Potential after a reset by subtraction."""
    return h - v_threshold * s


# Neuron, backward. `dv` is the gradient with respect to v[t], `ds` the one with respect to s[t]
# from outside, `slope` = g'(h - v_threshold). With held spikes pass them as `s` and detach.


def reset_hard_grad(
    dv: float, ds: float, h: float, s: float, slope: float, v_reset: float
) -> float:
    """Gradient with respect to h of fire and hard reset together."""
    return dv * (_ONE - s) + (ds + dv * (v_reset - h)) * slope


def reset_hard_grad_detached(dv: float, ds: float, s: float, slope: float) -> float:
    """The same with no gradient through the spike in the reset."""
    return dv * (_ONE - s) + ds * slope


def reset_soft_grad(dv: float, ds: float, slope: float, v_threshold: float) -> float:
    """Gradient with respect to h of fire and soft reset together."""
    return dv + (ds - dv * v_threshold) * slope


def reset_soft_grad_detached(dv: float, ds: float, slope: float) -> float:
    """The same with no gradient through the spike in the reset."""
    return dv + ds * slope


# The charge is linear: with dh, the gradient goes on as dz = drive*dh and dv[t-1] = decay*dh.


# Surrogates: g'(x) = peak * bump(slope * x), with bump(0) = 1 and area peak/slope * ∫bump = 1.


def surrogate_slope(surrogate: int, alpha: float) -> float:
    """Factor of x inside the surrogate."""
    if surrogate == 0:
        return math.pi / 2.0 * alpha
    if surrogate == 5:
        return math.sqrt(0.5) * alpha
    return alpha


def surrogate_peak(surrogate: int, alpha: float) -> float:
    """g'(0)."""
    if surrogate == 1:
        return 0.25 * alpha
    if surrogate == 3 or surrogate == 4:
        return alpha
    if surrogate == 5:
        return alpha / math.sqrt(2.0 * math.pi)
    return 0.5 * alpha


def surrogate_primitive(x: float, surrogate: int, slope: float, peak: float) -> float:
    """g(x), the smooth spike: 0 far below the threshold, 1/2 at it, 1 far above.

    0 atan          arctan(pi/2 alpha x)/pi + 1/2
    1 sigmoid       1/(1 + exp(-alpha x))
    2 fast sigmoid  (alpha x/(1 + |alpha x|) + 1)/2
    3 rectangular   alpha x + 1/2, clipped to [0, 1]
    4 triangular    (1 + alpha x)^2/2 below, 1 - (1 - alpha x)^2/2 above the threshold, clipped
    5 gaussian      (1 + erf(alpha x/sqrt 2))/2, alpha = 1/sigma
    """
    u = slope * x
    if surrogate == 0:
        half = math.atan(u) * (peak / slope)  # peak/slope = 1/pi
        return (half + half + _ONE) / _TWO
    if surrogate == 1:
        e = math.exp(-abs(u))  # never overflows
        return (_ONE if u >= _ZERO else e) / (_ONE + e)
    if surrogate == 2:
        return (u / (_ONE + abs(u)) + _ONE) / _TWO
    if surrogate == 3:
        return min(max(u + u + _ONE, _ZERO), _TWO) / _TWO
    if surrogate == 4:
        rest = max(_ONE - abs(u), _ZERO)
        area = rest * rest
        return (area if u < _ZERO else _TWO - area) / _TWO
    return (_ONE + math.erf(u)) / _TWO


def surrogate_derivative(x: float, surrogate: int, slope: float, peak: float) -> float:
    """g'(x), the derivative of `surrogate_primitive`.

    0 atan          (alpha/2) / (1 + (pi/2 alpha x)^2)
    1 sigmoid       alpha g (1 - g)
    2 fast sigmoid  (alpha/2) / (1 + |alpha x|)^2
    3 rectangular   alpha where |alpha x| <= 1/2, else 0
    4 triangular    alpha max(0, 1 - |alpha x|)
    5 gaussian      alpha/sqrt(2 pi) exp(-(alpha x)^2/2)
    """
    u = slope * x
    if surrogate == 0:
        return peak / (_ONE + u * u)
    if surrogate == 1:
        e = math.exp(-abs(u))
        return peak * (_FOUR * e / ((_ONE + e) * (_ONE + e)))
    if surrogate == 2:
        d = _ONE + abs(u)
        return peak / (d * d)
    if surrogate == 3:
        return peak if abs(u + u) <= _ONE else peak * _ZERO
    if surrogate == 4:
        return peak * max(_ONE - abs(u), _ZERO)
    return peak * math.exp(-u * u)


# Optimizers. `rest1 = 1 - beta1` and `rest2 = 1 - beta2` are arguments because 1 - 0.999 loses
# four digits in float32.


def moment1(m: float, g: float, beta1: float, rest1: float) -> float:
    """Adam's first moment."""
    return beta1 * m + rest1 * g


def moment2(v: float, g: float, beta2: float, rest2: float) -> float:
    """Adam's second moment."""
    return beta2 * v + rest2 * (g * g)


def adam_delta(m: float, v: float, step_size: float, inv_sqrt_c2: float, eps: float) -> float:
    """What Adam subtracts: step_size*m/(sqrt(v)*inv_sqrt_c2 + eps), step_size = lr/c1."""
    return step_size * m / (math.sqrt(v) * inv_sqrt_c2 + eps)


def grad_r_theta(theta: float, sign: int, delta: float, shrink: float, mu: float) -> float:
    """Grad R: theta - sign*delta - shrink*signum(theta - mu), signum(0) = 0.

    Adam form: delta of `adam_delta`, shrink = step_size*prior. SGD form: delta = lr*g,
    shrink = lr*prior. The gradient acts below 0 too, so that a pruned connection can regrow.
    Two subtractions in this order, as in the published code; compile without reassociation, which
    drifts by 2e-6 over 300 float32 steps.
    """
    moved = theta - sign * delta
    if theta > mu:
        return moved - shrink
    if theta < mu:
        return moved + shrink
    return moved


def grad_r_weight(theta: float, sign: int) -> float:
    """w = sign * max(theta, 0): exactly +0 when pruned, NaN stays NaN."""
    if theta <= _ZERO:
        return _ZERO
    return sign * theta


#: what a connection weighs that is there and has no weight yet: too little to matter in any sum,
#: and not 0, which would say that there is no connection
TINY = 1e-12


def connected(before: float, after: float, tiny: float) -> float:
    """A weight that stays a connection: `after`, or `tiny` with the sign of before where that is
    0."""
    if after == _ZERO:
        return tiny if before > _ZERO else -tiny
    return after


def deep_r_theta(theta: float, sign: int, delta: float, shrink: float, noise: float) -> float:
    """Deep R, of a connection that is there: theta - sign*delta - shrink + noise.

    delta of `adam_delta`, shrink = lr*l1, noise of deviation temperature*sqrt(lr).
    """
    return theta - sign * delta - shrink + noise


def deep_r_weight(theta: float, sign: int, lost: float) -> float:
    """w = sign * theta where theta is above 0, else sign * lost; NaN stays NaN, no zero is -0."""
    if theta <= _ZERO:
        return sign * lost if lost > _ZERO else _ZERO
    return sign * theta


def soft_deep_r_theta(
    theta: float, sign: int, delta: float, shrink: float, noise: float, lowest: float
) -> float:
    """Soft Deep R: `deep_r_theta` where theta > 0, elsewhere the noise alone; at least lowest."""
    moved = theta - sign * delta - shrink + noise if theta > _ZERO else theta + noise
    return lowest if moved < lowest else moved


def stds_weight(theta: float, d: float) -> float:
    """w = sign(theta)*max(|theta| - d, 0): exactly +0 when pruned, NaN stays NaN."""
    if abs(theta) <= d:
        return _ZERO
    return theta + d if theta < _ZERO else theta - d


# Random words. Everything is uint64 and below 2^32 in every product, so that nothing overflows.


def philox(low: Any, high: Any, key: Any) -> tuple[Any, Any, Any, Any]:
    """Philox 4x32-10 (Salmon, Moraes, Dror & Shaw, SC 2011): four 32-bit words, as uint64.

    The counter is given as its lower and upper 64 bits, the key as 64 bits.
    """
    c0, c1, c2, c3 = low & _WORD, low >> _HALF, high & _WORD, high >> _HALF
    k0, k1 = key & _WORD, key >> _HALF
    for _ in range(10):
        even = _EVEN * c0
        odd = _ODD * c2
        c0 = (odd >> _HALF) ^ c1 ^ k0
        c2 = (even >> _HALF) ^ c3 ^ k1
        c1 = odd & _WORD
        c3 = even & _WORD
        k0 = (k0 + _STEP0) & _WORD
        k1 = (k1 + _STEP1) & _WORD
    return c0, c1, c2, c3


def place(high: Any, low: Any, size: Any) -> Any:
    """A place below `size` from two words: floor((high*2**32 + low) * size / 2**64), size < 2**32,
    all uint64."""
    return (high * size + (low * size >> _HALF)) >> _HALF


def gaussians(first: Any, second: Any) -> tuple[float, float]:
    """Two standard normal numbers from two 32-bit words (Box & Muller, 1958), float64.

    sqrt(-2 ln u) times cosine and sine of 2 pi (second/2^32 - 1/8), u = (first + 1)/2^32. The
    highest bits of `second` are the quarter of the circle, the others an angle of at most pi/4 from
    its middle, where Taylor's series is exact to the last digit: it vectorises, and on a card it
    needs no memory, as the general functions do.
    """
    radius = math.sqrt(-2.0 * math.log((first + 1.0) * 2.0**-32))
    x = ((second & _REST) - 2.0**29) * (math.pi * 2.0**-31)
    y = x * x
    sine = x * (
        1.0 - y * (1.0 / 6.0 - y * (1.0 / 120.0 - y * (1.0 / 5040.0 - y * (
            1.0 / 362880.0 - y * (1.0 / 39916800.0 - y * (
                1.0 / 6227020800.0 - y * (1.0 / 1307674368000.0)))))))
    )  # fmt: skip
    cosine = (
        1.0 - y * (0.5 - y * (1.0 / 24.0 - y * (1.0 / 720.0 - y * (
            1.0 / 40320.0 - y * (1.0 / 3628800.0 - y * (
                1.0 / 479001600.0 - y * (1.0 / 87178291200.0)))))))
    )  # fmt: skip
    quarter = second >> _QUARTER
    turned = -radius if quarter >= _OPPOSITE else radius
    if quarter & _SIDEWAYS:
        return turned * -sine, turned * cosine
    return turned * cosine, turned * sine
