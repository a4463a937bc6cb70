"""Devices and links: dtype, link, hardware."""

from msgspec.structs import replace

from tsdl.schema.shapes import Block, Field, Nested, quantity
from tsdl.types import Boolean, Choice, Reference

_TIME = quantity("time")
_DATA = quantity("data")
_BANDWIDTH = quantity("data/time")
_NUMBER = quantity()

DTYPE = Block(
    "dtype",
    "A number format.",
    {
        "size": Field(_DATA, "bytes of an element", required=True, low=0, above=True),
        "fallback": Field(
            Reference("dtype"), "whose peak counts where a device gives none for this one"
        ),
    },
)

_REACHED: dict[str, Field] = {
    "latency": Field(_TIME, "fixed time of one operation", low=0),
    "bandwidth": Field(_NUMBER, "share of the bandwidth", low=0, above=True, high=1),
    "sharpness": Field(_NUMBER, "p of the p-norm of both", low=0.1, high=20),
    "latency_factor": Field(
        _NUMBER,
        "times the latency among so many `devices` of so many `ranks`, in so many domains",
        low=0,
        above=True,
        formula=True,
    ),
    "bandwidth_factor": Field(
        _NUMBER, "times the share of the bandwidth among so many", low=0, above=True, formula=True
    ),
}
_TAKING_PART = dict.fromkeys(("devices", "ranks", "domains", "rank_domains"), _NUMBER)

LINK = Block(
    "link",
    "A connection between devices.",
    {
        "bandwidth": Field(
            _BANDWIDTH, "bytes per second in one direction", required=True, low=0, above=True
        ),
        "latency": Field(_TIME, "time until the first byte", "0 s", low=0, unit="us"),
        "pair": Field(
            _BANDWIDTH,
            "of that, what two devices have between them, where each has a way to each other",
            low=0,
            above=True,
        ),
        "transfer": Field(
            _NUMBER,
            "share of the bandwidth that KV on its way reaches",
            "100 %",
            low=0,
            above=True,
            high=1,
        ),
        "most": Field(quantity("devices"), "devices that it connects at most", low=2, whole=True),
        "duplex": Field(Choice(("full", "half")), "whether both directions go at once", "full"),
        "sharing": Field(
            Choice(("fair", "fifo")), "how transfers share it: all at once, or one by one", "fair"
        ),
    },
    {
        "collective": Nested(
            Block(
                "collective",
                "What a collective operation over this link reaches.",
                {
                    key: replace(field, default=default)
                    for (key, field), default in zip(
                        _REACHED.items(), ("20 us", "70 %", "1", "1", "1"), strict=True
                    )
                },
                symbols=_TAKING_PART,
            )
        ),
        "exchange": Nested(
            Block(
                "exchange",
                "What others than all-reduces reach: all-gather, reduce-scatter, all-to-all, a "
                "send. What is left out is as in `collective`.",
                _REACHED,
                symbols=_TAKING_PART,
            )
        ),
    },
)

_EFFICIENCY_WITH_WEIGHTS = Block(
    "efficiency with weights",
    "What a class reaches with weights of a format, as far as that is not as else.",
    {
        "compute": Field(
            _NUMBER,
            "share of the peak of the format that is computed in; what is `attained` is in it",
            low=0,
            above=True,
            high=1,
        ),
        "bandwidth": Field(_NUMBER, "share of memory bandwidth", low=0, above=True, high=10),
        "overhead": Field(_TIME, "fixed time of a launch", low=0, unit="us"),
    },
)

_EFFICIENCY_CLASS = Block(
    "efficiency class",
    "What operators of a class reach of the device's peaks.",
    {
        "compute": Field(_NUMBER, "share of peak compute", "75 %", low=0, above=True, high=1),
        "bandwidth": Field(
            _NUMBER,
            "share of memory bandwidth; above 100 % where caches serve the class",
            "80 %",
            low=0,
            above=True,
            high=10,
        ),
        "overhead": Field(_TIME, "fixed time of a launch", "0 s", low=0, unit="us"),
        "sharpness": Field(
            _NUMBER,
            "p of the p-norm of compute and memory time; not set, it is their maximum",
            low=0.1,
            high=20,
        ),
    },
    {
        "stored_in": Nested(
            Block(
                "stored_in",
                "What kernels reach whose weights are stored in a number format, or in one that "
                "falls back on it, and computed in as many bytes.",
                open_block=_EFFICIENCY_WITH_WEIGHTS,
            )
        ),
        "widened": Nested(
            Block(
                "widened",
                "The same of kernels that widen such weights: they compute in more bytes.",
                open_block=_EFFICIENCY_WITH_WEIGHTS,
            )
        ),
    },
)

HARDWARE = Block(
    "hardware",
    "A device.",
    {
        "price": Field(quantity("money"), "what one device costs", "0 USD", low=0),
        # Of servers, for their accounts: Amazon and Meta 5 years (annual reports for 2022).
        "lifetime": Field(
            _TIME, "time over which its price is spread", "5 year", low=0, above=True
        ),
        "rent": Field(
            quantity("money/time"),
            "what one device costs where it is rented, electricity included: it counts in place "
            "of the price",
            low=0,
        ),
        "host": Field(Reference("link"), "link to the host's memory, for swapping", "PCIe4_x16"),
        "link": Field(Reference("link"), "to other devices of a server", "host"),
        "multiprocessors": Field(
            _NUMBER, "streaming multiprocessors or cores", "100", low=1, whole=True
        ),
    },
    {
        "compute": Nested(
            Block(
                "compute",
                "Peak operations per second, by number format, without sparsity.",
                open_field=Field(quantity("work/time"), "peak for a dtype", low=0, above=True),
            )
        ),
        "attained": Nested(
            Block(
                "attained",
                "What kernels in a number format attain of what their class reaches of the peak.",
                open_field=Field(_NUMBER, "share for a dtype", low=0, above=True, high=1),
            )
        ),
        "memory": Nested(
            Block(
                "memory",
                "The device's own memory.",
                {
                    "capacity": Field(_DATA, "bytes", required=True, low=0, above=True),
                    "bandwidth": Field(
                        _BANDWIDTH, "bytes per second", required=True, low=0, above=True
                    ),
                },
            )
        ),
        "attention": Nested(
            Block(
                "attention",
                "How kernels of attention use the device.",
                {
                    "tile": Field(
                        _NUMBER,
                        "rows of a head's queries that a multiprocessor works on at a time",
                        "1",
                        low=1,
                        whole=True,
                    ),
                    "rereads": Field(
                        _NUMBER,
                        "share of the KV of decodes that each further head of a group reads anew, "
                        "where prefills are in the same kernel",
                        "0 %",
                        low=0,
                        high=1,
                    ),
                    "extra_keys": Field(
                        _NUMBER,
                        "keys whose work each row of a prefill's queries takes besides those that "
                        "it sees",
                        "0",
                        low=0,
                    ),
                    "least_context": Field(
                        _NUMBER,
                        "tokens whose time a decode takes at the least, however short its context",
                        "0",
                        low=0,
                    ),
                    "unsplit": Field(
                        Boolean(),
                        "whether contexts of decodes are split no more once each multiprocessor "
                        "has 1.6 pairs of one and a KV head, so that the longest ends alone",
                        "false",
                    ),
                },
            )
        ),
        "power": Nested(
            Block(
                "power",
                "Electrical power of a device.",
                {
                    "idle": Field(quantity("energy/time"), "when it waits", "0 W", low=0),
                    "decode": Field(
                        quantity("energy/time"),
                        "in iterations that compute on no prompt",
                        "peak",
                        low=0,
                    ),
                    "peak": Field(
                        quantity("energy/time"), "at full use: in all others", "0 W", low=0
                    ),
                },
            )
        ),
        "efficiency": Nested(
            Block(
                "efficiency",
                "What operators reach of the peaks, by operator class.",
                open_block=_EFFICIENCY_CLASS,
            )
        ),
    },
)
