"""Figures of runs and sweeps: what they show (`runs`, `weights`, `spikes`; NumPy alone), and how it
is drawn with matplotlib (`draw`, extra ``plot``)."""

from snnr.figures.draw import FIGURES, drawn
from snnr.figures.runs import Group, Point, Run, gather, groups, pareto, points

__all__ = ["FIGURES", "Group", "Point", "Run", "drawn", "gather", "groups", "pareto", "points"]
