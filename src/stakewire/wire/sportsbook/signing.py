"""Signatures of callbacks: HMAC-SHA256 over the raw body, in hex (contract section 3).

The bytes are checked as received, before anything reads them: the same JSON written twice may differ by a
space.
"""

from __future__ import annotations

import hmac
from collections.abc import Collection, Iterable, Sequence
from hashlib import sha256
from typing import Final

import msgspec

from stakewire.errors import Unauthorized

HEADER: Final = "X-Security-Hash"
MISSPELT: Final = "X-Securty-Hash"
"""How the header is spelt in the contract's own examples; accepted beside the right one."""
HEADER_NAMES: Final = (HEADER.lower().encode(), MISSPELT.lower().encode())

_BLOCK: Final = 64
_INNER: Final = bytes(byte ^ 0x36 for byte in range(256))
_OUTER: Final = bytes(byte ^ 0x5C for byte in range(256))


class SignatureError(Unauthorized):
    """The request is not shown to come from the operator; nothing of it may be read."""

    default_code = "INVALID_SIGNATURE"


class SignatureMissing(SignatureError):
    """No header came, or more than one."""


class SignatureMismatch(SignatureError):
    """No live secret gives this hash for these bytes."""


class Checked(msgspec.Struct, frozen=True, gc=False):
    """Which of the given secrets signed the body, and the header it came under (lower case)."""

    secret_index: int
    header: bytes


class Secret:
    """A security hash, ready to sign.

    Both HMAC pads are hashed once here and copied per use, which halves the cost of a signature.
    """

    __slots__ = ("_inner", "_outer")

    def __init__(self, text: str) -> None:
        """Take the security hash; its UTF-8 bytes are the key.

        Raises:
            ValueError: `text` is empty: everybody could sign.
        """
        if not text:
            raise ValueError("an empty security hash signs nothing")
        key = text.encode()
        if len(key) > _BLOCK:
            key = sha256(key).digest()
        key = key.ljust(_BLOCK, b"\0")
        self._inner = sha256(key.translate(_INNER))
        self._outer = sha256(key.translate(_OUTER))

    def sign(self, raw: bytes) -> str:
        """The hash of these very bytes, 64 lower-case hex digits."""
        inner = self._inner.copy()
        inner.update(raw)
        outer = self._outer.copy()
        outer.update(inner.digest())
        return outer.hexdigest()

    def __repr__(self) -> str:
        return "Secret(...)"


def check_signature(
    raw: bytes,
    headers: Iterable[tuple[bytes, bytes]],
    secrets: Sequence[Secret],
    names: Collection[bytes] = HEADER_NAMES,
) -> Checked:
    """Say which of the live secrets signed `raw`; several may be live while one is being replaced.

    Args:
        raw: the body as received.
        headers: all headers of the request, names in lower case, values without surrounding white space.
        secrets: the live secrets, the usual one first.
        names: the header names accepted, in lower case.

    Raises:
        SignatureMissing: no such header came, or more than one.
        SignatureMismatch: no live secret gives this hash, or it is not 64 hex digits.
    """
    header = None
    claimed = b""
    for name, value in headers:
        if name in names:
            if header is not None:
                raise SignatureMissing("more than one signature header came")
            header, claimed = name, value
    if header is None:
        raise SignatureMissing("no signature header came")
    claimed = claimed.lower()  # either case of hex; on bytes this changes ASCII letters only
    for index, secret in enumerate(secrets):
        # On bytes, which compare in constant time whatever they are; text outside ASCII would raise.
        if hmac.compare_digest(secret.sign(raw).encode(), claimed):
            return Checked(index, header)
    raise SignatureMismatch("the signature is of other bytes or by another secret")
