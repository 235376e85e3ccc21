"""A report of runs and sweeps: one HTML page that needs nothing else, no network either."""

from snnr.report.page import report

__all__ = ["report"]
