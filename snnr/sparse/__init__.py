"""Compiled sparse networks: stages of CSR weights, run over spikes and surviving connections."""

from snnr.sparse.engine import Engine, State, compile
from snnr.sparse.form import Form, Pool, Stage, Weight
from snnr.sparse.watching import Comparison, Stats

__all__ = [
    "Comparison", "Engine", "Form", "Pool", "Stage", "State", "Stats", "Weight", "compile",
]  # fmt: skip
