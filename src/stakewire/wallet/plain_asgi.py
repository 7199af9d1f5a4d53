"""The little that the callbacks need of ASGI: a bounded body, a raw path, a JSON answer."""

from __future__ import annotations

from typing import Final

from stakewire.net.http import Message, Receive, Scope, Send, error_body

JSON: Final = b"application/json"


def path_below_mount(scope: Scope) -> str:
    """The raw path, without what the app is mounted under."""
    raw = scope.get("raw_path")
    path: str = raw.decode("latin-1").partition("?")[0] if raw else scope["path"]
    return path.removeprefix(scope.get("root_path", ""))


async def read_body(scope: Scope, receive: Receive, most: int) -> bytes | None:
    """The whole body; None when it is longer than `most` or the client went away in the middle."""
    for name, value in scope["headers"]:
        if name == b"content-length" and value.isdigit() and int(value[:12]) > most:
            return None
    parts = bytearray()
    while True:
        message = await receive()
        if message["type"] != "http.request":
            return None
        parts += message.get("body", b"")
        if len(parts) > most:
            return None
        if not message.get("more_body", False):
            return bytes(parts)


async def send_json(send: Send, status: int, body: bytes, *headers: tuple[bytes, bytes]) -> None:
    """A complete JSON answer."""
    length = (b"content-length", str(len(body)).encode())
    start: Message = {"type": "http.response.start", "status": status}
    start["headers"] = [(b"content-type", JSON), length, *headers]
    await send(start)
    await send({"type": "http.response.body", "body": body})


async def send_failure(
    send: Send, status: int, code: str, message: str, *headers: tuple[bytes, bytes]
) -> None:
    """An ordinary HTTP failure: these requests never reached the contract."""
    await send_json(send, status, error_body(code, message), *headers)


def is_encoded(scope: Scope) -> bool:
    """Whether the body has a Content-Encoding other than identity."""
    return any(
        name == b"content-encoding" and value.lower() not in (b"", b"identity")
        for name, value in scope["headers"]
    )
