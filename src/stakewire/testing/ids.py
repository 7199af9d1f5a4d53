"""Tokens that a seed repeats: for tests only, they are guessable."""

from __future__ import annotations

import random
from base64 import urlsafe_b64encode


class SeededTokens:
    """A `stakewire.ids.Tokens` whose tokens follow from the seed."""

    def __init__(self, seed: int = 0) -> None:
        self._random = random.Random(seed)  # noqa: S311 - repeatable is what tests want

    def token(self, nbytes: int) -> str:
        """See `Tokens.token`; the shape is that of `secrets.token_urlsafe`."""
        return urlsafe_b64encode(self._random.randbytes(nbytes)).rstrip(b"=").decode()
