"""What people hand in from Python: seen to be of its kind, before somebody takes it for another."""

from collections.abc import Iterable, Mapping
from os import PathLike, fspath


def by_name(given: object, argument: str) -> dict[str, object]:
    """Return what an argument holds by name; nothing where it is left out. Raises TypeError."""
    if given is None:
        return {}
    if not isinstance(given, Mapping):
        raise TypeError(f"`{argument}` has values by name, {{name: value}}; {_told(given)} has not")
    return dict(given)


def texts(given: object, argument: str) -> dict[str, str]:
    """Return the texts that an argument holds by name. Raises TypeError."""
    found = by_name(given, argument)
    for name, text in found.items():
        if not isinstance(text, str):
            raise TypeError(f"`{argument}` holds texts; {name!r} is there {_told(text)}")
    return {name: text for name, text in found.items() if isinstance(text, str)}


def several(given: Iterable[object] | object) -> list[object]:
    """Return what may be several, or a single text or path: its letters are nobody's names."""
    if isinstance(given, (str, PathLike)) or not isinstance(given, Iterable):
        return [given]
    return list(given)


def folders(given: object) -> list[str]:
    """Return the folders that `allow` names, one or several. Raises TypeError."""
    found = several(given)
    for folder in found:
        if not isinstance(folder, (str, PathLike)):
            raise TypeError(f"`allow` has folders; {_told(folder)} is none")
    return [fspath(folder) for folder in found]  # type: ignore[call-overload]


def names(given: object, argument: str) -> list[str]:
    """Return one name or several. Raises TypeError."""
    found = several(given)
    for name in found:
        if not isinstance(name, str):
            raise TypeError(f"`{argument}` has names; {_told(name)} is none")
    return [str(name) for name in found]


def of_kind(given: object, kinds: tuple[type, ...], argument: str, meant: str) -> None:
    """See that an argument is of one of some kinds. Raises TypeError, which says what is meant."""
    if not isinstance(given, kinds):
        raise TypeError(f"`{argument}` is {meant}; {_told(given)} is not")


def _told(given: object) -> str:
    kind = type(given).__name__
    return f"{'an' if kind[0].lower() in 'aeiou' else 'a'} {kind}"
