"""Costs in each compiled form: what is added in which order, and that all give the same."""

from dataclasses import fields

import pytest

from tests.models_on_devices import amount
from tests.priced import worker_of
from tests.summed_batches import BATCHES, batch_of
from tsdl.costs import Batch, DecodeTime, compiled, compiled_features
from tsdl.formula import symbols


@pytest.mark.parametrize("batch", BATCHES)
@pytest.mark.parametrize("devices", [1, 2])
def test_kernels_are_added_by_the_features_that_they_depend_on(batch: str, devices: int) -> None:
    """Within a stage and then over the stages; what grows with the contexts comes last."""
    cost = worker_of(devices=devices).cost
    parts: dict[frozenset[str], float] = {frozenset(): 0.0}
    for stage in cost.stages:
        here: dict[frozenset[str], float] = {}
        for kernel in stage.kernels:
            used = frozenset(symbols(kernel.time))
            time = amount(kernel.time, BATCHES[batch])
            here[used] = here[used] + time if used in here else time
        for used, time in here.items():
            parts[used] = (
                parts[used] + time * stage.repeat if used in parts else time * stage.repeat
            )
    last = [used for used in parts if used & {"contexts", "context_blocks", "longest_context"}]
    total = 0.0
    for used in [used for used in parts if used not in last] + last:
        total += parts[used]
    assert compiled(cost)(BATCHES[batch]) == total


@pytest.mark.parametrize("batch", BATCHES)
def test_a_cost_of_features_is_that_of_the_batch(batch: str) -> None:
    cost = worker_of().cost
    known = [getattr(BATCHES[batch], field.name) for field in fields(Batch)]
    assert compiled_features(cost, {})(*known) == compiled(cost)(BATCHES[batch])


@pytest.mark.parametrize("contexts", [(1,), (500,), (17, 400, 3000), tuple(range(1, 200))])
def test_the_time_of_decodes_is_that_of_their_batch(contexts: tuple[int, ...]) -> None:
    batch = batch_of(contexts=contexts)
    cost = worker_of().cost
    fixed, growing = DecodeTime(cost, {}).of(len(contexts))
    assert growing is not None
    features = (batch.contexts, batch.context_blocks, batch.longest_context)
    assert growing(*features) == compiled(cost)(batch)
    assert 0 < fixed < growing(*features)
