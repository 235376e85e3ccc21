"""Checkpoints: network, optimizer, history and random generators in one HDF5 file.

The layout (format version 2; 1 is still read) is readable with h5py alone; `layout` describes it.
"""

from snnr.checkpoint.arrays import SparseWeight
from snnr.checkpoint.layout import FORMAT, VERSION
from snnr.checkpoint.reader import (
    BEST,
    CHECKPOINT,
    Checkpoint,
    Record,
    StoredNetwork,
    load,
    load_record,
    load_sparse,
    located,
)
from snnr.checkpoint.writer import check, save

__all__ = [
    "BEST",
    "CHECKPOINT",
    "FORMAT",
    "VERSION",
    "Checkpoint",
    "Record",
    "SparseWeight",
    "StoredNetwork",
    "check",
    "load",
    "load_record",
    "load_sparse",
    "located",
    "save",
]
