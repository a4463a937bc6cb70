"""Speculative decoding in engines' flags: how many tokens are drafted, and what drafts them."""

from collections.abc import Mapping

from tsdl.imports.documents import parsed
from tsdl.imports.engines.checkpoints import checkpoint
from tsdl.imports.engines.serving import Serving
from tsdl.imports.library import declares
from tsdl.writing import Block, Line, tokens

CONFIG = "--speculative-config"
_MOST = 1000  # tokens
_USUAL_STEPS = 3  # of SGLang, for most models (python/sglang/srt/server_args.py)
# Drafters that are a layer of the model with a head of its own; and such as compute nothing.
_LAYERS = ("eagle", "eagle3", "mtp", "nextn")  # or whatever ends so: `qwen3_5_mtp`
_NOTHING = ("ngram", "[ngram]", "ngram_gpu", "suffix")
_OTHER = "the drafter is not known: what it takes is left out; name it as `drafter` of `speculate`"
STAGES = "stages of a pipeline do not speculate: nothing is drafted"
_NO_CONFIG = "is no JSON with `num_speculative_tokens`: nothing is drafted"


def speculate(serving: Serving, flag: str, ahead: int, method: str, drafter: str) -> int:
    """Put down that so many tokens are drafted, by a method or by a model of a name; return it."""
    known = checkpoint(drafter).name if drafter else ""
    method = method.lower()
    by: list[Line | Block] = []
    if method.endswith(_LAYERS) or (not method and "eagle" in drafter.lower()):
        by.append(Line(_layer(serving), f"{method or 'EAGLE'}: a layer of the model", "drafter"))
        by.append(Line("true", "with the embedding and head of the model", "shared_ends"))
    elif known and method not in _NOTHING:
        by.append(Line(known, drafter[:60], "drafter"))
    elif method not in _NOTHING and drafter.lower() not in _NOTHING:
        serving.flags.unread(flag, _OTHER)
    serving.deployment.scheduler.local.append(
        Block(
            "speculate",
            [
                Line(tokens(ahead), flag, "tokens"),
                Line("70 %", "assumed: engines report their acceptance rate", "acceptance(r)"),
                *by,
            ],
        )
    )
    return ahead


def fitting(serving: Serving, flag: str, sequences: int, budget: int, ahead: int) -> int:
    """Return how many sequences may run at once: an iteration has all tokens of each."""
    most = max(budget // (1 + ahead), 1)
    if sequences > most:
        serving.flags.unread(
            flag, f"no more than {most} sequences decode in a step of {budget} tokens"
        )
    return min(sequences, most)


def _layer(serving: Serving) -> str:
    """Declare a drafter of one layer, with attention; return its name."""
    name = serving.model.name
    apart = declares(name, "ffn_layers")  # a feed-forward network counts as a layer of its own
    members: list[Line | Block] = [Line("2" if apart else "1", "", "layers")]
    usual = {"ffn_layers": 1, "indexed_layers": 1}
    others = ("dense_layers", "windowed_layers", "recurrent_layers", *usual)
    members += [Line(str(usual.get(key, 0)), "", key) for key in others if declares(name, key)]
    like = serving.deployment.model_name if serving.model.members else name  # in its formats
    serving.deployment.declarations.append(Block(f"model drafter from {like}", members))
    return "drafter"


def of_config(serving: Serving, *, stages: int) -> tuple[int, str]:
    """Read vLLM's `--speculative-config`, in JSON or key by key; and the flags before it.

    Return how many tokens are drafted, and the flag that says it.
    """
    flags = serving.flags
    given: dict[str, object] = {}
    asked = [key for key in flags.entries if key.partition(".")[0] == CONFIG]
    for key in asked:
        text, part = flags.text(key) or "", key.partition(".")[2]
        found = {part: parsed(text)} if part else parsed(text)
        given |= found if isinstance(found, Mapping) else {}
    old = flags.whole("--num-speculative-tokens", 1, _MOST)
    drafter = flags.text("--speculative-model")
    ahead = given.get("num_speculative_tokens", old)
    if not (type(ahead) is int and 0 < ahead <= _MOST):
        for key in asked:
            flags.unread(key, _NO_CONFIG)
        return 0, ""
    flag = asked[0] if asked else "--num-speculative-tokens"
    if stages > 1:
        flags.unread(flag, STAGES)
        return 0, ""
    method, model = given.get("method"), given.get("model", drafter)
    names = [said if isinstance(said, str) else "" for said in (method, model)]
    return speculate(serving, flag, ahead, *names), flag


def of_steps(serving: Serving, *, stages: int) -> tuple[int, str]:
    """Read SGLang's flags: a chain of so many steps, or a tree of drafts, which is none here.

    Return how many tokens are drafted, and the flag that says it.
    """
    flags = serving.flags
    method = flags.text("--speculative-algorithm")
    steps = flags.whole("--speculative-num-steps", 1, _MOST)
    drafts = flags.whole("--speculative-num-draft-tokens", 2, _MOST)
    branches = flags.whole("--speculative-eagle-topk", 1, _MOST) or 1
    drafter = flags.text("--speculative-draft-model-path") or ""
    flag = "--speculative-algorithm"
    if method is None:
        return 0, ""
    if stages > 1:
        flags.unread(flag, STAGES)
        return 0, ""
    if branches > 1:
        flags.unread("--speculative-eagle-topk", "drafts are chains: the branches are left out")
    ahead = steps or (drafts - 1 if drafts else _USUAL_STEPS)
    return speculate(serving, flag, ahead, method, drafter), flag
