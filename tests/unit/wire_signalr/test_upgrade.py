"""Claims about the upgrade to WebSocket and the offers of compression."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stakewire.testing.vectors import read_vectors
from stakewire.wire.websocket.errors import UpgradeRefused
from stakewire.wire.websocket.handshake import (
    DEFLATE_ANSWER,
    accept_head,
    accept_key,
    check_upgrade,
    deflate_offer,
)

VECTORS = read_vectors(Path(__file__).parents[3] / "vectors/signalr/upgrade.json")
USUAL = {
    "connection": "Upgrade",
    "upgrade": "websocket",
    "sec-websocket-version": "13",
    "sec-websocket-key": "dGhlIHNhbXBsZSBub25jZQ==",
}
ACCEPT = b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="


def headers_of(changes: dict[str, str | None]) -> list[tuple[bytes, bytes]]:
    """The usual headers with these changes."""
    return [(k.encode(), v.encode()) for k, v in ({**USUAL, **changes}).items() if v is not None]


@pytest.mark.parametrize("case", [pytest.param(case, id=case["name"]) for case in VECTORS])
def test_vectors(case: dict[str, Any]) -> None:
    """Every request of the vectors is taken or refused as they say."""
    headers = headers_of(case["headers"])
    if isinstance(case["expect"], dict):
        with pytest.raises(UpgradeRefused) as refused:
            check_upgrade(headers)
        assert refused.value.status == case["expect"]["status"]
        return
    upgrade = check_upgrade(headers)
    assert upgrade.accept == ACCEPT
    assert upgrade.deflate == (case["expect"].encode() if case["expect"] else None)


def test_the_key_of_the_standard() -> None:
    """RFC 6455 section 1.3's example."""
    assert accept_key(b"dGhlIHNhbXBsZSBub25jZQ==") == ACCEPT


def test_a_refused_version_names_ours() -> None:
    """A client of another version learns which one to speak (RFC 6455 section 4.4)."""
    with pytest.raises(UpgradeRefused) as refused:
        check_upgrade(headers_of({"sec-websocket-version": "7"}))
    assert (b"sec-websocket-version", b"13") in refused.value.headers


def test_a_key_sent_twice_is_refused() -> None:
    """Two keys could be answered in two ways."""
    with pytest.raises(UpgradeRefused):
        check_upgrade([*headers_of({}), (b"sec-websocket-key", USUAL["sec-websocket-key"].encode())])


@pytest.mark.parametrize("deflate", [True, False])
def test_the_answer_takes_the_offer_only_if_wanted(deflate: bool) -> None:
    """Compression is answered when offered and wanted; the head is whole."""
    upgrade = check_upgrade(headers_of({"sec-websocket-extensions": "permessage-deflate"}))
    head = accept_head(upgrade, deflate=deflate)
    assert head.startswith(b"HTTP/1.1 101 Switching Protocols\r\n")
    assert head.endswith(b"\r\n\r\n")
    assert b"Sec-WebSocket-Accept: " + ACCEPT + b"\r\n" in head
    assert (b"Sec-WebSocket-Extensions: permessage-deflate" in head) is deflate


@given(
    st.lists(
        st.lists(
            st.sampled_from(
                [
                    *("permessage-deflate", "server_no_context_takeover", "client_max_window_bits"),
                    *("server_max_window_bits=15", "client_max_window_bits=8", "=", '"', "", " ", "x"),
                ]
            )
        ).map("; ".join)
    ).map(", ".join)
)
def test_an_answer_is_a_subset_of_what_may_be_answered(offer: str) -> None:
    """Whatever is offered, the answer is none or forbids both windows; an offer that does so is taken."""
    answer = deflate_offer([(b"sec-websocket-extensions", offer.encode())])
    assert answer is None or answer.startswith(DEFLATE_ANSWER)
    both = f"{offer}, {DEFLATE_ANSWER.decode()}"
    assert deflate_offer([(b"sec-websocket-extensions", both.encode())]) is not None
