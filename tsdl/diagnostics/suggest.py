"""Which known names a misspelt one may have meant.

Names are compared with case and underscores folded away. The likest are those that are then the
same. Next come those that have the same words in another order (`RTX_6000_PRO` for `RTX_PRO_6000`)
or go on where the name ends (`H100` for `H100_SXM`). For others the measure is the number of single
edits (insert, delete, replace, swap two neighbours) that lead from one to the other; a third of
the name may be wrong, at least one character, and at least one must be right.
"""

import re
from bisect import insort
from collections.abc import Iterable

# Nobody misspells a name so long or so thoroughly by hand, and the work grows with both.
_LONGEST = 60
_MOST_EDITS = 6
_SAME, _OF_WORDS = -1, 0  # what counts before any number of edits
_LEAST = 3  # characters that a name must have for others to go on where it ends
_WORD = re.compile(r"[^\W\d_]+|\d+")


def nearest(name: str, candidates: Iterable[str]) -> str | None:
    """Return the candidate that is most like a name, or None if none is close."""
    return next(iter(close(name, candidates, at_most=1)), None)


def close(name: str, candidates: Iterable[str], at_most: int = 4) -> list[str]:
    """Return the candidates that are close to a name, the closest first, then by alphabet."""
    wanted, words = _folded(name), _words(name)
    letters = set(wanted)
    limit = max(1, min(len(wanted) // 3, _MOST_EDITS))
    found: list[tuple[int, str]] = []
    for candidate in dict.fromkeys(candidates):
        known = _folded(candidate)
        if candidate == name:
            continue
        if wanted == known or _of_the_same_words(name, words, candidate):
            _keep(found, _SAME if wanted == known else _OF_WORDS, candidate, at_most)
            continue
        allowed = _allowed(limit, max(len(wanted), len(known)))
        # Both tests are cheap and never refuse what the edits would allow: each edit changes the
        # length by at most one, and brings at most one new letter.
        if abs(len(wanted) - len(known)) > allowed or len(letters.difference(known)) > allowed:
            continue
        distance = _distance(wanted, known, allowed)
        if distance <= allowed:
            _keep(found, distance, candidate, at_most)
            if len(found) == at_most:
                limit = max(found[-1][0], 0) if found else 0  # a worse one would not be kept
    return [candidate for _, candidate in found]


def meant(name: str, candidates: Iterable[str], at_most: int = 4) -> list[str]:
    """Return what a name of a declaration stands for: the nearest, or several that are as likely.

    Names of devices and models are families: `H100` is short for several, `L40` for `L40S` and not
    an `A40`, and `A100_SXM` some A100 and not an `H100_SXM`. So those that go on where the name
    ends come first, and one that differs before its first underscore is left where others do not.
    """
    known = sorted(set(candidates) - {name})
    begun = [other for other in known if other.casefold().startswith(name.casefold())]
    near = nearest(name, known)
    alike = near is not None and _folded(near) == _folded(name)
    if len(name) > 1 and (len(begun) > 1 or (begun and not alike)):
        return begun[:at_most]
    if near is None or alike or _family(near) == _family(name):
        return [near] if near else []
    return [other for other in known if _family(other) == _family(name)][:at_most] or [near]


def _family(name: str) -> str:
    return name.casefold().partition("_")[0]


def _keep(found: list[tuple[int, str]], rank: int, candidate: str, at_most: int) -> None:
    insort(found, (rank, candidate))
    del found[at_most:]


def _of_the_same_words(name: str, words: list[str], candidate: str) -> bool:
    """Tell whether a candidate has the words of a name in another order, or goes on behind them."""
    if max(len(name), len(candidate)) > _LONGEST:
        return False
    goes_on = len(name) >= _LEAST and candidate.casefold().startswith(f"{name.casefold()}_")
    return goes_on or (len(words) > 1 and words == _words(candidate))


def _words(name: str) -> list[str]:
    """Return the words and numbers in a name, sorted."""
    return sorted(_WORD.findall(name.casefold())) if len(name) <= _LONGEST else []


def _allowed(limit: int, longer: int) -> int:
    """Return how many edits to allow if the longer of both texts has so many characters."""
    return min(limit, max(longer - 1, 0)) if longer <= _LONGEST else 0


def _folded(name: str) -> str:
    return name.casefold().replace("_", "")


def _distance(one: str, other: str, limit: int) -> int:
    """Return the number of edits between two texts, or any number above the limit if it is more.

    The usual table, row by row, but without what both have in common at their ends, and only the
    band around its diagonal where a number can still be within the limit; everything outside
    counts as one more than the limit.
    """
    beyond = limit + 1
    if one == other or limit == 0:
        return 0 if one == other else beyond
    one, other = _where_they_differ(one, other)
    before: list[int] = []
    above = [column if column <= limit else beyond for column in range(len(other) + 1)]
    for row, letter in enumerate(one, start=1):
        here = [beyond] * (len(other) + 1)
        if row <= limit:
            here[0] = row
        for column in range(max(1, row - limit), min(len(other), row + limit) + 1):
            against = other[column - 1]
            if letter == against:
                here[column] = above[column - 1]
                continue
            best = min(above[column - 1], above[column], here[column - 1])
            swapped = row > 1 and column > 1 and letter == other[column - 2]
            if swapped and against == one[row - 2]:
                best = min(best, before[column - 2])
            here[column] = best + 1
        if min(here) > limit:
            return beyond
        before, above = above, here
    return above[-1]


def _where_they_differ(one: str, other: str) -> tuple[str, str]:
    shorter = min(len(one), len(other))
    same = next((i for i in range(shorter) if one[i] != other[i]), shorter)
    one, other = one[same:], other[same:]
    shorter -= same
    same = next((i for i in range(shorter) if one[-1 - i] != other[-1 - i]), shorter)
    return one[: len(one) - same], other[: len(other) - same]
