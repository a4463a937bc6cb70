"""What a study says: what it varies, what it asks of each point, what it shows and expects."""

from tsdl.schema.shapes import Block, ClauseShape, Field, Nested
from tsdl.types import Reference, Unknown

CASES = "case"  # how cases begin, and the axis that they make
OWN_COLUMNS = ("status", "pareto")  # of tables, which no param may have, and no `let`
CASE = Block(
    CASES,
    "A named set of values for params.",
    open_field=Field(Unknown(), "the value of a param"),
)

STUDY = Block(
    "study",
    "A question: a scenario at many points.",
    {"scenario": Field(Reference("scenario"), "what is run at each point", required=True)},
    {CASES: Nested(CASE, named=True)},
    {
        "vary": ClauseShape("an axis: a param, and the values that it takes"),
        "where": ClauseShape("which points are looked at"),
        "maximize": ClauseShape(
            "a search: the greatest value of a param at which a condition holds", ("while",)
        ),
        "minimize": ClauseShape(
            "a search: the least value of a param at which a condition holds", ("while",)
        ),
        "replicate": ClauseShape("with how many seeds each point is run"),
        "best": ClauseShape("an axis of which the value with the least key is kept", ("by",)),
        "pareto": ClauseShape("marks the points that no other beats in all keys", ("by",)),
        "table": ClauseShape("what is told of each point"),
        "plot": ClauseShape("a picture"),
        "expect": ClauseShape("a condition on the answer, at all points or at some", ("where",)),
    },
)

# How each clause is written, for messages and for the reference.
FORMS = {
    "vary": "vary qps in [1, 2, 4] req/s",
    "where": "where prefills < 8",
    "maximize": "maximize qps in 0.5..64 req/s while attainment >= 90 %",
    "minimize": "minimize gpus in 1..64 while attainment >= 90 %",
    "replicate": "replicate 5",
    "best": "best prefills by -throughput",
    "pareto": "pareto by p99(ttft), -throughput",
    "table": "table throughput, p99(ttft)",
    "plot": "plot lines(throughput, x = qps)",
    "expect": "expect p99(ttft) <= 2 s where qps <= 4 req/s",
}

# What is made of values along an axis: `max(throughput over qps)`.
ALONG = {
    "min": "the least",
    "max": "the greatest",
    "mean": "the mean",
    "sum": "the sum",
    "any": "whether a condition holds at one",
    "all": "whether it holds at all",
}

# Pictures: what each shows, and which channels it takes besides what stands first in its brackets.
# `x` is an axis, a param or a value; `color` and `facet` divide points by an axis; `log` says which
# of the two directions have a logarithmic scale, or that both have.
PLOTS: dict[str, tuple[str, tuple[str, ...]]] = {
    "lines": ("values over x, joined in order of x", ("x", "color", "facet", "log")),
    "points": ("values over x, not joined", ("x", "color", "facet", "log")),
    "bars": ("values beside one another", ("x", "color", "facet")),
    "heat": ("a value as the color of a field of x and y", ("x", "y", "facet")),
    "cdf": ("the distribution of a metric over requests", ("color", "facet", "log")),
}
LOG = {"x": ("x",), "y": ("y",), "both": ("x", "y")}  # what may be written, and what it means
NEEDS_X = ("lines", "points", "bars", "heat")
