"""The library's models against what is published of them, and what is proved of their costs."""

import math
from collections.abc import Callable

import pytest

import tsdl
from tests.models_on_devices import plan_of, worker_of
from tsdl.facts import facts_of

# -- what is published -------------------------------------------------------------------------

# Billions of parameters, in all and for a token; the latter without the embedding's table where the
# model card says so. Sources: stdlib/models.tsim.
PUBLISHED: dict[str, tuple[float, float | None]] = {
    "mixtral_8x7b": (46.7, 12.9),
    "mixtral_8x22b": (141, 39),
    "qwen3_30b_a3b": (30.5, 3.3),
    "qwen3_235b_a22b": (235, 22),
    "gpt_oss_20b": (20.91, 3.61),
    "gpt_oss_120b": (116.83, 5.13),
    "llama4_scout": (109 - 0.86, 17),  # less its vision encoder: 34 layers of 1408
    "llama4_maverick": (400 - 0.86, 17),
    "deepseek_v2": (236, 21),
    "deepseek_v3": (671, 37),
    "gemma3_4b": (3.884, None),
    "gemma3_12b": (11.771, None),
    "gemma3_27b": (27.0, None),
    "qwen3_coder_30b_a3b": (30.5, 3.3),
    "qwen3_coder_480b_a35b": (480, 35),
    "glm4_5": (355, 32),
    "glm4_5_air": (106, 12),
    "kimi_k2": (1026.5, 32.6),
    "phi4_14b": (14.66, None),
    "mistral_small_24b": (23.57, None),
    "mistral_small_3_1_24b": (23.57, None),
    "r1_distill_qwen_1_5b": (1.78, None),
    "mistral_7b": (7.242, None),
}
# Rows of the embedding that are read one at a time are not active in gpt-oss's card, and neither is
# lm_head in GLM-4.5's.
NOT_ACTIVE = {
    "gpt_oss_20b": 201_088 * 2880,
    "gpt_oss_120b": 201_088 * 2880,
    "glm4_5": 2 * 151_552 * 5120,
    "glm4_5_air": 2 * 151_552 * 4096,
}


@pytest.mark.parametrize("model", PUBLISHED)
def test_a_model_has_the_parameters_that_are_published(model: str) -> None:
    published, _ = PUBLISHED[model]
    assert math.isclose(plan_of(model).models[0].parameters / 1e9, published, rel_tol=0.01)


# Layers with experts, experts, active ones, the three matrices of an expert.
EXPERTS = {
    "mixtral_8x7b": (32, 8, 2, 3 * 4096 * 14_336),
    "mixtral_8x22b": (56, 8, 2, 3 * 6144 * 16_384),
    "qwen3_30b_a3b": (48, 128, 8, 3 * 2048 * 768),
    "qwen3_235b_a22b": (94, 128, 8, 3 * 4096 * 1536),
    "gpt_oss_20b": (24, 32, 4, 3 * 2880 * 2880),
    "gpt_oss_120b": (36, 128, 4, 3 * 2880 * 2880),
    "qwen3_coder_30b_a3b": (48, 128, 8, 3 * 2048 * 768),
    "qwen3_coder_480b_a35b": (62, 160, 8, 3 * 6144 * 2560),
    "llama4_scout": (48, 16, 1, 3 * 5120 * 8192),
    "llama4_maverick": (24, 128, 1, 3 * 5120 * 8192),
    "glm4_5": (89, 160, 8, 3 * 5120 * 1536),
    "glm4_5_air": (45, 128, 8, 3 * 4096 * 1408),
    "kimi_k2": (60, 384, 8, 3 * 7168 * 2048),
    "deepseek_v2": (59, 160, 6, 3 * 5120 * 1536),
    "deepseek_v3": (58, 256, 8, 3 * 7168 * 2048),
}


@pytest.mark.parametrize("model", EXPERTS)
def test_a_token_uses_the_parameters_that_are_published(model: str) -> None:
    layers, experts, active, size = EXPERTS[model]
    idle = layers * (experts - active) * size
    idle += NOT_ACTIVE.get(model, 0)
    used = (plan_of(model).models[0].parameters - idle) / 1e9
    published = PUBLISHED[model][1]
    assert published is not None
    assert math.isclose(used, published, rel_tol=0.02)


@pytest.mark.parametrize(("model", "gib"), [("gpt_oss_20b", 12.8), ("gpt_oss_120b", 60.8)])
def test_experts_in_fp4_take_what_the_checkpoint_does(model: str, gib: float) -> None:
    """The checkpoints' sizes: gpt-oss's model card (arXiv:2508.10925), table 1."""
    assert math.isclose(worker_of(model).weights / 2**30, gib, rel_tol=0.01)


def test_latent_attention_keeps_576_elements_a_token_on_every_device() -> None:
    """Published: 70.272 KB a token for V3 (arXiv:2505.09343, table 1)."""
    assert worker_of("deepseek_v3").kv.bytes_per_token == 61 * (512 + 64) * 2 == 70_272
    assert worker_of("deepseek_v3", "tp(8)").kv.bytes_per_token == 8 * 70_272


# -- what is proved ----------------------------------------------------------------------------


@pytest.mark.parametrize("model", [model for model in PUBLISHED if model != "phi4_14b"])
@pytest.mark.parametrize("parallel", ["tp(4)", "ep(4, imbalance = 1.3)", "ep(4, ranks = 2)"])
def test_their_costs_are_proved_to_grow(model: str, parallel: str) -> None:
    """Phi-4 aside, whose 10 heads of keys and values four devices cannot share."""
    plan = plan_of(model, parallel)
    assert [rung.name for rung in plan.rungs] == ["stepped" if "ranks" in parallel else "lazy"]
    facts = facts_of(plan)[0]
    assert (facts.monotone, facts.rising, facts.never_negative) == (True, True, True)


RUNS: dict[str, Callable[[], tsdl.Plan]] = {
    "experts": lambda: plan_of("qwen3_30b_a3b", "ep(4, ranks = 2)"),
    "latent": lambda: plan_of("deepseek_v3", "tp(8)"),
    "windows": lambda: plan_of("gpt_oss_20b", "tp(2)", kv="hybrid"),
}


@pytest.mark.parametrize("name", RUNS)
def test_both_engines_agree_on_them(name: str) -> None:
    plan = RUNS[name]()
    fast, reference = (plan.run(engine=engine) for engine in ("fast", "reference"))
    assert fast.summary == reference.summary
    assert fast.summary["requests"]["finished"] == 20
