"""Other people's models of times, asked once at the points of a grid: tables that costs read."""

from tsdl.sources.grid import Bounds, Tabulated, tabulate
from tsdl.sources.times import NoSource, NoTime, Times

__all__ = ["Bounds", "NoSource", "NoTime", "Tabulated", "Times", "tabulate"]
