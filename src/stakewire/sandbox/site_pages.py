"""The site's files and the headers that every answer carries."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

from starlette.datastructures import URL
from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from stakewire.errors import ConfigError

TYPES = {".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml", ".html": "text/html"}
ONE_YEAR = "public, max-age=31536000, immutable"  # names of built assets hold their hash


def static_folder() -> Path:
    """Where the built site lies.

    Raises:
        ConfigError: it was never built; says how.
    """
    folder = Path(str(files("stakewire"))) / "static" / "site"
    if not (folder / "index.html").is_file():
        raise ConfigError(
            "the site's pages are not built: run `make run`, or `npm ci && npm run build` in web/"
        )
    return folder


class Pages:
    """`/` and the built assets: files of one folder, and nothing that lies outside of it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder.resolve()

    async def get(self, request: Request) -> Response:
        """The file of this path, or 404."""
        asked: str = request.scope["path"]  # decoded by the server
        path = self._find(asked)
        if path is None:
            return Response("not found", 404, media_type="text/plain")
        hashed = asked.startswith("/assets/")
        headers = {"cache-control": ONE_YEAR if hashed else "no-cache"}
        return FileResponse(
            path, headers=headers, media_type=TYPES.get(path.suffix, "application/octet-stream")
        )

    def _find(self, asked: str) -> Path | None:
        try:
            path = (self._folder / (asked.lstrip("/") or "index.html")).resolve()
            return path if path.is_relative_to(self._folder) and path.is_file() else None
        except (OSError, ValueError):  # a name that no file system can have
            return None


class SecurityHeaders:
    """Middleware: nothing but our own scripts and styles, one frame origin, no framing of the site itself."""

    def __init__(self, app: ASGIApp, frame_origin: str) -> None:
        self._app = app
        self._frame_origin = frame_origin
        self._headers = [
            (b"referrer-policy", b"no-referrer"),
            (b"x-content-type-options", b"nosniff"),
            (b"cross-origin-opener-policy", b"same-origin"),
            (b"permissions-policy", b"camera=(), microphone=(), geolocation=(), payment=()"),
        ]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                policy = (b"content-security-policy", self._policy(URL(scope=scope)).encode())
                message["headers"] = [*message["headers"], policy, *self._headers]
            await send(message)

        await self._app(scope, receive, with_headers if scope["type"] == "http" else send)

    def _policy(self, url: URL) -> str:
        # Not every browser takes 'self' for the hub's WebSocket, too.
        hub = f"{'wss' if url.scheme == 'https' else 'ws'}://{url.netloc}"
        return (
            "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
            f"connect-src 'self' {hub}; frame-src {self._frame_origin}; frame-ancestors 'none'; "
            "form-action 'self'; base-uri 'none'"
        )
