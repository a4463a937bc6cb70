"""Diagnostics for other programs: one line each, JSON, GitHub workflow commands, SARIF."""

import json
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from urllib.parse import quote

from tsdl.diagnostics import Diagnostic, Fix, Label, Severity
from tsdl.diagnostics.codes import CATALOGUE, explanation
from tsdl.diagnostics.text import visible
from tsdl.source import Span

_Object = dict[str, object]

_SARIF_SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"
_GITHUB_COMMANDS = {
    Severity.ERROR: "error",
    Severity.WARNING: "warning",
    Severity.NOTE: "notice",
}


def concise(diagnostics: Sequence[Diagnostic]) -> str:
    """Return one line for each: `file:line:col: error[E0301] title`."""
    return "\n".join(map(_concise_line, diagnostics))


def json_text(diagnostics: Sequence[Diagnostic]) -> str:
    """Return a JSON array with one object for each diagnostic, in ASCII.

    The shape is part of the public interface; members may be added, none is removed or changed:

        code, severity, title     strings; severity is error, warning or note
        file, line, column        the place; lines and columns from 1, columns count characters;
        end_line, end_column      the end is one behind the last character;
                                  all five are null where a diagnostic is about no place
        label                     a string about the place, perhaps empty
        secondary                 an array of further places: the five members above, and label
        notes, help               arrays of strings
        fix                       null, or title and edits: an array of the five members above,
                                  and text, which replaces what is there
    """
    return json.dumps([_json_object(found) for found in diagnostics], indent=2)


def brief(diagnostics: Iterable[Diagnostic]) -> list[_Object]:
    """Return of each its `code`, its `title` and its `place` (`file:line:col`, or None)."""
    return [
        {
            "code": found.code,
            "title": _encodable(found.title),
            "place": _encodable(found.span.place) if found.span else None,
        }
        for found in diagnostics
    ]


def github(diagnostics: Sequence[Diagnostic]) -> str:
    """Return one GitHub workflow command for each, which become annotations."""
    return "\n".join(map(_github_command, diagnostics))


def sarif(diagnostics: Sequence[Diagnostic], version: str | None = None) -> str:
    """Return a SARIF 2.1.0 log of one run of the given, else the installed, version of tsdl."""
    codes = sorted({found.code for found in diagnostics})
    driver: _Object = {"name": "tsdl", "rules": [_sarif_rule(code) for code in codes]}
    version = version or _own_version()
    if version:
        driver["version"] = version
    run: _Object = {
        "tool": {"driver": driver},
        "columnKind": "unicodeCodePoints",
        "results": [_sarif_result(found, codes.index(found.code)) for found in diagnostics],
    }
    return json.dumps({"$schema": _SARIF_SCHEMA, "version": "2.1.0", "runs": [run]}, indent=2)


FORMATS: dict[str, Callable[[Sequence[Diagnostic]], str]] = {
    "concise": concise,
    "json": json_text,
    "github": github,
    "sarif": sarif,
}


def _concise_line(diagnostic: Diagnostic) -> str:
    told = f"{diagnostic.severity}[{diagnostic.code}] {diagnostic.title}"
    if diagnostic.span:
        line, column = diagnostic.span.source.position(diagnostic.span.start)
        told = f"{diagnostic.span.source.name}:{line}:{column}: {told}"
    return visible(told)


def _json_object(diagnostic: Diagnostic) -> _Object:
    return {
        "code": diagnostic.code,
        "severity": diagnostic.severity.value,
        "title": _encodable(diagnostic.title),
        **_json_place(diagnostic.span),
        "label": _encodable(diagnostic.label),
        "secondary": [
            {**_json_place(label.span), "label": _encodable(label.text)}
            for label in diagnostic.secondary
        ],
        "notes": [_encodable(note) for note in diagnostic.notes],
        "help": [_encodable(text) for text in diagnostic.help],
        "fix": _json_fix(diagnostic.fix) if diagnostic.fix else None,
    }


def _json_fix(fix: Fix) -> _Object:
    return {
        "title": _encodable(fix.title),
        "edits": [{**_json_place(edit.span), "text": _encodable(edit.text)} for edit in fix.edits],
    }


def _json_place(span: Span | None) -> _Object:
    members = ("file", "line", "column", "end_line", "end_column")
    if span is None:
        return dict.fromkeys(members)
    start, end = span.source.position(span.start), span.source.position(span.end)
    return dict(zip(members, (_encodable(span.source.name), *start, *end), strict=True))


def _encodable(text: str) -> str:
    """Return a text without lone surrogates (from undecodable file names), which JSON forbids."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _github_command(diagnostic: Diagnostic) -> str:
    properties: _Object = {"title": f"tsdl ({diagnostic.code})"}
    if diagnostic.span:
        source = diagnostic.span.source
        line, column = source.position(diagnostic.span.start)
        end_line, end_column = source.position(diagnostic.span.end)
        properties |= {"file": source.name, "line": line, "endLine": end_line}
        if line == end_line:  # GitHub refuses columns on a range of several lines
            properties |= {"col": column, "endColumn": end_column}
    listed = ",".join(f"{name}={_github_property(value)}" for name, value in properties.items())
    message = _github_data(told(diagnostic))
    return f"::{_GITHUB_COMMANDS[diagnostic.severity]} {listed}::{message}"


def _github_data(text: str) -> str:
    # The log is read by people too: what is left of control characters is made visible.
    return visible(text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A"))


def _github_property(value: object) -> str:
    return _github_data(str(value)).replace(":", "%3A").replace(",", "%2C")


def told(diagnostic: Diagnostic) -> str:
    """Return all that a diagnostic says, where there is no room but for one text."""
    lines = [diagnostic.title, diagnostic.label]
    lines += [f"note: {note}" for note in diagnostic.notes]
    lines += [f"help: {text}" for text in diagnostic.help]
    return "\n".join(line for line in lines if line)


def _own_version() -> str | None:
    # Late, because importing it takes longer than everything else here.
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("tsdl")
    except PackageNotFoundError:  # a bare checkout
        return None


def _sarif_rule(code: str) -> _Object:
    rule: _Object = {"id": code}
    known = CATALOGUE.get(code)
    if known:
        rule["shortDescription"] = {"text": known.title}
        rule["defaultConfiguration"] = {"level": known.severity.value}
    page = explanation(code)
    if page:
        rule["help"] = {"text": page, "markdown": page}
    return rule


def _sarif_result(diagnostic: Diagnostic, rule: int) -> _Object:
    result: _Object = {
        "ruleId": diagnostic.code,
        "ruleIndex": rule,
        "level": diagnostic.severity.value,
        "message": {"text": _encodable(told(diagnostic))},
    }
    if diagnostic.span:
        result["locations"] = [_sarif_location(Label(diagnostic.span, diagnostic.label))]
    if diagnostic.secondary:
        result["relatedLocations"] = [
            {"id": number, **_sarif_location(label)}
            for number, label in enumerate(diagnostic.secondary)
        ]
    if diagnostic.fix and diagnostic.fix.edits:
        result["fixes"] = [_sarif_fix(diagnostic.fix)]
    return result


def _sarif_location(label: Label) -> _Object:
    location: _Object = {
        "physicalLocation": {
            "artifactLocation": {"uri": _uri(label.span.source.name)},
            "region": _sarif_region(label.span),
        }
    }
    if label.text:
        location["message"] = {"text": _encodable(label.text)}
    return location


def _sarif_region(span: Span) -> _Object:
    line, column = span.source.position(span.start)
    end_line, end_column = span.source.position(span.end)
    return {
        "startLine": line,
        "startColumn": column,
        "endLine": end_line,
        "endColumn": end_column,
    }


def _sarif_fix(fix: Fix) -> _Object:
    changes: dict[str, list[_Object]] = {}
    for edit in fix.edits:
        changes.setdefault(_uri(edit.span.source.name), []).append(
            {
                "deletedRegion": _sarif_region(edit.span),
                "insertedContent": {"text": _encodable(edit.text)},
            }
        )
    return {
        "description": {"text": _encodable(fix.title)},
        "artifactChanges": [
            {"artifactLocation": {"uri": uri}, "replacements": replacements}
            for uri, replacements in changes.items()
        ],
    }


def _uri(name: str) -> str:
    """Return a file's name as a URI, relative if the name is; a byte that is no text stays one."""
    path = Path(name)
    try:
        if path.is_absolute():
            return path.as_uri()
        return quote(path.as_posix().encode("utf-8", "surrogateescape"))
    except UnicodeEncodeError:  # a surrogate that stands for no byte
        return quote(_encodable(name))
