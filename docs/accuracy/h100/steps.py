"""Notes the steps of vLLM 0.20: goes to the end of vllm/v1/core/sched/scheduler.py.

Writes for each step when it was scheduled and when its tokens were there (s of the monotonic
clock), and what it held: decodes, the sum and the longest of their contexts, and chunks of prompts.
"""

import os
import time
from pathlib import Path
from typing import Any


def _note_steps(scheduler: Any, path: str) -> None:
    """Wrap the scheduler's two ends of a step, so that each step becomes a line of a CSV file."""
    schedule, update = scheduler.schedule, scheduler.update_from_output
    file = Path(f"{path}.{os.getpid()}").open("a", buffering=1, encoding="utf-8")  # noqa: SIM115

    def noted_schedule(self: Any) -> Any:
        begun, step = time.monotonic(), schedule(self)
        decodes: list[tuple[int, int]] = []
        prompts: list[tuple[int, int]] = []
        for name, tokens in step.num_scheduled_tokens.items():
            request = self.requests[name]
            decode = tokens == 1 and request.num_computed_tokens > request.num_prompt_tokens
            (decodes if decode else prompts).append((tokens, request.num_computed_tokens))
        step.noted = (begun, decodes, prompts)
        return step

    def noted_update(self: Any, step: Any, result: Any) -> Any:
        there = time.monotonic()
        begun, decodes, prompts = step.noted
        contexts = [context for _, context in decodes]
        if decodes or prompts:
            row = (len(contexts), sum(contexts), max(contexts, default=0))
            file.write(f'{begun:.6f},{there:.6f},{",".join(map(str, row))},"{prompts}"\n')
        return update(self, step, result)

    scheduler.schedule, scheduler.update_from_output = noted_schedule, noted_update


if "STEPS" in os.environ:
    _note_steps(globals()["Scheduler"], os.environ["STEPS"])
