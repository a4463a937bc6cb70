"""Configurations of other simulators and of models, and engines' command lines, made into TSDL."""

from collections.abc import Callable, Sequence

from tsdl.diagnostics import Sink
from tsdl.formatting import in_style
from tsdl.imports import huggingface, llm_inference_simulator, tokensim
from tsdl.imports.documents import File
from tsdl.imports.engines import sglang, tensorrt_llm, vllm
from tsdl.imports.engines.configuration import REQUESTS

Reader = Callable[[Sequence[File], Sequence[str], Sink], str | None]
Given = tuple[str, str] | File


def _in_style(read: Reader) -> Callable[[Sequence[Given], Sequence[str], Sink], str | None]:
    """Return what writes the same programs in the style of `tsdl fmt`."""

    def read_and_format(files: Sequence[Given], flags: Sequence[str], sink: Sink) -> str | None:
        text = read([File(*file) for file in files], flags, sink)
        return None if text is None else in_style(text)

    return read_and_format


# Each takes the files and the flags of that simulator's own command
# line (hf has none). It returns the text of a .tsim file, or None where the sink has errors.
FORMATS = {
    "tokensim": _in_style(tokensim.read),
    "llm-inference-simulator": _in_style(llm_inference_simulator.read),
    "hf": _in_style(huggingface.read),
    "vllm": _in_style(vllm.read),
    "sglang": _in_style(sglang.read),
    "trtllm": _in_style(tensorrt_llm.read),
}
# Formats that are no file but a command line: its text stands in the place of a path.
COMMANDS = ("vllm", "sglang", "trtllm")
# Files beside those that are named, which the programs made of these read.
READ_BESIDE = (REQUESTS,)
_FILE_FLAGS = {
    "tokensim": tokensim.FILE_FLAGS,
    "llm-inference-simulator": llm_inference_simulator.FILE_FLAGS,
    "hf": huggingface.FILE_FLAGS,
    "vllm": vllm.FILE_FLAGS,
    "sglang": sglang.FILE_FLAGS,
    "trtllm": tensorrt_llm.FILE_FLAGS,
}


def named_files(form: str, flags: Sequence[str]) -> list[str]:
    """Return the paths that flags of a format name, for whoever reads files."""
    found = []
    for flag, after in zip(flags, [*flags[1:], ""], strict=False):
        name, given, value = flag.removeprefix("--").partition("=")
        path = value if given else after
        key = name.replace("-", "_")
        if flag.startswith("--") and key in _FILE_FLAGS[form] and "." in path:
            found.append(path)
    return found


__all__ = ["COMMANDS", "FORMATS", "READ_BESIDE", "File", "Reader", "named_files"]
