"""One time step of a block of neurons that lies in cache, forward and backward.

The equations are those of `rules`; the loops here only pick, outside the vectorised loop, which of
them applies. Blocks are 1-D arrays of the working float type and of one length.
"""

from typing import Any

from snnr.kernels import rules
from snnr.kernels.jit import jit

charge = jit()(rules.charge)
fire = jit()(rules.fire)
reset_hard = jit()(rules.reset_hard)
reset_soft = jit()(rules.reset_soft)
reset_hard_grad = jit()(rules.reset_hard_grad)
reset_hard_grad_detached = jit()(rules.reset_hard_grad_detached)
reset_soft_grad = jit()(rules.reset_soft_grad)
reset_soft_grad_detached = jit()(rules.reset_soft_grad_detached)
surrogate_slope = jit()(rules.surrogate_slope)
surrogate_peak = jit()(rules.surrogate_peak)
surrogate_primitive = jit()(rules.surrogate_primitive)
surrogate_derivative = jit()(rules.surrogate_derivative)


@jit()
def start_block(neuron: Any, v: Any) -> None:
    """Potentials before the first step."""
    v_reset = v.dtype.type(neuron.v_reset)
    for i in range(v.shape[0]):
        v[i] = v_reset


@jit()
def input_grad_block(drive: Any, dh: Any, x: Any, dz: Any, sum_dz: Any, sum_dzx: Any) -> None:
    """dz = drive*dh, and what it adds to the sums, if they have a place to go."""
    if sum_dz.shape[0] == 0:
        for i in range(dh.shape[0]):
            dz[i] = drive * dh[i]
    else:
        # two loops: one would need more checks for overlap than the compiler is ready to make
        for i in range(dh.shape[0]):
            g = drive * dh[i]
            dz[i] = g
            sum_dz[i] += g
        for i in range(dh.shape[0]):
            sum_dzx[i] += dz[i] * x[i]


@jit()
def potentials(neuron: Any, z: Any, v: Any, h: Any, s: Any, held: Any, hold: bool) -> None:
    """Charge to h, fire to s (0, 1, or g(h - v_threshold) when smooth), reset v in place.

    With `hold` the reset follows the spikes in `held` instead of s.
    """
    decay = v.dtype.type(neuron.decay)
    drive = v.dtype.type(neuron.drive)
    rest = v.dtype.type(neuron.rest)
    threshold = v.dtype.type(neuron.v_threshold)
    v_reset = v.dtype.type(neuron.v_reset)
    one = v.dtype.type(1)
    zero = v.dtype.type(0)
    if neuron.smooth or hold:
        slope = v.dtype.type(surrogate_slope(neuron.surrogate, neuron.alpha))
        peak = v.dtype.type(surrogate_peak(neuron.surrogate, neuron.alpha))
        for i in range(h.shape[0]):
            h[i] = charge(v[i], z[i], decay, drive, rest)
            if neuron.smooth:
                s[i] = surrogate_primitive(h[i] - threshold, neuron.surrogate, slope, peak)
            else:
                s[i] = one if fire(h[i], threshold) else zero
            q = held[i] if hold else s[i]
            if neuron.soft:
                v[i] = reset_soft(h[i], q, threshold)
            else:
                v[i] = reset_hard(h[i], q, v_reset)
    elif neuron.soft:
        for i in range(h.shape[0]):
            potential = charge(v[i], z[i], decay, drive, rest)
            q = one if fire(potential, threshold) else zero
            h[i] = potential
            s[i] = q
            v[i] = reset_soft(potential, q, threshold)
    else:
        for i in range(h.shape[0]):
            potential = charge(v[i], z[i], decay, drive, rest)
            q = one if fire(potential, threshold) else zero
            h[i] = potential
            s[i] = q
            v[i] = reset_hard(potential, q, v_reset)


@jit()
def derivative_block(neuron: Any, h: Any, out: Any) -> None:
    """out = g'(h - v_threshold)."""
    threshold = h.dtype.type(neuron.v_threshold)
    slope = h.dtype.type(surrogate_slope(neuron.surrogate, neuron.alpha))
    peak = h.dtype.type(surrogate_peak(neuron.surrogate, neuron.alpha))
    # a literal id lets the compiler drop the other branches and vectorise
    if neuron.surrogate == 0:
        for i in range(h.shape[0]):
            out[i] = surrogate_derivative(h[i] - threshold, 0, slope, peak)
    elif neuron.surrogate == 2:
        for i in range(h.shape[0]):
            out[i] = surrogate_derivative(h[i] - threshold, 2, slope, peak)
    elif neuron.surrogate == 3:
        for i in range(h.shape[0]):
            out[i] = surrogate_derivative(h[i] - threshold, 3, slope, peak)
    elif neuron.surrogate == 4:
        for i in range(h.shape[0]):
            out[i] = surrogate_derivative(h[i] - threshold, 4, slope, peak)
    else:
        for i in range(h.shape[0]):
            out[i] = surrogate_derivative(h[i] - threshold, neuron.surrogate, slope, peak)


@jit(forceinline=True)
def _plain_steps(
    atan: bool, soft: bool, detach: bool, add: bool, h: Any, slopes: Any, ds: Any, dv: Any,
    dh: Any, decay: Any, threshold: Any, v_reset: Any, k: Any, peak: Any,
) -> None:  # fmt: skip
    """The loop of `step_grad_block` for spikes; the flags are literals where it is inlined."""
    one = h.dtype.type(1)
    zero = h.dtype.type(0)
    for i in range(h.shape[0]):
        slope = surrogate_derivative(h[i] - threshold, 0, k, peak) if atan else slopes[i]
        q = one if fire(h[i], threshold) else zero
        if soft and detach:
            g = reset_soft_grad_detached(dv[i], ds[i], slope)
        elif soft:
            g = reset_soft_grad(dv[i], ds[i], slope, threshold)
        elif detach:
            g = reset_hard_grad_detached(dv[i], ds[i], q, slope)
        else:
            g = reset_hard_grad(dv[i], ds[i], h[i], q, slope, v_reset)
        dh[i] = dh[i] + g if add else g
        dv[i] = decay * g


@jit()
def _other_steps(
    neuron: Any, add: bool, h: Any, slopes: Any, ds: Any, dv: Any, dh: Any, decay: Any,
    threshold: Any, v_reset: Any, k: Any, peak: Any, held: Any, hold: bool,
) -> None:  # fmt: skip
    """The loop of `step_grad_block` for smooth or held spikes."""
    for i in range(h.shape[0]):
        if hold:
            q = held[i]
        else:
            q = surrogate_primitive(h[i] - threshold, neuron.surrogate, k, peak)
        if neuron.soft and (neuron.detach or hold):
            g = reset_soft_grad_detached(dv[i], ds[i], slopes[i])
        elif neuron.soft:
            g = reset_soft_grad(dv[i], ds[i], slopes[i], threshold)
        elif neuron.detach or hold:
            g = reset_hard_grad_detached(dv[i], ds[i], q, slopes[i])
        else:
            g = reset_hard_grad(dv[i], ds[i], h[i], q, slopes[i], v_reset)
        dh[i] = dh[i] + g if add else g
        dv[i] = decay * g


@jit()
def step_grad_block(
    neuron: Any, add: bool, h: Any, slopes: Any, ds: Any, dv: Any, dh: Any, held: Any, hold: bool
) -> None:
    """One step back in time: dv with respect to v[t] becomes dv with respect to v[t-1].

    The gradient with respect to h[t] goes to `dh` (is added to it with `add`); `slopes` is scratch.
    """
    decay = h.dtype.type(neuron.decay)
    threshold = h.dtype.type(neuron.v_threshold)
    v_reset = h.dtype.type(neuron.v_reset)
    k = h.dtype.type(surrogate_slope(neuron.surrogate, neuron.alpha))
    peak = h.dtype.type(surrogate_peak(neuron.surrogate, neuron.alpha))
    soft = neuron.soft != 0
    detach = neuron.detach != 0
    if neuron.smooth or hold:
        derivative_block(neuron, h, slopes)
        _other_steps(
            neuron, add, h, slopes, ds, dv, dh, decay, threshold, v_reset, k, peak, held, hold
        )
    elif neuron.surrogate == 0 and detach and not soft and add:
        # the paper's neuron, in one pass
        _plain_steps(
            True, False, True, True, h, slopes, ds, dv, dh, decay, threshold, v_reset, k, peak
        )
    elif neuron.surrogate == 0 and detach and not soft:
        _plain_steps(
            True, False, True, False, h, slopes, ds, dv, dh, decay, threshold, v_reset, k, peak
        )
    else:
        derivative_block(neuron, h, slopes)
        if soft and detach:
            _plain_steps(
                False, True, True, add, h, slopes, ds, dv, dh, decay, threshold, v_reset, k, peak
            )
        elif soft:
            _plain_steps(
                False, True, False, add, h, slopes, ds, dv, dh, decay, threshold, v_reset, k, peak
            )
        elif detach:
            _plain_steps(
                False, False, True, add, h, slopes, ds, dv, dh, decay, threshold, v_reset, k, peak
            )
        else:
            _plain_steps(
                False, False, False, add, h, slopes, ds, dv, dh, decay, threshold, v_reset, k,
                peak,
            )  # fmt: skip
