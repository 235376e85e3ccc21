"""The PyTorch contenders. Only modules in this folder import torch.

``CONTENDERS`` maps a contender's name to the module that holds its ``build`` function; the
module is imported in the worker process alone.
"""

from __future__ import annotations

CONTENDERS: dict[str, str] = {
    "authors": "peers.authors",
    "spikingjelly": "peers.spikingjelly_multi",
    "snntorch": "peers.snntorch_leaky",
    "norse": "peers.norse_box",
    "eager": "peers.eager",
    "compile": "peers.compiled",
    "graph": "peers.graph",
}

# a whole step as one CUDA graph
CARD_ONLY = ("graph",)

#: device -> contenders that run where none is named; snnTorch and Norse have no kernels of their
#: own for a card, so that eager stands for them there
DEFAULT: dict[str, tuple[str, ...]] = {
    "cpu": tuple(name for name in CONTENDERS if name not in CARD_ONLY),
    "cuda": ("authors", "spikingjelly", "eager", "compile", "graph"),
}

# not a contender: eager in float64, what the contenders' first step is compared with
REFERENCE = "reference"
MODULES: dict[str, str] = {**CONTENDERS, REFERENCE: "peers.reference"}

PACKAGES: dict[str, tuple[str, ...]] = {
    "authors": ("torch", "spikingjelly"),
    "spikingjelly": ("torch", "spikingjelly"),
    "snntorch": ("torch", "snntorch"),
    "norse": ("torch", "norse"),
    "eager": ("torch",),
    "compile": ("torch",),
    "graph": ("torch",),
    REFERENCE: ("torch",),
}

# Norse is measured on the fully connected network alone
ONLY: dict[str, tuple[str, ...]] = {"norse": ("mnist_fc",)}
