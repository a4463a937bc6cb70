"""Times of aiconfigurator-core (NVIDIA, Apache-2.0): measured kernels of engines, interpolated.

Asked is `sdk.engine.EngineHandle`, of which version 0.12 was looked at. Its iterations have as many
rows of the head as it says: one for all prefills of a step, which is why decodes alone are asked
for by its `decode_step_latency`.
"""

import contextlib
import io
import logging
from importlib import metadata
from typing import Any

from msgspec import Struct

from tsdl.sources.times import NoSource, NoTime

PACKAGE = "aiconfigurator-core"
_MS = 1e-3


class AIConfigurator(Struct):
    """An engine of aiconfigurator-core; `title` says which."""

    title: str
    engine: Any

    def decodes(self, sequences: int, context: int) -> float:
        """Return the seconds of a step of decodes alone."""
        return self._seconds("decode_step_latency", sequences, context, 0)

    def others(self, tokens: int) -> float:
        """Return the seconds of all but attention, in a mixed step."""
        return self._breakdown(tokens, 0, 1)[1]

    def prefill(self, tokens: int, past: int) -> float:
        """Return the seconds of the attention of one prefill.

        Its own split of a step spreads them over the chunks of a prompt; so they are what a
        prefill alone takes beyond all others.
        """
        whole = self._seconds("predict_prefill_latency", 1, past + tokens, past)
        return max(whole - self.others(tokens), 0.0)

    def attention(self, sequences: int, context: int) -> float:
        """Return the seconds of the attention of decodes in a mixed step."""
        return self._breakdown(0, sequences, context)[3]

    def _breakdown(self, prefilled: int, decoded: int, context: int) -> tuple[float, ...]:
        """Return the seconds of a mixed step: all, others, attention of prefills, of decodes."""
        found = self._asked("mixed_step_breakdown", prefilled, decoded, context, 0)
        return tuple(float(milliseconds) * _MS for milliseconds in found)

    def _seconds(self, method: str, *arguments: int) -> float:
        return float(self._asked(method, *arguments)) * _MS

    def _asked(self, method: str, *arguments: int) -> Any:  # noqa: ANN401 (a time, or four)
        try:
            return getattr(self.engine, method)(*arguments)
        except (RuntimeError, ValueError) as error:  # what it has no data for
            raise NoTime(f"{method}{arguments}: {error}") from error


def aiconfigurator(
    model: str, system: str, backend: str, devices: int, *, whole_experts: bool = False
) -> AIConfigurator:
    """Return the engine for a model that it knows, on one of its systems. Raises NoSource.

    Experts are divided as all else is, or among the devices as they are.
    """
    parallel = f"{'ep' if whole_experts else 'tp'} {devices}"
    try:
        version = metadata.version(PACKAGE)
        with _quiet():
            from aiconfigurator_core.sdk.engine import EngineHandle
            from aiconfigurator_core.sdk.perf_database import resolve_query_version
    except ImportError as error:
        raise NoSource(f"{PACKAGE} is not installed: pip install 'tsdl[aiconfigurator]'") from error
    try:
        with _quiet():
            measured = resolve_query_version(system, backend, "current")
            engine = EngineHandle.compile(
                model, system, backend, backend_version=measured, tp_size=devices,
                moe_tp_size=1 if whole_experts else devices,
                moe_ep_size=devices if whole_experts else 1,
            )  # fmt: skip
    except Exception as error:  # whatever it has against a name
        said = f"{PACKAGE} {version} has nothing for {model} on {system} with {backend}"
        raise NoSource(f"{said}, {parallel}: {error}") from error
    served = f"{model} on {system} with {backend} {measured}, {parallel}"
    return AIConfigurator(f"{PACKAGE} {version}: {served}", engine)


@contextlib.contextmanager
def _quiet() -> Any:  # noqa: ANN401 (a context)
    """Keep it from telling of each file that it reads."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        logging.disable(before)
