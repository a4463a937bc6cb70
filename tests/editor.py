"""An editor for the tests: starts `tsdl lsp` and speaks JSON-RPC with it over its streams."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]


class Editor:
    """A client of a server of its own; what the server tells unasked is kept in `told`."""

    def __init__(self, folder: Path, encodings: list[str] | None = None) -> None:
        """Start a server for a folder; columns are counted in the first encoding it knows."""
        self.server = subprocess.Popen(
            [sys.executable, "-m", "tsdl", "lsp", "--stdio"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )  # fmt: skip
        self.last = 0
        self.told: list[dict[str, Any]] = []
        self.versions: dict[str, int] = {}
        general = {"positionEncodings": encodings} if encodings else {}
        self.abilities = self.ask(
            "initialize",
            processId=None,
            rootUri=folder.as_uri(),
            workspaceFolders=[{"uri": folder.as_uri(), "name": "tests"}],
            capabilities={"general": general},
        )["capabilities"]
        self.tell("initialized")

    def __enter__(self) -> "Editor":
        return self

    def __exit__(self, *_: object) -> None:
        self.ask("shutdown")
        self.tell("exit")
        assert self.server.stdin
        assert self.server.stdout
        self.server.stdin.close()
        self.status = self.server.wait(30)
        self.server.stdout.close()

    # -- messages ------------------------------------------------------------------------------

    def _send(self, message: dict[str, Any]) -> None:
        body = json.dumps({"jsonrpc": "2.0", **message}).encode()
        assert self.server.stdin
        self.server.stdin.write(b"Content-Length: %d\r\n\r\n%b" % (len(body), body))
        self.server.stdin.flush()

    def _receive(self) -> dict[str, Any]:
        assert self.server.stdout
        size = 0
        while line := self.server.stdout.readline().strip():
            if line.lower().startswith(b"content-length:"):
                size = int(line.split(b":")[1])
        assert size, "the server has stopped"
        found: dict[str, Any] = json.loads(self.server.stdout.read(size))
        return found

    def tell(self, method: str, **params: Any) -> None:  # noqa: ANN401 (JSON)
        """Send a notification."""
        self._send({"method": method, "params": params})

    def ask(self, method: str, **params: Any) -> Any:  # noqa: ANN401
        """Return the result of a request; what comes before it is kept. A refusal is raised."""
        self.last += 1
        self._send({"id": self.last, "method": method, "params": params})
        while True:
            found = self._receive()
            if found.get("id") == self.last and "method" not in found:
                if "error" in found:
                    raise Refused(found["error"]["message"])
                return found["result"]
            self.told.append(found)

    def spent(self) -> float:
        """Return the seconds of the processor that the server has used; 0 where nobody knows."""
        try:
            told = Path(f"/proc/{self.server.pid}/stat").read_text("ascii").rpartition(")")[2]
        except OSError:
            return 0.0
        user, system = told.split()[11:13]
        return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")

    def findings(self, path: Path) -> list[dict[str, Any]]:
        """Return the next diagnostics of a file."""
        while True:
            for index, found in enumerate(self.told):
                if (
                    found.get("method") == "textDocument/publishDiagnostics"
                    and found["params"]["uri"] == path.as_uri()
                ):
                    del self.told[index]
                    diagnostics: list[dict[str, Any]] = found["params"]["diagnostics"]
                    return diagnostics
            self.told.append(self._receive())

    # -- what people do ------------------------------------------------------------------------

    def open(self, path: Path, text: str | None = None) -> None:
        """Open a file, with the text that it has if no other is given."""
        text = path.read_bytes().decode("utf-8") if text is None else text
        self.versions[path.as_uri()] = 1
        document = {"uri": path.as_uri(), "languageId": "tsim", "version": 1, "text": text}
        self.tell("textDocument/didOpen", textDocument=document)

    def type(self, path: Path, text: str, start: tuple[int, int], end: tuple[int, int]) -> None:
        """Put a text between two places, as an editor tells it."""
        self.versions[path.as_uri()] += 1
        self.tell(
            "textDocument/didChange",
            textDocument={"uri": path.as_uri(), "version": self.versions[path.as_uri()]},
            contentChanges=[{"range": {"start": place(start), "end": place(end)}, "text": text}],
        )

    def close(self, path: Path) -> None:
        """Close a file."""
        del self.versions[path.as_uri()]
        self.tell("textDocument/didClose", textDocument={"uri": path.as_uri()})

    def at(self, method: str, path: Path, where: tuple[int, int], **more: Any) -> Any:  # noqa: ANN401
        """Ask about a place: line and column from 0."""
        return self.ask(
            f"textDocument/{method}", textDocument={"uri": path.as_uri()},
            position=place(where), **more,
        )  # fmt: skip


class Refused(Exception):
    """What the server says why it does not do what was asked."""


def place(where: tuple[int, int]) -> dict[str, int]:
    return {"line": where[0], "character": where[1]}


def start_of(found: dict[str, Any]) -> tuple[int, int]:
    """Return where a range begins."""
    return found["range"]["start"]["line"], found["range"]["start"]["character"]
