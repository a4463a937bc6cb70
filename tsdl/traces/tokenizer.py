"""Counts tokens by a tokenizer.json of Hugging Face, with the library that reads such files."""

from tsdl.traces.documents import Counter


class NoTokenizer(Exception):
    """Why no tokens can be counted."""


def counter(text: str) -> Counter:
    """Return what counts tokens, those that a chat template adds left out. Raises NoTokenizer."""
    try:
        from tokenizers import Tokenizer
    except ImportError:
        raise NoTokenizer("the library `tokenizers` is not installed") from None
    try:
        tokenizer = Tokenizer.from_str(text)
    except Exception as error:  # it raises plain Exception
        raise NoTokenizer(f"it is no tokenizer: {error}") from None
    return lambda said: len(tokenizer.encode(said, add_special_tokens=False).ids)
