"""Command lines of serving engines: what `vllm serve` and SGLang's launcher are told."""

from tsdl.imports.engines import sglang as sglang
from tsdl.imports.engines import vllm as vllm
