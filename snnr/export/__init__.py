"""Compiled networks for other programs: C, NIR, arrays for scipy; and networks from elsewhere."""

from snnr.export.c import Answers, Written, write_c
from snnr.export.incoming import load_nir, load_weights
from snnr.export.network import Exported, exported
from snnr.export.nir import write_nir
from snnr.export.npz import write_npz

__all__ = [
    "Answers",
    "Exported",
    "Written",
    "exported",
    "load_nir",
    "load_weights",
    "write_c",
    "write_nir",
    "write_npz",
]
