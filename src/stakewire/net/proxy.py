"""Whom to believe about the client's address: nobody but the proxies that were named."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

Network = IPv4Network | IPv6Network
Address = IPv4Address | IPv6Address


def parse_address(text: str) -> Address | None:
    """An IP address, with an IPv4 address that is mapped into IPv6 as IPv4; None if it is none."""
    try:
        address = ip_address(text)
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address


class TrustedProxies:
    """Reads `X-Forwarded-For` and `X-Forwarded-Proto` where the connection comes from a named proxy."""

    def __init__(self, networks: Sequence[Network]) -> None:
        self._networks = tuple(networks)

    def trusts(self, peer: str) -> bool:
        """Whether what this address forwards is believed."""
        if not self._networks:
            return False
        address = parse_address(peer)
        return address is not None and any(address in network for network in self._networks)

    def client(self, peer: str, headers: Iterable[tuple[bytes, bytes]]) -> tuple[str, str | None]:
        """The client behind the trusted `peer`, and the scheme it used if the proxy said so.

        The address is the last one in `X-Forwarded-For` that is not itself a trusted proxy: what
        stands before it was written by the client, and is not believed. Unreadable entries end
        the search at the last address that was believed.
        """
        hops: list[bytes] = []
        scheme: str | None = None
        for name, value in headers:
            if name == b"x-forwarded-for":
                hops += value.split(b",")
            elif name == b"x-forwarded-proto":
                last = value.rpartition(b",")[2].strip().lower()
                scheme = last.decode() if last in (b"http", b"https") else None
        client = peer
        for hop in reversed(hops):
            address = parse_address(hop.strip().decode("latin-1"))
            if address is None:
                break
            client = str(address)
            if not self.trusts(client):
                break
        return client, scheme
