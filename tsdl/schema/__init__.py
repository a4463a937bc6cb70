"""Which blocks, fields, clauses and names exist, as data: drives check, completion and docs."""

from tsdl.schema.features import BATCH_FEATURES
from tsdl.schema.kinds import KINDS, UNITS_KINDS
from tsdl.schema.names import CONSTRUCTORS, FUNCTIONS, METRICS, RECORDS, STATISTICS, TOTALS
from tsdl.schema.shapes import Block, ClauseShape, Constructor, Field, Nested

__all__ = [
    "BATCH_FEATURES",
    "CONSTRUCTORS",
    "FUNCTIONS",
    "KINDS",
    "METRICS",
    "RECORDS",
    "STATISTICS",
    "TOTALS",
    "UNITS_KINDS",
    "Block",
    "ClauseShape",
    "Constructor",
    "Field",
    "Nested",
]
