"""Secrets at rest: only the right key, the right row and unaltered bytes open them."""

from __future__ import annotations

import base64
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stakewire.errors import ConfigError
from stakewire.postgres.crypto import KEY_FILE, Vault

OLD, NEW = os.urandom(32), os.urandom(32)


def _text(key: bytes) -> str:
    return base64.b64encode(key).decode()


@given(st.text(), st.text())
def test_what_is_sealed_opens_again(secret: str, row: str) -> None:
    """Any text, bound to any row."""
    vault = Vault([NEW])
    assert vault.open(vault.seal(secret, row), row) == secret


@given(st.integers(min_value=0), st.integers(min_value=1, max_value=255))
def test_an_altered_byte_never_opens(position: int, change: int) -> None:
    """Wherever the byte is: version, key id, nonce or text."""
    vault = Vault([NEW])
    sealed = bytearray(vault.seal("a secret", "row 1"))
    sealed[position % len(sealed)] ^= change
    with pytest.raises(ConfigError):
        vault.open(bytes(sealed), "row 1")


def test_a_secret_moved_to_another_row_does_not_open() -> None:
    """Whoever can write to the database cannot give one operator the secret of another."""
    vault = Vault([NEW])
    with pytest.raises(ConfigError, match="belongs to another row"):
        vault.open(vault.seal("a secret", "row 1"), "row 2")


def test_the_same_secret_is_never_sealed_to_the_same_bytes() -> None:
    """Equal secrets do not show."""
    vault = Vault([NEW])
    assert vault.seal("a secret", "row") != vault.seal("a secret", "row")


def test_a_master_key_is_rotated_by_putting_the_new_one_in_front(tmp_path: Path) -> None:
    """The first key seals, all open; without the old one the message names the key that is missing."""
    sealed = Vault([OLD]).seal("a secret", "row")
    both = Vault.from_settings(f"{_text(NEW)},{_text(OLD)}", tmp_path)
    assert both.open(sealed, "row") == "a secret"
    only_new = Vault.from_settings(_text(NEW), tmp_path)
    assert only_new.open(both.seal("a secret", "row"), "row") == "a secret"
    with pytest.raises(ConfigError, match="STAKEWIRE_MASTER_KEY"):
        only_new.open(sealed, "row")


@pytest.mark.parametrize("key", ["", "abc", _text(b"short"), _text(bytes(32)), "ä" * 44])
def test_a_key_that_protects_nothing_is_refused(key: str, tmp_path: Path) -> None:
    """Empty, short, not base64, or all zeros: the message says how to make a good one."""
    with pytest.raises(ConfigError, match="make one with"):
        Vault.from_settings(key, tmp_path)


def test_the_key_file_is_made_once_for_its_owner_alone(tmp_path: Path) -> None:
    """Many starts at once agree on one key, and the file is private."""
    with ThreadPoolExecutor(8) as starts:
        vaults = list(starts.map(lambda _: Vault.from_settings(None, tmp_path), range(16)))
    sealed = vaults[0].seal("a secret", "row")
    assert {vault.open(sealed, "row") for vault in vaults} == {"a secret"}
    assert (tmp_path / KEY_FILE).stat().st_mode & 0o777 == 0o600
    assert [file.name for file in tmp_path.iterdir()] == [KEY_FILE]


def test_a_key_file_that_others_can_read_is_refused(tmp_path: Path) -> None:
    """The message says the command that mends it."""
    Vault.from_settings(None, tmp_path)
    (tmp_path / KEY_FILE).chmod(0o644)
    with pytest.raises(ConfigError, match="chmod 600"):
        Vault.from_settings(None, tmp_path)


@pytest.mark.parametrize("content", [b"\xff\xfe", b"", None])
def test_a_key_file_that_holds_no_key_is_refused(tmp_path: Path, content: bytes | None) -> None:
    """Other bytes, none, or a folder in its place: one sentence that names it."""
    path = tmp_path / "master.key"
    if content is None:
        path.mkdir(mode=0o700)
    else:
        path.write_bytes(content)
        path.chmod(0o600)
    with pytest.raises(ConfigError, match=r"master\.key"):
        Vault.from_settings(None, tmp_path)


def test_the_key_is_not_in_the_representation() -> None:
    """A vault in a log line says its key's id only."""
    assert NEW.hex() not in repr(Vault([NEW]))
