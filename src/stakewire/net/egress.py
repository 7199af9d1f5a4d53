"""Where we may connect to on somebody else's word: public addresses over https, or what was allowed by name.

A callback URL is written by a client. Without this guard it could point our server at itself, at its
neighbours or at a cloud's metadata service. Every address of a name is judged, at registration and again
at each delivery, and the connection then goes to one of the judged addresses.
"""

from __future__ import annotations

import asyncio
import re
import socket
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Protocol
from urllib.parse import urlsplit

from stakewire.clock import Clock, SystemClock
from stakewire.errors import Refused, Unavailable
from stakewire.net.proxy import Address, Network

SETTING = "STAKEWIRE_EGRESS_ALLOW"


class EgressRefused(Refused):
    """A URL leads, or may lead, to where we must not connect; the message names address and way out."""

    default_code = "EGRESS_REFUSED"


class NameUnresolved(Unavailable):
    """The host of a URL has no address now."""

    default_code = "NAME_UNRESOLVED"


@dataclass(frozen=True, slots=True)
class Destination:
    """A judged URL.

    Attributes:
        host: lower case, without brackets; the name for TLS and the Host header.
        path: raw path and query.
        addresses: every address of the host, each of them judged.
    """

    scheme: str
    host: str
    port: int
    path: str
    addresses: tuple[str, ...]

    @property
    def authority(self) -> str:
        """Host and port as a Host header has them."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        default = 443 if self.scheme == "https" else 80
        return host if self.port == default else f"{host}:{self.port}"


class Resolver(Protocol):
    """Finds the addresses of a name."""

    async def resolve(self, host: str, port: int) -> Sequence[str]:
        """Every address of `host` as text; raises OSError if it has none."""
        ...


class SystemResolver:
    """The machine's own resolver, in the event loop's threads."""

    async def resolve(self, host: str, port: int) -> Sequence[str]:
        """See `Resolver.resolve`."""
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
        return list(dict.fromkeys(str(item[4][0]) for item in found))


class EgressGuard:
    """Judges URLs; `allow` are the networks where plain http and private addresses are fine.

    A name's addresses are remembered for `remember_seconds`, so that a busy queue does not ask the
    resolver thousands of times a second; the memory is bounded.
    """

    def __init__(
        self,
        allow: Sequence[Network],
        *,
        resolver: Resolver | None = None,
        clock: Clock | None = None,
        remember_seconds: float = 2.0,
        max_remembered: int = 4096,
    ) -> None:
        self._allow = tuple(allow)
        self._resolver = SystemResolver() if resolver is None else resolver
        self._monotonic = (SystemClock() if clock is None else clock).monotonic
        self._remember_seconds = remember_seconds
        self._max_remembered = max_remembered
        self._remembered: OrderedDict[str, tuple[float, Destination]] = OrderedDict()

    def recent(self, url: str) -> Destination | None:
        """The verdict on `url` if it is younger than `remember_seconds` and was good."""
        known = self._remembered.get(url)
        if known is None or self._monotonic() >= known[0]:
            return None
        return known[1]

    async def check(self, url: str) -> Destination:
        """Judge `url` and every address of its host.

        Raises:
            EgressRefused: the URL is malformed, or one address is neither public nor allowed.
            NameUnresolved: the host has no address now.
        """
        known = self.recent(url)
        if known is not None:
            return known
        scheme, host, port, path = _parse(url)
        literal = _literal(host)
        if literal is None:
            addresses = await self._resolve(host, port)
        else:
            addresses = (str(literal),)
        for address in addresses:
            self._judge(url, scheme, port, address)
        destination = Destination(scheme, host, port, path, addresses)
        self._remembered[url] = (self._monotonic() + self._remember_seconds, destination)
        self._remembered.move_to_end(url)
        if len(self._remembered) > self._max_remembered:
            self._remembered.popitem(last=False)
        return destination

    async def _resolve(self, host: str, port: int) -> tuple[str, ...]:
        try:
            found = tuple(dict.fromkeys(await self._resolver.resolve(host, port)))
        except (OSError, UnicodeError):
            found = ()
        if not found:
            raise NameUnresolved(f"the host {host} has no address: check its spelling and the resolver")
        return found

    def _judge(self, url: str, scheme: str, port: int, text: str) -> None:
        try:
            address = ip_address(text)
        except ValueError:  # "fe80::1%eth0": an address of one link is never a callback's
            raise EgressRefused(f"{_shown(url)} leads to {text}, which is not a plain IP address") from None
        if any(address in network for network in self._allow):
            return
        way_out = f"if this is meant, allow its network with {SETTING}=CIDR,..."
        special = _special(address)
        if special is not None:
            raise EgressRefused(f"{_shown(url)} leads to {address}, {special}; {way_out}")
        if scheme != "https":
            raise EgressRefused(f"{_shown(url)} leads to {address} over plain http: use https, or {way_out}")
        if port != 443 and (port < 1024 or port in _SERVICE_PORTS):
            raise EgressRefused(f"{_shown(url)} names port {port}, which is another service's; {way_out}")


_NO_PUBLIC_V4 = tuple(
    ip_network(text)
    for text in (
        "192.0.0.0/24",  # IETF protocol assignments
        "192.31.196.0/24",  # AS112
        "192.52.193.0/24",  # AMT relays
        "192.88.99.0/24",  # 6to4 relays
        "192.175.48.0/24",  # AS112
    )
)
_PUBLIC_V6 = ip_network("2000::/3")
_NO_PUBLIC_V6 = tuple(
    ip_network(text)
    for text in (
        "2001::/23",  # IETF protocol assignments, Teredo among them
        "2001:db8::/32",  # documentation
        "2002::/16",  # 6to4: an IPv4 address in disguise
        "2620:4f:8000::/48",  # AS112
        "3fff::/20",  # documentation
    )
)
# `ipaddress.is_global` is true for several ranges that lead inside (NAT64, 6to4, multicast), hence the lists.
_SERVICE_PORTS = frozenset(
    {1433, 1521, 2049, 2375, 2376, 2379, 2380, 3306, 3389, 4369, 5432, 5672, 5900, 5984, 6000, 6379, 6443}
    | {8500, 9042, 9092, 9200, 9300, 10250, 11211, 15672, 27017}
)


def _special(address: Address) -> str | None:
    """Why an address is not a public one; None if it is."""
    if isinstance(address, IPv4Address):
        if address.is_multicast or not address.is_global or any(address in net for net in _NO_PUBLIC_V4):
            return "a private or special address"
        return None
    if address.ipv4_mapped is not None:
        return "an IPv4 address written as IPv6"
    if address not in _PUBLIC_V6 or any(address in net for net in _NO_PUBLIC_V6):
        return "a private or special address"
    return None


def _parse(url: str) -> tuple[str, str, int, str]:
    """Scheme, host, port, path of a URL that has nothing odd about it."""
    if len(url) > 2048 or not url.isascii() or not _PLAIN.fullmatch(url):
        raise EgressRefused("a callback URL is at most 2048 plain ASCII characters, without blanks")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise EgressRefused(f"{_shown(url)} is not a URL") from None
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise EgressRefused(f"{_shown(url)} is not an https:// URL with a host")
    if parts.username is not None or parts.password is not None or "@" in parts.netloc:
        raise EgressRefused(
            "a callback URL carries no user name or password: the security hash is what signs"
        )
    if parts.fragment or "#" in url or "\\" in url:
        raise EgressRefused(f"{_shown(url)} has a fragment or a backslash, which a callback URL has not")
    host = parts.hostname.rstrip(".")
    if _literal(host) is None and (not _NAME.fullmatch(host) or _NUMERIC.fullmatch(host.rpartition(".")[2])):
        # "2130706433", "0x7f.1" and "127.1" are addresses to a resolver and names to a reader.
        raise EgressRefused(f"{_shown(url)} has a host that is neither a name nor an IP address")
    if port is None:
        port = 443 if parts.scheme == "https" else 80
    if port == 0:
        raise EgressRefused(f"{_shown(url)} names port 0")
    path = parts.path or "/"
    return parts.scheme, host, port, f"{path}?{parts.query}" if parts.query else path


def _literal(host: str) -> IPv4Address | IPv6Address | None:
    try:
        return ip_address(host)
    except ValueError:
        return None


def _shown(url: str) -> str:
    """A URL for a message: without its query, which may be secret, and short."""
    return url.partition("?")[0][:200]


_PLAIN = re.compile(r"[\x21-\x7e]+")
_NAME = re.compile(r"(?=.{1,253}\Z)[a-z0-9_]([a-z0-9_-]{0,62})(\.[a-z0-9_]([a-z0-9_-]{0,62}))*", re.ASCII)
_NUMERIC = re.compile(r"[0-9]+|0x[0-9a-f]*", re.ASCII)
