"""The random numbers of `rules`, compiled."""

from snnr.kernels import rules
from snnr.kernels.cuda.device import function

philox = function(rules.philox)
gaussians = function(rules.gaussians)
