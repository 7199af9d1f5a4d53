"""Claims about hub messages, handshake and negotiation, from the published vectors."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from stakewire.testing.vectors import body_of, read_vectors
from stakewire.wire.signalr import handshake, messages, negotiate
from stakewire.wire.signalr.errors import HandshakeRefused, NegotiateRefused, ProtocolError
from stakewire.wire.signalr.protocol import JSON, MESSAGEPACK, HubProtocol
from stakewire.wire.signalr.splitters import SEPARATOR

FOLDER = Path(__file__).parents[3] / "vectors/signalr"
RAW_FIELDS = ("arguments", "item", "result")


def cases(file: str) -> list[Any]:
    """The cases of a file as pytest's parameters."""
    return [pytest.param(case, id=case["name"]) for case in read_vectors(FOLDER / f"{file}.json")]


def said(protocol: HubProtocol, message: messages.HubMessage | None) -> dict[str, Any] | str:
    """A parsed message as the vectors write it."""
    if message is None:
        return "ignored"
    found: dict[str, Any] = {"is": type(message).__name__}
    for field, name in zip(message.__struct_fields__, message.__struct_encode_fields__, strict=True):
        value = getattr(message, field)
        if field == "arguments":
            found[name] = [protocol.decode(one, Any) for one in value]
        elif isinstance(value, msgspec.Raw):
            found[name] = protocol.decode(value, Any)
        elif field in ("stream_ids", "headers") and not value:
            continue
        elif value is not None and value is not messages.NOTHING and value is not False:
            found[name] = list(value) if isinstance(value, tuple) else value
    return found


def meant(expect: dict[str, Any]) -> messages.HubMessage:
    """The message that a vector describes, to be written."""
    kind: Any = getattr(messages, expect["is"])
    names = dict(zip(kind.__struct_encode_fields__, kind.__struct_fields__, strict=True))
    message: messages.HubMessage = kind(**{names[name]: v for name, v in expect.items() if name != "is"})
    return message


def read(protocol: HubProtocol, record: bytes) -> dict[str, Any] | str:
    """What a record says, or the word of the vectors for what it is instead."""
    try:
        return said(protocol, protocol.parse(record))
    except ProtocolError:
        return "refused"


@pytest.mark.parametrize("case", cases("json"))
def test_json_messages(case: dict[str, Any]) -> None:
    """Every JSON record of the vectors is read as they say, and written to the byte where they say so."""
    record = body_of(case)
    assert read(JSON, record) == case["expect"]
    if case.get("written"):
        assert JSON.write(meant(case["expect"])) == record + SEPARATOR


@pytest.mark.parametrize("case", cases("messagepack"))
def test_messagepack_messages(case: dict[str, Any]) -> None:
    """Every MessagePack message of the vectors is read as they say, and written to the byte likewise."""
    whole = bytes.fromhex(case["hex"])
    (record,) = MESSAGEPACK.splitter(100).feed(whole)
    assert read(MESSAGEPACK, record) == case["expect"]
    if case.get("written"):
        assert MESSAGEPACK.write(meant(case["expect"])) == whole


@pytest.mark.parametrize("case", cases("handshake"))
def test_handshakes(case: dict[str, Any]) -> None:
    """Either end reads the other's half of the handshake; a server answers with the texts of .NET."""
    received = body_of(case)
    request: handshake.HandshakeRequest | None = None
    found: Any
    try:
        if case["from"] == "client":
            asked = handshake.read_request(received)
            request = asked[0] if asked else None
            found = msgspec.to_builtins(asked[0]) | {"rest": asked[1].decode()} if asked else "incomplete"
        else:
            told = handshake.read_answer(received)
            found = msgspec.to_builtins(told[0]) | {"rest": told[1].decode()} if told else "incomplete"
    except ProtocolError:
        found = "refused"
    assert found == case["expect"]
    if request is not None:
        assert answer(request, case["carried"]) == case["answer"].encode()
    if case.get("written"):
        expect = case["expect"]
        ours = (
            handshake.write_request(request) if request else handshake.write_answer(error=expect.get("error"))
        )
        assert ours == received


def answer(request: handshake.HandshakeRequest, carried: list[str]) -> bytes:
    """What a server says to a request over a transport that carries these formats."""
    try:
        assert handshake.choose_protocol(request, carried).name == request.protocol
    except HandshakeRefused as refused:
        return handshake.write_answer(refused.message)
    return handshake.write_answer()


@pytest.mark.parametrize("reader", [handshake.read_request, handshake.read_answer])
def test_an_endless_handshake_is_refused(reader: Any) -> None:
    """A handshake is waited for up to its bound, and no byte further."""
    assert reader(b" " * handshake.MAX_HANDSHAKE) is None
    with pytest.raises(ProtocolError):
        reader(b" " * (handshake.MAX_HANDSHAKE + 1))
    with pytest.raises(ProtocolError):
        reader(b" " * (handshake.MAX_HANDSHAKE + 1) + b"{}\x1e")


@pytest.mark.parametrize("case", cases("negotiate"))
def test_negotiations(case: dict[str, Any]) -> None:
    """A client reads every answer of the vectors as they say; a server writes what they say it writes."""
    body = body_of(case)
    found: Any
    written: bytes | None = None
    try:
        answer = negotiate.read_negotiation(body)
        written = negotiate.write_negotiation(answer)
        found = described(answer)
    except NegotiateRefused as refused:
        written = negotiate.write_refusal(refused.message)
        found = {"error": refused.message}
    except ProtocolError:
        found = "refused"
    assert found == case["expect"]
    if case.get("written"):
        assert written == body


def described(answer: negotiate.Negotiation | negotiate.Redirect) -> dict[str, Any]:
    """An answer as the vectors write it."""
    if isinstance(answer, negotiate.Redirect):
        return {"url": answer.url} | ({"accessToken": answer.access_token} if answer.access_token else {})
    return {
        "version": answer.version,
        "id": answer.handle,
        "connectionId": answer.connection_id,
        "transports": [[transport.value, list(formats)] for transport, formats in answer.transports.items()],
        **({"useStatefulReconnect": True} if answer.use_stateful_reconnect else {}),
    }


@pytest.mark.parametrize(("asked", "chosen"), [(None, 0), ("0", 0), ("1", 1), ("2", 1), ("999999999", 1)])
def test_the_newest_common_version_is_chosen(asked: str | None, chosen: int) -> None:
    """Whoever asks for no version gets 0, whoever asks for a later one gets 1."""
    assert negotiate.choose_version(asked) == chosen


@pytest.mark.parametrize("asked", ["", "-1", "x", "1.0", "1" * 10, "१", " 1"])
def test_what_is_no_version_is_refused(asked: str) -> None:
    """A version that is no number is refused with a text for the client."""
    with pytest.raises(NegotiateRefused, match="negotiate version"):
        negotiate.choose_version(asked)


def test_a_transport_offers_what_it_carries() -> None:
    """Server-sent events carry no bytes; the order is kept."""
    offered = negotiate.offered([negotiate.Transport.LONG_POLLING, negotiate.Transport.SERVER_SENT_EVENTS])
    assert [(transport.value, formats) for transport, formats in offered.items()] == [
        ("LongPolling", ("Text", "Binary")),
        ("ServerSentEvents", ("Text",)),
    ]
