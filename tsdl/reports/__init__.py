"""Reports and pictures of results: what `tsdl report` and `tsdl plot` make of folders of runs."""

from tsdl.reports.drawing import NoReports, png, svg
from tsdl.reports.page import charts_of, page
from tsdl.reports.results import Result, read

__all__ = ["NoReports", "Result", "charts_of", "page", "png", "read", "svg"]
