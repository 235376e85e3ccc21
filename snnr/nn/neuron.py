"""Neuron layers: settings only; the dynamics are in the kernels."""

from typing import Any

from snnr import functional as F
from snnr.errors import ConfigError
from snnr.functional import Neuron
from snnr.nn.arrays import Shape
from snnr.nn.base import Layer
from snnr.nn.checks import flag, number, steps
from snnr.surrogate import Surrogate
from snnr.surrogate import get as get_surrogate
from snnr.tensor import Tensor


class IF(Layer, launches_alike=True):
    """Integrate-and-fire neurons: current ``[T, N, ...]`` -> uint8 spikes of the same shape.

    Parameters
    ----------
    v_threshold : fires when the potential reaches it.
    v_reset : potential after a spike; None is the soft reset (subtract the threshold).
    surrogate : name or `snnr.surrogate.Surrogate`.
    detach_reset : no gradient through the reset.
    T : time steps, used when the input is static (``[N, ...]``, the same at every step).
    smooth : emit g(h - v_threshold) instead of spikes, for gradient checks.
    """

    def __init__(
        self,
        v_threshold: float = 1.0,
        v_reset: float | None = 0.0,
        surrogate: str | Surrogate = "atan",
        detach_reset: bool = True,
        T: int | None = None,
        smooth: bool = False,
    ) -> None:
        v_threshold = number(self.kind, "v_threshold", v_threshold)
        v_reset = None if v_reset is None else number(self.kind, "v_reset", v_reset)
        if v_reset is not None and v_reset >= v_threshold:
            raise ConfigError(
                f"{self.kind}: v_reset (={v_reset}) must lie below v_threshold (={v_threshold})"
            )
        if v_threshold <= 0 and v_reset is None:
            raise ConfigError(
                f"{self.kind}: a soft reset needs v_threshold (={v_threshold}) above 0"
            )
        self.v_threshold = v_threshold
        self.v_reset = v_reset
        self.surrogate = get_surrogate(surrogate)
        self.detach_reset = flag(self.kind, "detach_reset", detach_reset)
        self.T = steps(self.kind, T)
        self.smooth = flag(self.kind, "smooth", smooth)

    def _common(self) -> dict[str, Any]:
        return {
            "v_threshold": self.v_threshold,
            "v_reset": self.v_reset,
            "detach_reset": self.detach_reset,
            "surrogate": self.surrogate.id,
            "alpha": self.surrogate.alpha,
            "smooth": self.smooth,
        }

    def neuron(self) -> Neuron:
        """The scalars that the kernels need."""
        return F.if_neuron(**self._common())

    def settings(self) -> dict[str, Any]:
        return {
            "v_threshold": self.v_threshold,
            "v_reset": self.v_reset,
            "surrogate": {"name": self.surrogate.name, "alpha": self.surrogate.alpha},
            "detach_reset": self.detach_reset,
            "T": self.T,
        }

    def output_shape(self, shape: Shape) -> Shape:
        return shape

    def steps(self, x: Tensor) -> int | None:
        """T for a static input; a sequence brings its own."""
        return self.T if x.timesteps is None else None

    def forward(self, x: Tensor) -> Tensor:
        return F.spiking(x, self.neuron(), self.steps(x))


class LIF(IF, launches_alike=True):
    """Leaky integrate-and-fire neurons; as `IF`, with

    tau : membrane time constant in time steps, > 1 (the paper: 2).
    decay_input : the input is divided by tau as well (the paper's form).
    """

    def __init__(
        self,
        tau: float = 2.0,
        v_threshold: float = 1.0,
        v_reset: float | None = 0.0,
        surrogate: str | Surrogate = "atan",
        detach_reset: bool = True,
        decay_input: bool = True,
        T: int | None = None,
        smooth: bool = False,
    ) -> None:
        tau = number("LIF", "tau", tau)
        if not tau > 1:
            raise ConfigError(f"LIF: tau (={tau}) must be greater than 1; without leak use IF")
        super().__init__(v_threshold, v_reset, surrogate, detach_reset, T, smooth)
        self.tau = tau
        self.decay_input = flag(self.kind, "decay_input", decay_input)

    def neuron(self) -> Neuron:
        return F.lif_neuron(tau=self.tau, decay_input=self.decay_input, **self._common())

    def settings(self) -> dict[str, Any]:
        return {"tau": self.tau, "decay_input": self.decay_input, **super().settings()}
