"""What is run: workload, slo, scenario."""

from tsdl.schema.shapes import Block, ClauseShape, Field, Nested, quantity
from tsdl.types import (
    Choice,
    Construct,
    Reference,
    Sequence,
    Text,
)
from tsdl.units import Dimension

# Seconds between two of a timer or of a time series, and of a window: a run must come to its end.
SHORTEST = 10e-6
MOST_TEXTS = 1e7  # that prompts begin with: the length of each is drawn

_TIME = quantity("time")
_TOKENS = quantity("tokens")
_NUMBER = quantity()

_LENGTHS = Construct("distribution", Dimension.of("tokens"))

# Of files of requests: what tsdl/traces reads, and what tells them apart.
_FORMATS = (
    "auto", "csv", "azure", "burstgpt", "splitwise", "vidur", "servegen", "mooncake",
    "llmservingsim", "vllm", "sharegpt",
)  # fmt: skip

MIXED = Sequence(Reference("workload"))
WORKLOAD = Block(
    "workload",
    "What arrives, and when.",
    {
        "requests": Field(quantity("requests"), "how many requests", low=1, whole=True),
        "duration": Field(_TIME, "how long requests arrive", low=0, above=True),
        "warmup": Field(_TIME, "arrivals before this are not counted in metrics", "0 s", low=0),
        "arrivals": Field(Construct("arrivals"), "when requests arrive"),
        "prompt": Field(_LENGTHS, "tokens of a prompt"),
        "output": Field(_LENGTHS, "tokens of an answer"),
        "correlation": Field(
            _NUMBER, "of the normal scores of prompt and output", "0", low=-1, high=1
        ),
        "total": Field(_TOKENS, "prompt and output together are at most this", low=2, whole=True),
        "lengths": Field(Text(path=True), "file of pairs of lengths, drawn with replacement"),
        "trace": Field(Text(path=True), "file of requests to replay"),
        "format": Field(
            Choice(_FORMATS),
            "of the trace or lengths; `auto` looks at the file",
            "auto",
        ),
        "tokenizer": Field(
            Text(path=True), "tokenizer.json that counts the tokens of conversations"
        ),
        "begin": Field(_TIME, "when in a trace's own time the workload begins", "0 s", low=0),
        "speed": Field(_NUMBER, "a trace's times are divided by it", "1", low=0, above=True),
        "sessions": Field(
            quantity("sessions"),
            "how many conversations; it wins over `requests`",
            low=1,
            whole=True,
        ),
        "turns": Field(Construct("distribution"), "rounds of a conversation"),
        "think": Field(
            Construct("distribution", Dimension.of("time")), "from an answer to the next question"
        ),
        "concurrency": Field(
            quantity("requests"),
            "at most so many requests are open: the next one is sent once one has ended",
            low=1,
            whole=True,
        ),
        "priority": Field(
            Construct("distribution"),
            "drawn for each request, for policies to read, and to tell requests apart by",
        ),
        "prefixes": Field(
            _NUMBER,
            "how many texts prompts begin with, each as likely",
            low=1,
            high=MOST_TEXTS,
            whole=True,
        ),
        "prefix": Field(
            Construct("distribution", Dimension.of("tokens")),
            "tokens of each of these texts, as far as prompts are that long",
        ),
        "system_prompt": Field(
            Construct("distribution", Dimension.of("tokens")),
            "tokens of each of these texts, which stand before the prompt, or the first of many",
        ),
        "mix": Field(MIXED, "workloads whose requests arrive together, as they are"),
    },
    {
        "attributes": Nested(
            Block(
                "attributes",
                "What is drawn for the attributes of requests, by their names.",
                open_field=Field(
                    Construct("distribution"), "of what it measures; drawn for each conversation"
                ),
            )
        ),
        "columns": Nested(
            Block(
                "columns",
                "Names of the columns of a file, or of members of its objects.",
                {
                    "arrived": Field(Text(), "arrival", '"arrived_at"'),
                    "prompt": Field(Text(), "prompt tokens", '"num_prefill_tokens"'),
                    "output": Field(Text(), "output tokens", '"num_decode_tokens"'),
                    "unit": Field(_TIME, "of the arrival column", "1 s", low=0, above=True),
                    "priority": Field(Text(), "priority; a member of each object of JSON, too"),
                },
                open_field=Field(Text(), "an attribute, by its name; a member of JSON, too"),
            )
        ),
    },
)

SLO = Block("slo", "Bounds that a request must meet.", bounds=True)

SCENARIO = Block(
    "scenario",
    "What is run.",
    {
        "model": Field(
            Reference("model"),
            "the model served, where workers have none of their own",
            required=True,
        ),
        "cluster": Field(Reference("cluster"), "what it is served on", required=True),
        "workload": Field(Reference("workload"), "what arrives", required=True),
        "policy": Field(Reference("policy"), "how it is scheduled", "continuous"),
        "router": Field(
            Reference("policy"), "whose global stage counts, in place of that of `policy`"
        ),
        "slo": Field(Reference("slo"), "what counts as good"),
        "seed": Field(
            _NUMBER, "of the random streams; --seed wins", "0", low=0, high=2**64 - 1, whole=True
        ),
        "until": Field(_TIME, "the run ends here at the latest", low=0, above=True),
        "timeseries": Field(
            Choice(("sampled", "changes")),
            "what timeseries.csv has rows for: times at intervals, or changes at boundaries",
            "sampled",
        ),
        "sample": Field(
            _TIME, "interval of timeseries.csv; left out, a 200th of the run", low=SHORTEST
        ),
    },
    clauses={"expect": ClauseShape("a condition on the result")},
)
