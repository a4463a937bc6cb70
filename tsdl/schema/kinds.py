"""Every kind of block by name."""

from tsdl.schema.hardware import DTYPE, HARDWARE, LINK
from tsdl.schema.models import COST, MODEL, OPERATOR
from tsdl.schema.scenarios import SCENARIO, SLO, WORKLOAD
from tsdl.schema.serving import CLUSTER, KVCACHE, POLICY, SITE
from tsdl.schema.shapes import Block
from tsdl.schema.studies import STUDY

KINDS: dict[str, Block] = {
    block.kind: block
    for block in (
        DTYPE, LINK, HARDWARE, OPERATOR, MODEL, COST, KVCACHE, POLICY, SITE, CLUSTER, WORKLOAD,
        SLO, SCENARIO, STUDY,
    )
}  # fmt: skip

# Kinds that are declared by a value, `param NAME: TYPE = VALUE`, and have no members.
VALUES = {
    "param": "A value that a run can set.",
    "attribute": "A number that each request has, and its value where a workload says nothing.",
    "metric": "A number that handlers record, of which results are asked.",
}

# Those of which all files of a program mean the same by a name.
SHARED = ("attribute", "metric")

# Kinds whose members are fixed by the language rather than by fields.
UNITS_KINDS = {
    "dimension": "A kind of quantity: a base one, or a formula over others.",
    "unit": "A unit of a dimension: a base one, or so many of another.",
}
