"""Checkpoints: network, optimizer, history and random generators in one HDF5 file.

The layout (format version 2; 1 is still read) is readable with h5py alone; `layout` describes it.
"""

from snnr.checkpoint.layout import FORMAT, VERSION
from snnr.checkpoint.reader import Checkpoint, load
from snnr.checkpoint.writer import save

__all__ = ["FORMAT", "VERSION", "Checkpoint", "load", "save"]
