"""Files that are one JSON document: conversations of ShareGPT, and pairs of lengths."""

import json
from collections.abc import Callable, Iterator
from itertools import pairwise

from tsdl.diagnostics import Sink
from tsdl.source import Source, Span
from tsdl.traces.lines import Cells, Lines, why_no_json

# Returns the number of tokens of a text.
Counter = Callable[[str], int]

PROMPT, OUTPUT, ARRIVED = "prompt_len", "output_len", "start_time"
_ASKED, _ANSWERED = ("human", "user"), ("gpt", "chatgpt", "assistant", "bing", "bard")
OF_RESULT = "input_lens"  # a list that each result of `vllm bench serve` has
_PAIR = 2
NONE = object()  # what a file holds that is no document: `null` is one


def conversation_lines(source: Source, sink: Sink, count: Counter | None) -> Lines | None:
    """Return the first question and answer of each conversation, by their lengths.

    An entry is one of ShareGPT, whose texts are counted by `count`; one with `prompt_len` and
    `output_len`; or a pair of lengths. A conversation in which no question has an answer has the
    output 0.
    """
    found = document(source, "E0601", sink)
    if found is NONE:
        return None
    if not isinstance(found, list) or not found:
        sink.error("E0601", "the file is no JSON list of requests", _start(source))
        return None
    talks = any(isinstance(entry, dict) and "conversations" in entry for entry in found)
    if talks and count is None:
        help_ = 'name one: `tokenizer = "tokenizer.json"`, or give `prompt_len` and `output_len`'
        title = "the lengths of conversations need a tokenizer"
        sink.error("E0602", title, _start(source), help=(help_,))
        return None
    first = found[0]
    if isinstance(first, dict) and OF_RESULT in first:
        title = "a result of `vllm bench serve` is one JSON object, and this is a list of them"
        sink.error("E0601", title, _start(source), help=("split it, one to a file",))
        return None
    names: tuple[str, ...] = (PROMPT, OUTPUT)  # those of pairs, and of what is counted
    if isinstance(first, dict) and "conversations" in first:
        names = (*((ARRIVED,) if ARRIVED in first else ()), *names)
    elif isinstance(first, dict):
        names = tuple(first)
    return Lines(names, 1, False, _entries(found, count), True)  # noqa: FBT003


def _entries(found: list[object], count: Counter | None) -> Iterator[tuple[int, Cells | str]]:
    for entry in found:
        if isinstance(entry, list) and len(entry) == _PAIR:
            yield 1, dict(zip((PROMPT, OUTPUT), entry, strict=True))
        elif not isinstance(entry, dict):
            yield 1, "it is a JSON object, or a pair of lengths"
        elif "conversations" in entry and count is not None:
            yield 1, _conversation(entry["conversations"], count)
        else:
            yield 1, entry


def _conversation(turns: object, count: Counter) -> Cells | str:
    """Return the lengths of the first question that has an answer."""
    if not isinstance(turns, list) or not all(isinstance(turn, dict) for turn in turns):
        return "`conversations` is a list of JSON objects"
    for asked, answered in pairwise(turns):
        if asked.get("from") in _ASKED and answered.get("from") in _ANSWERED:
            texts = (asked.get("value"), answered.get("value"))
            if not all(isinstance(text, str) for text in texts):
                return "`value` is a text"
            prompt, output = (count(str(text)) for text in texts)
            return {PROMPT: prompt, OUTPUT: output if prompt else 0}
    return {PROMPT: 0, OUTPUT: 0}


def document(source: Source, code: str, sink: Sink) -> object:
    """Return what a JSON document holds; NONE, told by a code, if it is none."""
    try:
        return json.loads(source.text)
    except json.JSONDecodeError as error:
        place = Span(source, error.pos, min(error.pos + 1, len(source.text)))
        if error.msg == "Extra data":  # vLLM's `--append-result` puts a result behind the other
            title, help_ = "this file holds more than one JSON document", "split it, one to a file"
            sink.error(code, title, place, "the second", help=(help_,))
        else:
            sink.error(code, f"this is not JSON: {why_no_json(error)}", place)
    except (ValueError, RecursionError) as error:
        sink.error(code, f"this is not JSON: {why_no_json(error)}", _start(source))
    return NONE


def _start(source: Source) -> Span:
    return Span(source, 0, 0)
