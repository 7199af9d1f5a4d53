"""Listening sockets: bound by the parent, before any worker starts, so that a wrong port is one sentence."""

from __future__ import annotations

import errno
import resource
import socket

from stakewire.errors import ConfigError


def bind(host: str, port: int, workers: int = 1) -> list[socket.socket]:
    """One bound socket per worker, all on the same address; port 0 takes a free one.

    Several workers get a socket each (SO_REUSEPORT), so that the kernel spreads connections. That option
    would also share the port silently with a forgotten older server, so a plain bind proves it free first.
    The parent keeps the sockets: connections that arrive while a worker restarts wait in its socket.

    Raises:
        ConfigError: the port is in use, needs privileges, or the host has no such address.
    """
    family, address = _resolve(host, port)
    if workers == 1:
        return [_bound(family, address, shared=False)]
    probe = _bound(family, address, shared=False)
    address = (address[0], probe.getsockname()[1], *address[2:])
    probe.close()
    sockets: list[socket.socket] = []
    try:
        for _ in range(workers):
            sockets.append(_bound(family, address, shared=True))
    except ConfigError:
        for sock in sockets:
            sock.close()
        raise
    return sockets


def origin(sock: socket.socket, *, tls: bool = False) -> str:
    """The address of a bound socket as people open it: `http://127.0.0.1:8082`."""
    host, port = sock.getsockname()[:2]
    if ":" in host:
        host = f"[{host}]"
    return f"{'https' if tls else 'http'}://{host}:{port}"


def raise_open_files_limit(wanted: int = 65_536) -> int:
    """Lift this process's soft limit of open files as far as it may, up to `wanted`; return it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    goal = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    if soft == resource.RLIM_INFINITY or soft >= goal:
        return soft
    resource.setrlimit(resource.RLIMIT_NOFILE, (goal, hard))
    return goal


def _resolve(host: str, port: int) -> tuple[socket.AddressFamily, tuple[str, int, *tuple[int, ...]]]:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (OSError, UnicodeError, OverflowError) as error:
        raise ConfigError(f"cannot listen on {host}: {error}") from None
    family, _, _, _, address = found[0]
    return family, address  # type: ignore[return-value]


def _bound(
    family: socket.AddressFamily, address: tuple[str, int, *tuple[int, ...]], *, shared: bool
) -> socket.socket:
    # The protocol is named, since asyncio switches Nagle's algorithm off only where it is.
    sock = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if shared:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    try:
        sock.bind(address)
    except OSError as error:
        sock.close()
        raise ConfigError(_sentence(error, str(address[0]), address[1])) from None
    sock.setblocking(False)
    return sock


def _sentence(error: OSError, host: str, port: int) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"port {port} on {host} is in use: stop what listens there, or choose another port"
    if error.errno == errno.EACCES:
        return f"port {port} on {host} needs privileges: choose a port above 1023"
    if error.errno == errno.EADDRNOTAVAIL:
        return f"cannot listen on {host}: this machine has no such address"
    return f"cannot listen on {host} port {port}: {error.strerror}"
