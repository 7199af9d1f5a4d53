"""A server on a real socket, a clock that tests move, and a client that sends exactly what it is told."""

from __future__ import annotations

import asyncio
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
import uvloop
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from stakewire.net.http import (
    AsgiApp,
    DirectHandler,
    HotHandler,
    HotRequest,
    HttpLimits,
    HttpMetrics,
    HttpServer,
    Respond,
)
from stakewire.net.proxy import Network
from stakewire.net.sockets import bind
from stakewire.testing import ManualClock


@dataclass
class Answer:
    """One HTTP answer as it came."""

    status: int
    headers: dict[str, str]
    body: bytes


class RawClient:
    """A connection on which nothing is done that the test does not ask for."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def answer(self, *, head_only: bool = False) -> Answer:
        """Read the next answer, whatever its framing."""
        head = await self.reader.readuntil(b"\r\n\r\n")
        lines = head.decode("latin-1").split("\r\n")
        headers = {}
        for line in lines[1:-2]:
            name, _, value = line.partition(": ")
            headers[name.lower()] = value
        status = int(lines[0].split(" ")[1])
        body = b""
        if status >= 200 and status not in (204, 304) and not head_only:
            if "content-length" in headers:
                body = await self.reader.readexactly(int(headers["content-length"]))
            elif headers.get("transfer-encoding") == "chunked":
                body = b"".join([chunk async for chunk in self.chunks()])
            else:
                body = await self.reader.read()
        return Answer(status, headers, body)

    async def chunks(self) -> AsyncIterator[bytes]:
        while True:
            size = int(await self.reader.readline(), 16)
            chunk = await self.reader.readexactly(size)
            await self.reader.readexactly(2)
            if not size:
                return
            yield chunk

    async def ended(self) -> bool:
        """Wait for the server's end of the connection; true if nothing more came before it."""
        try:
            return await self.reader.read() == b""
        except ConnectionError:
            return True

    def close(self) -> None:
        self.writer.transport.abort()

    def reset(self) -> None:
        """Vanish: the server gets a reset, not the end of our half."""
        sock = self.writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()


@dataclass
class Service:
    """A running server and what its hot handler has seen."""

    server: HttpServer
    clock: ManualClock
    address: tuple[str, int]
    seen: list[HotRequest] = field(default_factory=list)
    clients: list[RawClient] = field(default_factory=list)

    async def connect(self, tls: ssl.SSLContext | None = None) -> RawClient:
        reader, writer = await asyncio.open_connection(
            *self.address, ssl=tls, server_hostname="localhost" if tls else None
        )
        client = RawClient(reader, writer)
        self.clients.append(client)
        return client

    async def ask(self, data: bytes, *, head_only: bool = False) -> Answer:
        """One request on a connection of its own."""
        client = await self.connect()
        await client.send(data)
        return await client.answer(head_only=head_only)

    def pass_time(self, seconds: float) -> None:
        """Let the server believe that time has passed."""
        self.clock.advance(seconds)
        self.server.sweep()


async def no_app(scope: Any, receive: Any, send: Any) -> None:
    """An app without routes or lifespan."""
    if scope["type"] != "http":
        raise RuntimeError("http only")
    await send({"type": "http.response.start", "status": 404, "headers": []})
    await send({"type": "http.response.body", "body": b"nothing here"})


LoopFactory = Callable[[], asyncio.AbstractEventLoop]
Serve = Callable[..., Awaitable[Service]]


def pytest_asyncio_loop_factories(config: pytest.Config, item: pytest.Item) -> Mapping[str, LoopFactory]:
    """Every claim holds on both event loops: production runs on uvloop, a user's program may not."""
    return {"uvloop": uvloop.new_event_loop, "asyncio": asyncio.new_event_loop}


@pytest.fixture
async def serve() -> AsyncIterator[Serve]:
    """Starts servers: `await serve(app=..., hot=..., limits=...)`; all are stopped afterwards.

    Every path that begins with /hot goes to `hot`, which echoes the body unless told otherwise;
    every path that begins with /direct to `direct`, where there is one.
    """
    services: list[Service] = []

    async def start(
        *,
        app: AsgiApp = no_app,
        hot: HotHandler | None = None,
        direct: DirectHandler | None = None,
        limits: HttpLimits | None = None,
        trusted: tuple[Network, ...] = (),
        tls: ssl.SSLContext | None = None,
        metrics: HttpMetrics | None = None,
    ) -> Service:
        clock = ManualClock()
        (sock,) = bind("127.0.0.1", 0)

        def handler(request: HotRequest, respond: Respond) -> None:
            service.seen.append(request)
            if hot is None:
                respond(200, request.body or b"empty", b"text/plain")
            else:
                hot(request, respond)

        server = HttpServer(
            app=app,
            find_hot=lambda method, path: handler if path.startswith("/hot") else None,
            find_direct=lambda method, path: direct if path.startswith("/direct") else None,
            limits=limits or HttpLimits(),
            trusted_proxies=trusted,
            clock=clock,
            metrics=metrics,
        )
        service = Service(server, clock, sock.getsockname())
        try:
            await server.start(sock, tls)
        except Exception:
            sock.close()
            raise
        services.append(service)
        return service

    yield start
    for service in services:
        for client in service.clients:
            client.close()
        await service.server.stop(1.0)


async def until(condition: Callable[[], bool], what: str = "") -> None:
    """Let the event loop turn until `condition` holds; fail if it does not within 5 s."""
    try:
        async with asyncio.timeout(5):
            while not condition():
                await asyncio.sleep(0.001)
    except TimeoutError:
        raise AssertionError(f"did not happen: {what or condition}") from None


@pytest.fixture(name="until")
def until_fixture() -> Callable[..., Awaitable[None]]:
    """`await until(lambda: ...)`: waits for a condition instead of sleeping."""
    return until


def post(path: str, body: bytes = b"", *headers: str) -> bytes:
    """A well-formed POST as bytes."""
    lines = [f"POST {path} HTTP/1.1", "Host: test", *headers, f"Content-Length: {len(body)}"]
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body


@pytest.fixture(name="post")
def post_fixture() -> Callable[..., bytes]:
    return post


def new_certificate(folder: Path) -> tuple[Path, Path]:
    """A self-signed certificate for localhost and 127.0.0.1, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    names = [x509.DNSName("localhost"), x509.IPAddress(ip_address("127.0.0.1"))]
    now = datetime.now(UTC)
    cert = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    cert_path, key_path = folder / "cert.pem", folder / "key.pem"
    cert_path.write_bytes(cert.public_bytes(serialization.Encoding.PEM))
    pem, pkcs8 = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    key_path.write_bytes(key.private_bytes(pem, pkcs8, serialization.NoEncryption()))
    return cert_path, key_path


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A certificate for localhost and its key, as PEM files."""
    return new_certificate(tmp_path_factory.mktemp("tls"))


@pytest.fixture(name="make_certificate")
def make_certificate_fixture() -> Callable[[Path], tuple[Path, Path]]:
    return new_certificate
