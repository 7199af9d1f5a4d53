"""Secrets at rest: sealed with a master key that the database never sees (AES-256-GCM).

A sealed value is `version (1 byte) | key id (4) | nonce (12) | ciphertext and tag`. The key
id lets several master keys be live at once: the first seals, all open, so a key is rotated by
putting the new one in front and taking the old one away when nothing is sealed with it any more.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import os
import secrets
from collections.abc import Sequence
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from stakewire.errors import ConfigError

KEY_BYTES = 32
KEY_FILE = "master.key"

_VERSION = 1
_ID_BYTES = 4
_NONCE_BYTES = 12
_HEADER_BYTES = 1 + _ID_BYTES + _NONCE_BYTES
_MAKE_ONE = "make one with: python3 -c 'import base64, os; print(base64.b64encode(os.urandom(32)).decode())'"


class Vault:
    """Seals and opens short texts; `keys` are 32 bytes each, the first one seals."""

    def __init__(self, keys: Sequence[bytes]) -> None:
        if not keys or any(len(key) != KEY_BYTES for key in keys):
            raise ConfigError(f"the master key must be {KEY_BYTES} bytes; {_MAKE_ONE}")
        if any(len(set(key)) == 1 for key in keys):
            raise ConfigError(f"the master key is one byte repeated, which anybody can guess; {_MAKE_ONE}")
        self._by_id = {_key_id(key): AESGCM(key) for key in keys}
        self._sealing_id = _key_id(keys[0])

    def __repr__(self) -> str:
        return f"Vault(key={self._sealing_id.hex()}, keys={len(self._by_id)})"

    @classmethod
    def from_settings(cls, master_key: str | None, data_dir: Path) -> Vault:
        """Build the vault from STAKEWIRE_MASTER_KEY, or from `data_dir/master.key`, made if missing.

        `master_key` is one base64 key of 32 bytes, or several with commas between, the sealing one first.

        Raises:
            ConfigError: the key cannot be used, or its file cannot be read or can be read by other users.
        """
        if master_key is not None:
            return cls([_decode(part, "STAKEWIRE_MASTER_KEY") for part in master_key.split(",")])
        try:
            return cls([_read_or_make(data_dir / KEY_FILE)])
        except OSError as error:
            raise ConfigError(
                f"the master key {data_dir / KEY_FILE} cannot be read or made: {error.strerror}"
            ) from error

    def seal(self, plaintext: str, aad: str) -> bytes:
        """Encrypt `plaintext`, bound to `aad` (the row it belongs to), with a fresh nonce."""
        nonce = os.urandom(_NONCE_BYTES)
        header = bytes([_VERSION]) + self._sealing_id + nonce
        return header + self._by_id[self._sealing_id].encrypt(nonce, plaintext.encode(), aad.encode())

    def open(self, sealed: bytes, aad: str) -> str:
        """Decrypt what `seal` gave.

        Raises:
            ConfigError: sealed with a master key that is not live, or altered, or moved from another row.
        """
        if len(sealed) <= _HEADER_BYTES or sealed[0] != _VERSION:
            raise ConfigError(
                f"the sealed secret of {aad} has an unknown form; is this program older than its data?"
            )
        key_id = sealed[1 : 1 + _ID_BYTES]
        key = self._by_id.get(key_id)
        if key is None:
            raise ConfigError(
                f"the secret of {aad} is sealed with master key {key_id.hex()}, which is not a live one; "
                "set STAKEWIRE_MASTER_KEY to that key (several keys: with commas between)"
            )
        try:
            opened = key.decrypt(sealed[1 + _ID_BYTES : _HEADER_BYTES], sealed[_HEADER_BYTES:], aad.encode())
        except InvalidTag:
            raise ConfigError(f"the sealed secret of {aad} was altered or belongs to another row") from None
        return opened.decode()


def _key_id(key: bytes) -> bytes:
    return hashlib.sha256(b"stakewire master key id" + key).digest()[:_ID_BYTES]


def _decode(text: str, where: str) -> bytes:
    try:
        key = base64.b64decode(text.strip(), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if len(key) != KEY_BYTES:
        raise ConfigError(f"{where} must be base64 of {KEY_BYTES} bytes; {_MAKE_ONE}")
    return key


def _read_or_make(path: Path) -> bytes:
    """Read the key file, or make it so that of two processes at once both get the same key."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = path.with_name(f"{path.name}.{secrets.token_hex(4)}")
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(base64.b64encode(os.urandom(KEY_BYTES)) + b"\n")
            file.flush()
            os.fsync(file.fileno())
        try:
            path.hardlink_to(draft)
        except FileExistsError:
            pass  # another process was first: its key is the one
        finally:
            draft.unlink()
    if path.stat().st_mode & 0o077:
        raise ConfigError(f"{path} can be read by other users of this machine; run: chmod 600 {path}")
    return _decode(path.read_text(encoding="ascii", errors="replace"), str(path))
