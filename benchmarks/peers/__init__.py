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
    REFERENCE: ("torch",),
}

# Norse is measured on the fully connected network alone
ONLY: dict[str, tuple[str, ...]] = {"norse": ("mnist_fc",)}
