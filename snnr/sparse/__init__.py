"""Compiled sparse networks: stages of CSR weights, run over spikes and surviving connections."""

from snnr.sparse.engine import Engine, State, compile
from snnr.sparse.form import Form, Pool, Stage, Weight

__all__ = ["Engine", "Form", "Pool", "Stage", "State", "Weight", "compile"]
