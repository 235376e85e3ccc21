"""The arrays of the CPU backend under their former name."""

from snnr.kernels.cpu.memory import empty, held, trim, zeros

__all__ = ["empty", "held", "trim", "zeros"]
