"""Words for people: how many of something there are."""


def several(count: int, noun: str) -> str:
    """Return a count with its noun: `1 token`, `8,192 tokens`."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"
