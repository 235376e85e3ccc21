"""The random numbers of `rules`, compiled."""

from snnr.kernels import rules
from snnr.kernels.jit import jit

philox = jit(forceinline=True)(rules.philox)
gaussians = jit(forceinline=True)(rules.gaussians)
