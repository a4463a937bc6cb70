"""Which blocks, fields, clauses and names exist, as data: drives check, completion and docs."""

from tsdl.schema.attributes import TAKEN
from tsdl.schema.events import ACTIONS, AGGREGATES, BREAKPOINT, EVENTS, STATE_KEYS
from tsdl.schema.features import (
    BATCH_FEATURES,
    COUNTING,
    FEATURE_TYPES,
    GROWING,
    OF_A_WORKER,
    OF_PEERS,
    OF_PREFILLS,
)
from tsdl.schema.kinds import KINDS, SHARED, UNITS_KINDS, VALUES
from tsdl.schema.names import (
    BY_REQUEST,
    CONSTRUCTORS,
    FUNCTIONS,
    METRICS,
    SHARES,
    STATISTICS,
    TOTALS,
)
from tsdl.schema.records import RECORD_FUNCTIONS, RECORDS
from tsdl.schema.shapes import Block, ClauseShape, Constructor, Field, Nested

__all__ = [
    "ACTIONS",
    "AGGREGATES",
    "BATCH_FEATURES",
    "BREAKPOINT",
    "BY_REQUEST",
    "CONSTRUCTORS",
    "COUNTING",
    "EVENTS",
    "FEATURE_TYPES",
    "FUNCTIONS",
    "GROWING",
    "KINDS",
    "METRICS",
    "OF_A_WORKER",
    "OF_PEERS",
    "OF_PREFILLS",
    "RECORDS",
    "RECORD_FUNCTIONS",
    "SHARED",
    "SHARES",
    "STATE_KEYS",
    "STATISTICS",
    "TAKEN",
    "TOTALS",
    "UNITS_KINDS",
    "VALUES",
    "Block",
    "ClauseShape",
    "Constructor",
    "Field",
    "Nested",
]
