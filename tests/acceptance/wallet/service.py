"""A wallet as a real process, and a client that speaks to it in bytes."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from http.client import HTTPConnection
from pathlib import Path
from typing import Any, Self

from stakewire.wire.sportsbook.signing import Secret

ADMIN_TOKEN = "admin-token-of-the-tests"
SECRET = "a-security-hash-of-the-tests"
MASTER_KEY = base64.b64encode(bytes(range(32))).decode()


@dataclass(frozen=True)
class Reply:
    """An HTTP answer; `json` is its body, if that is a JSON object."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> dict[str, Any]:
        document: dict[str, Any] = json.loads(self.body)
        return document

    @property
    def error(self) -> str | None:
        """The `error` of the body: None for a success."""
        error: str | None = self.json["error"]
        return error


@dataclass
class WalletProcess:
    """`python -m stakewire serve wallet` on a free port."""

    database_url: str
    data: Path
    flags: Sequence[str] = ()
    environment: dict[str, str] = field(default_factory=dict)
    without: Sequence[str] = ()

    def __post_init__(self) -> None:
        self.url = ""
        self.port = 0
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def full_environment(self) -> dict[str, str]:
        own = {name: value for name, value in os.environ.items() if not name.startswith("STAKEWIRE_")}
        given = {
            **own,
            "STAKEWIRE_DATA": str(self.data),
            "STAKEWIRE_DATABASE_URL": self.database_url,
            "STAKEWIRE_ADMIN_TOKEN": ADMIN_TOKEN,
            "STAKEWIRE_MASTER_KEY": MASTER_KEY,
            "STAKEWIRE_WALLET_WRONG_SIGNATURES_PER_MINUTE": "1000000",
            **self.environment,
        }
        return {name: value for name, value in given.items() if name not in self.without}

    @property
    def log(self) -> str:
        """Everything that the process wrote to stderr."""
        return (self.data / "wallet.log").read_text()

    def start(self) -> Self:
        """Start it and wait for its ready line."""
        self.data.mkdir(parents=True, exist_ok=True)
        with (self.data / "wallet.log").open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "stakewire", "serve", "wallet", "--port", str(self.port), *self.flags],
                env=self.full_environment,
                stdout=subprocess.PIPE,
                stderr=log,
            )
        assert self._process.stdout is not None
        line = self._process.stdout.readline().decode()
        assert line.startswith("stakewire wallet ready on http://"), f"{line!r}\n{self.log}"
        self.url = line.split()[-1]
        self.port = int(self.url.rpartition(":")[2])
        return self

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """End it and give its exit code."""
        process = self._process
        assert process is not None
        process.send_signal(number)
        code = process.wait(timeout=30)
        if process.stdout is not None:
            process.stdout.close()
        self._process = None
        return code

    def command(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run a shell command on the same database."""
        return subprocess.run(
            [sys.executable, "-m", "stakewire", *words],
            env=self.full_environment,
            capture_output=True,
            text=True,
            timeout=60,
        )

    def client(self) -> WalletClient:
        """A new connection."""
        return WalletClient(self.port)


@contextlib.contextmanager
def running(process: WalletProcess) -> Iterator[WalletProcess]:
    """Start it, and end it whatever happens."""
    try:
        yield process.start()
    finally:
        if process._process is not None:
            process.stop()


class WalletClient:
    """One keep-alive connection: admin calls, callbacks, and callbacks in one flush."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._http = HTTPConnection("127.0.0.1", port, timeout=30)

    def close(self) -> None:
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def send(
        self, method: str, path: str, body: bytes | None = None, headers: dict[str, str] | None = None
    ) -> Reply:
        """Any request."""
        self._http.request(method, path, body, headers or {})
        answer = self._http.getresponse()
        return Reply(answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read())

    def admin(self, method: str, path: str, body: object = None, key: str | None = None) -> Reply:
        """A call of the admin API, with the token."""
        headers = {"Authorization": f"Bearer {ADMIN_TOKEN}", "Content-Type": "application/json"}
        if key is not None:
            headers["Idempotency-Key"] = key
        return self.send(
            method, f"/admin/v1{path}", None if body is None else json.dumps(body).encode(), headers
        )

    def callback(
        self,
        operator: str,
        fields: dict[str, Any] | bytes,
        *,
        secret: str = SECRET,
        endpoint: str | None = None,
    ) -> Reply:
        """A signed callback; the endpoint follows from the action."""
        raw = fields if isinstance(fields, bytes) else json.dumps(fields).encode()
        path = endpoint or endpoint_of(raw)
        return self.send("POST", f"/callbacks/{operator}/{path}", raw, signed(raw, secret))

    def pipeline(self, requests: Sequence[tuple[str, bytes]], *, secret: str = SECRET) -> list[Reply]:
        """Callbacks (operator, body) written in one flush on a connection of their own, in this order."""
        wire = b"".join(request_bytes(operator, raw, secret) for operator, raw in requests)
        with socket.create_connection(("127.0.0.1", self._port), timeout=30) as sock:
            sock.sendall(wire)
            with sock.makefile("rb") as stream:
                return [read_reply(stream) for _ in requests]

    def balance(self, user: str, currency: str = "EUR") -> str:
        """A balance as the admin API shows it."""
        accounts = self.admin("GET", f"/players/{user}").json["accounts"]
        return next(str(account["balance"]) for account in accounts if account["currency"] == currency)


class MountedClient(WalletClient):
    """Callbacks go to an application that mounts them under `prefix`; everything else to the wallet."""

    def __init__(self, port: int, mounted_port: int, prefix: str) -> None:
        super().__init__(port)
        self._prefix = prefix
        self._mounted = WalletClient(mounted_port)

    def close(self) -> None:
        super().close()
        self._mounted.close()

    def send(
        self, method: str, path: str, body: bytes | None = None, headers: dict[str, str] | None = None
    ) -> Reply:
        if path.startswith("/callbacks/"):
            return self._mounted.send(method, self._prefix + path, body, headers)
        return super().send(method, path, body, headers)


def until(condition: Callable[[], bool], within: float = 10.0) -> None:
    """Wait until it holds."""
    end = time.monotonic() + within
    while not condition():
        assert time.monotonic() < end, "it never came"


def signed(raw: bytes, secret: str = SECRET) -> dict[str, str]:
    """The headers of a callback."""
    return {"X-Security-Hash": Secret(secret).sign(raw), "Content-Type": "application/json"}


def endpoint_of(raw: bytes) -> str:
    """The endpoint that a body belongs to."""
    return "transaction-rollback" if b'"rollback"' in raw else "transaction"


def request_bytes(operator: str, raw: bytes, secret: str = SECRET) -> bytes:
    """A signed callback as HTTP."""
    head = (
        f"POST /callbacks/{operator}/{endpoint_of(raw)} HTTP/1.1\r\nHost: wallet\r\n"
        f"Content-Length: {len(raw)}\r\nX-Security-Hash: {Secret(secret).sign(raw)}\r\n\r\n"
    )
    return head.encode() + raw


def read_reply(stream: Any) -> Reply:
    """One HTTP answer with a Content-Length."""
    status = int(stream.readline().split()[1])
    headers = {}
    while line := stream.readline().strip().decode():
        name, _, value = line.partition(":")
        headers[name.lower()] = value.strip()
    return Reply(status, headers, stream.read(int(headers["content-length"])))


def bet(tx: str, user: str, amount: str, currency: str = "EUR") -> bytes:
    """The body of a bet; `amount` is written as it is."""
    return _transaction("bet", tx, user, amount, currency)


def result(tx: str, user: str, amount: str, currency: str = "EUR") -> bytes:
    """The body of a result."""
    return _transaction("result", tx, user, amount, currency)


def rollback(tx: str, target: str, user: str, amount: str, currency: str = "EUR") -> bytes:
    """The body of a rollback."""
    names = {"transaction_id": tx, "rollback_transaction_id": target, "action": "rollback", "user_id": user}
    return _with_amount({**names, "currency": currency}, amount)


def _transaction(action: str, tx: str, user: str, amount: str, currency: str) -> bytes:
    return _with_amount(
        {"transaction_id": tx, "action": action, "user_id": user, "currency": currency}, amount
    )


def _with_amount(names: dict[str, str], amount: str) -> bytes:
    return (json.dumps(names)[:-1] + f', "amount": {amount}}}').encode()
