"""Builds the wheel with compiled engines where TSDL_COMPILED=1 asks for it; else it does nothing.

The modules that `modules` in pyproject.toml names become extension modules by mypyc, beside their
sources. Nothing is written into the checkout.
"""

from __future__ import annotations

import os
import sys
from contextlib import chdir
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

_ASKED = "TSDL_COMPILED"
_LIBRARY = "tsdl"  # what the modules share is `tsdl__mypyc`, beside the package
# No product and sum in one rounding: the bytes are to be those of the interpreter.
_EXACT = [] if sys.platform == "win32" else ["-ffp-contract=off"]


class CompiledEngines(BuildHookInterface[Any]):
    """Adds extension modules to a wheel."""

    @property
    def _asked(self) -> bool:
        return self.target_name == "wheel" and os.environ.get(_ASKED, "") not in {"", "0"}

    def dependencies(self) -> list[str]:
        """Return what compiling takes: mypy, and all packages whose types it reads."""
        if not self._asked:
            return []
        # Another minor version may compile otherwise: the tests compare what this one makes.
        return ["mypy[mypyc]>=2.4,<2.5", *self.metadata.core.dependencies]

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compile, and have the wheel hold what comes of it."""
        if not self._asked:
            return
        if version == "editable":
            message = (
                f"an editable installation runs its sources: unset {_ASKED}, or leave out `-e`"
            )
            raise RuntimeError(message)
        built = TemporaryDirectory(prefix="tsdl-compiled-", ignore_cleanup_errors=True)
        self._built = built  # goes when the hook does, after the wheel is written
        folder = Path(built.name)
        compile_modules(Path(self.root), self.config["modules"], folder)
        library = folder / "lib"
        for file in sorted(library.rglob("*")):
            if file.is_file():
                build_data["force_include"][str(file)] = file.relative_to(library).as_posix()
        build_data["pure_python"] = False
        build_data["infer_tag"] = True


def compile_modules(root: Path, modules: list[str], folder: Path) -> None:
    """Compile modules of a checkout into `lib` of a folder."""
    from mypyc.build import mypycify
    from setuptools import Distribution

    options = [
        f"--cache-dir={folder / 'mypy'}",
        f"--python-executable={sys.executable}",
        "--follow-imports=silent",  # other modules are read for their types
    ]
    with chdir(root):
        extensions = mypycify(
            [*options, *modules],
            opt_level="2",
            debug_level="0",
            target_dir=str(folder / "c"),
            group_name=_LIBRARY,
        )
        for extension in extensions:
            extension.extra_compile_args += _EXACT
        build = Distribution({"name": "tsdl", "ext_modules": extensions}).get_command_obj(
            "build_ext"
        )
        build.build_lib, build.build_temp = str(folder / "lib"), str(folder / "objects")
        build.ensure_finalized()
        build.run()
