"""Networks by name, and from a short spec.

A network is named by a text, as in ``snnr train --net TEXT``: one of the paper's
(`snnr.models.paper`), with options of its own where that is wished ("cifar10_conv:channels=64"), or
a spec of layers ("32c3-bn-lif-mp2-fc256-lif-fc10-lif", see `snnr.models.spec`).
"""

from typing import TYPE_CHECKING

from snnr.errors import missing
from snnr.models.build import DEFAULT_T, MAX_OUTPUTS, MAX_WEIGHTS, build
from snnr.models.names import MODELS, base_name, canonical, make
from snnr.models.paper import cifar10_conv, csnn, mnist_fc
from snnr.models.parts import Part, SpecError
from snnr.models.spec import parse

__all__ = [
    "DEFAULT_T",
    "MAX_OUTPUTS",
    "MAX_WEIGHTS",
    "MODELS",
    "Part",
    "SpecError",
    "base_name",
    "build",
    "canonical",
    "cifar10_conv",
    "csnn",
    "make",
    "mnist_fc",
    "parse",
]

if not TYPE_CHECKING:  # which would take any name for a good one
    __getattr__ = missing(__name__, __all__)
