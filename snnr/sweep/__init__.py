"""Sweeps: the same work with other settings, method by method and seed by seed.

`grid.plan` makes the list of runs, `sweep.Sweep` knows which of them are done and keeps the
results, and a pool runs what is left: `local.LocalPool` in processes of this machine,
`cluster.DaskPool` on others. `search.Search` chooses the settings itself. Every run is
`job.execute`, which calls `snnr.training.start` and `resume`.
"""

from snnr.sweep.cluster import DaskPool
from snnr.sweep.grid import Planned, default_folder, plan
from snnr.sweep.local import LocalPool
from snnr.sweep.search import Search
from snnr.sweep.sweep import Follower, Sweep

__all__ = [
    "DaskPool",
    "Follower",
    "LocalPool",
    "Planned",
    "Search",
    "Sweep",
    "default_folder",
    "plan",
]
