"""Times of GenZ (abhibambhaniya/GenZ-LLM-Analyzer, MIT): a roofline, operator by operator.

Looked at was genz-llm 0.0.16. A sum of operators can be taken apart: what attention takes, and all
others. Its tables of layers pass through files, which are kept in a folder that goes again; its own
`prefill_moddeling` and so on would leave theirs. It takes the embedding of a prefill to be a matrix
product, and that of a decode to be nothing; so it counts with the attention of prefills here.
"""

import tempfile
from importlib import metadata
from typing import Any

from msgspec import Struct, field

from tsdl.sources.times import NoSource, NoTime

PACKAGE = "genz-llm"
_MS = 1e-3
_OF_PREFILLS = ("embeddings", "Emb_AR")  # rows that decodes do not have


class _Step(Struct, frozen=True):
    """The seconds of a step: all, those of attention, and those of the embedding of prefills."""

    total: float
    attention: float
    embedding: float


class GenZ(Struct):
    """A model of GenZ on one of its systems; `title` says which."""

    title: str
    model: str
    system: Any
    tensor_parallel: int
    _known: dict[tuple[str, int, int], _Step] = field(default_factory=dict)

    def decodes(self, sequences: int, context: int) -> float:
        """Return the seconds of a step of decodes alone."""
        return self._decode(sequences, context).total

    def others(self, tokens: int) -> float:
        """Return the seconds of all but attention, and but the embedding of prefills."""
        step = self._prefill(tokens, 0)
        return step.total - step.attention - step.embedding

    def prefill(self, tokens: int, past: int) -> float:
        """Return the seconds of the attention and the embedding of one prefill."""
        step = self._prefill(tokens, past)
        return step.attention + step.embedding

    def attention(self, sequences: int, context: int) -> float:
        """Return the seconds of the attention of decodes."""
        return self._decode(sequences, context).attention

    def _prefill(self, tokens: int, past: int) -> _Step:
        return self._step("prefill", tokens, past)

    def _decode(self, sequences: int, context: int) -> _Step:
        return self._step("decode", sequences, context)

    def _step(self, phase: str, count: int, tokens: int) -> _Step:
        found = self._known.get((phase, count, tokens))
        if found is None:
            try:
                found = self._asked(phase, count, tokens)
            except (ArithmeticError, AssertionError, LookupError, ValueError) as error:
                raise NoTime(f"{phase} of {count}, {tokens}: {error}") from error
            self._known[phase, count, tokens] = found
        return found

    def _asked(self, phase: str, count: int, tokens: int) -> _Step:
        import GenZ

        shared = {"name": self.model, "tensor_parallel": self.tensor_parallel}
        with tempfile.TemporaryDirectory() as folder:
            if phase == "prefill":
                layers = GenZ.create_full_chunked_model(
                    prefill_kv_sizes=[(tokens, count)],
                    decode_kv_sizes=[],
                    data_path=folder,
                    **shared,
                )
            else:
                layers = GenZ.create_full_decode_model(
                    input_sequence_length=tokens, output_gen_tokens=0, data_path=folder, **shared
                )
            rows = GenZ.get_model_df(
                layers, self.system, batch_size=1 if phase == "prefill" else count,
                data_path=folder, intermediate_on_chip=True,
            )  # fmt: skip
        embedding = rows[rows["Layer Name"].isin(_OF_PREFILLS)]["Latency (msec)"].sum()
        total = GenZ.get_summary_table(rows)["Latency (msec)"].to_numpy()[0]
        attention = GenZ.get_runtime_breakdown(rows).LA_layers
        return _Step(*(float(each) * _MS for each in (total, attention, embedding)))


def genz(model: str, system: str, efficiency: float, tensor_parallel: int) -> GenZ:
    """Return the times of a model on a system, both by GenZ's names, in bf16. Raises NoSource.

    `efficiency` is what is reached of the peaks, of computing and of memory alike.
    """
    try:
        version = metadata.version(PACKAGE)
        import GenZ as package  # noqa: N813 (its name)
    except ImportError as error:
        raise NoSource(f"{PACKAGE} is not installed: pip install 'tsdl[genz]'") from error
    parallel = f"TP{{{tensor_parallel}}}_EP{{1}}_PP{{1}}"
    try:
        package.get_configs(model)
        made = package.get_inference_system(
            system_name=system, bits="bf16", ceff=efficiency, meff=efficiency,
            parallelism_heirarchy=parallel,
        )  # fmt: skip
    except Exception as error:  # whatever it has against a name
        raise NoSource(f"{PACKAGE} {version} has no {model} on {system}: {error}") from error
    title = f"{PACKAGE} {version}: {model} on {system} at {efficiency:.0%}, tp {tensor_parallel}"
    return GenZ(title, model, made, tensor_parallel)
