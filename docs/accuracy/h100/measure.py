"""Runs vLLM 0.20 with random weights, and keeps the stamps of each request and each step.

    cat steps.py >> VLLM/v1/core/sched/scheduler.py
    STEPS=steps.csv python measure.py MODEL TRACE OUT [SPEED [REQUESTS]]

MODEL is a folder with a config.json and a tokenizer, TRACE the requests with their token ids and
times (casys-kaist/LLMServingSim's workload), OUT the file that `tsdl validate` and `tsdl calibrate`
read. Each prompt length alone and batches of one size come first, and tell what the front end and
a step take; their rows go to standard output. Needs vLLM 0.20 and a device.
"""

import asyncio
import json
import random
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

STAMPS = ("arrival_time", "queued_ts", "scheduled_ts", "first_token_ts", "last_token_ts")
LENGTHS = (16, 128, 512, 1024, 2048, 4096, 8000)
BATCHES = (1, 2, 4, 8, 16, 32, 64, 128)


async def served(engine: Any, name: str, ids: list[int], output: int, at: float = 0.0) -> Any:
    """Return the row of a request that is sent at a time of the monotonic clock (s)."""
    from vllm import SamplingParams
    from vllm.sampling_params import RequestOutputKind

    await asyncio.sleep(max(0.0, at - time.monotonic()))
    asked = SamplingParams(
        temperature=0.0, max_tokens=output, min_tokens=output, ignore_eos=True,
        output_kind=RequestOutputKind.DELTA,
    )  # fmt: skip
    sent, came, stamps = time.monotonic(), [], None
    async for part in engine.generate({"prompt_token_ids": ids}, asked, name):
        came.append(time.monotonic())
        stamps = part.metrics or stamps
    row = {"request_id": name, "input_toks": len(ids), "output_toks": output}
    row |= {stamp: getattr(stamps, stamp) for stamp in STAMPS}
    return row | {"sent": sent, "first": came[0], "last": came[-1]}


async def alone_and_steady(engine: Any) -> None:
    """Print the rows of requests that are alone, and of batches that start together."""
    draw = random.Random(7)

    def ids(length: int) -> list[int]:
        return [draw.randrange(1000, 120_000) for _ in range(length)]

    for length in (*(64, 700, 2048, 5000), *LENGTHS * 3):  # the first few meet a cold engine
        print(json.dumps(await served(engine, f"alone-{draw.random()}", ids(length), 40)))
        await asyncio.sleep(0.02)
    for many in BATCHES:
        names = [f"steady-{many}-{number}" for number in range(many)]
        for row in await asyncio.gather(*[served(engine, n, ids(256), 100) for n in names]):
            print(json.dumps(row))


def offered(path: str, speed: float, count: int) -> Iterator[tuple[float, list[int], int]]:
    """Yield when each request comes (s), its token ids, and the length of its answer."""
    with Path(path).open(encoding="utf-8") as file:
        for text, _ in zip(file, range(count), strict=False):
            row = json.loads(text)
            yield row["arrival_time_ns"] / 1e9 / speed, row["input_tok_ids"], row["output_toks"]


async def main(model: str, trace: str, out: str, speed: str = "1", count: str = "300") -> None:
    """Start the engine, run what is alone and steady, and then the trace."""
    from vllm.engine.arg_utils import AsyncEngineArgs
    from vllm.v1.engine.async_llm import AsyncLLM

    asked = AsyncEngineArgs(
        model=model, load_format="dummy", dtype="bfloat16", seed=42, max_num_seqs=128,
        max_num_batched_tokens=2048, max_model_len=16384,
    )  # fmt: skip
    engine = AsyncLLM.from_engine_args(asked)
    await alone_and_steady(engine)
    start = time.monotonic() + 0.2
    asks = [
        served(engine, f"bench-{number}", ids, output, start + at)
        for number, (at, ids, output) in enumerate(offered(trace, float(speed), int(count)))
    ]
    lines = [json.dumps(row) + "\n" for row in await asyncio.gather(*asks)]
    Path(out).write_text("".join(lines), "utf-8")
    engine.shutdown()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
