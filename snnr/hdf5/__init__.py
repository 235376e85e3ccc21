"""Reading HDF5 files that may come from strangers, for checkpoints and data sets alike."""

from snnr.hdf5.copied import copied
from snnr.hdf5.source import Source, opened, opened_image

__all__ = ["Source", "copied", "opened", "opened_image"]
