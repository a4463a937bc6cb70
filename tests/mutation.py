"""Programs broken at random: parts of a text cut off, deleted, doubled, swapped or replaced."""

import random
import re
from collections.abc import Sequence

TOKEN = re.compile(
    r'"[^"\n]*"|\#[^\n]*|[A-Za-z_%µ][\w^/*%µ]*|[0-9][0-9_.]*|\*\*|//|[<>=!+-]=|\.\.|\s+|.',
    re.DOTALL,
)
# What else may come to stand where a token was.
WORDS = r"""
0|-1|0.5|1e30|-1e-30|1/0|1 s|1 GB|0 s|50 %|1..2|[]|[1]|""|"x"|true|false|base.x|( )|[|]|{|}|,|;|:|.
=|==|*|**|/|//|-|not|and|if|else|for|in|when|by|from|tokens|requests|r|w|workers|heads|ttft|pick
tp(2)|p99(ttft)|poisson|quantiles|random|single|sum|min|max|sqrt(-1)|llama2_7b|A100_80G|fp16|sharegpt
"""
OTHERS = re.split(r"[|\n]", WORDS)
OTHERS += ["\n", "\t", "\r", "\0", "é", "\ud800", "\u2028", "\ufeff", '"', "'", "#", "%"]


def mutation(chance: random.Random, text: str, others: Sequence[str] = OTHERS) -> str:
    """Return the text with one to three things cut off, deleted, doubled, swapped or replaced."""
    for _ in range(chance.choice((1, 1, 2, 3))):
        kind = chance.choice(("cut", "character", "token", "token", "token"))
        if kind == "cut":
            text = text[: chance.randrange(len(text) + 1)]
            continue
        parts = TOKEN.findall(text) if kind == "token" else list(text)
        solid = [index for index, part in enumerate(parts) if not part.isspace()]
        if not solid:
            return text
        here, there = chance.choice(solid), chance.choice(solid)
        match chance.choice(("delete", "double", "swap", "copy", "replace")):
            case "delete":
                parts[here] = ""
            case "double":
                parts[here] += parts[here]
            case "swap":
                parts[here], parts[there] = parts[there], parts[here]
            case "copy":
                parts[here] = parts[there]
            case _:
                parts[here] = chance.choice(others)
        text = "".join(parts)
    return text
