"""The egress guard: which URLs may be connected to."""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import ip_network

import pytest

from stakewire.net.egress import EgressGuard, EgressRefused, NameUnresolved
from stakewire.testing import ManualClock


class Names:
    """A resolver that knows a few names, and counts how often it is asked."""

    def __init__(self, **known: Sequence[str]) -> None:
        self.known = dict(known)
        self.asked = 0

    async def resolve(self, host: str, port: int) -> Sequence[str]:
        self.asked += 1
        if host not in self.known:
            raise OSError("no such name")
        return self.known[host]


def guard(*allow: str, **known: Sequence[str]) -> EgressGuard:
    return EgressGuard([ip_network(text) for text in allow], resolver=Names(**known), clock=ManualClock())


async def test_public_https_is_fine() -> None:
    """A name with public addresses, over https, is a destination with all of them."""
    found = await guard(wallet=["93.184.216.34", "2606:4700::1111"]).check("https://Wallet/cb/x?y=1")
    assert (found.scheme, found.host, found.port, found.path) == ("https", "wallet", 443, "/cb/x?y=1")
    assert found.addresses == ("93.184.216.34", "2606:4700::1111")
    assert found.authority == "wallet"
    assert (await guard().check("https://[2606:4700::1111]:8443")).authority == "[2606:4700::1111]:8443"


SPECIAL = [
    "0.0.0.0", "10.0.0.1", "100.64.0.1", "127.0.0.1", "169.254.169.254", "172.16.0.1", "192.0.0.8",
    "192.0.2.1", "192.31.196.1", "192.52.193.1", "192.88.99.1", "192.168.0.1", "192.175.48.1",
    "198.18.0.1", "198.51.100.1", "203.0.113.1", "224.0.0.1", "240.0.0.1", "255.255.255.255", "::", "::1",
    "::ffff:93.184.216.34", "::ffff:127.0.0.1", "::93.184.216.34", "64:ff9b::1", "64:ff9b:1::1", "100::1",
    "2001::1", "2001:db8::1", "2002:5db8:d822::1", "2620:4f:8000::1", "3fff::1", "5f00::1", "fc00::1",
    "fe80::1", "fec0::1", "ff02::1",
]  # fmt: skip


@pytest.mark.parametrize("address", SPECIAL)
async def test_special_addresses_are_refused_with_the_way_out(address: str) -> None:
    """Private, local, multicast, translated and documentation addresses are refused; the way out is said."""
    with pytest.raises(EgressRefused) as caught:
        await guard(wallet=[address]).check("https://wallet/")
    assert "STAKEWIRE_EGRESS_ALLOW" in caught.value.message
    host = f"[{address}]" if ":" in address else address
    with pytest.raises(EgressRefused):
        await guard().check(f"https://{host}/")


async def test_one_bad_address_among_good_ones_refuses_the_name() -> None:
    """Every address counts: a name that also leads inside is refused, and the address is named."""
    with pytest.raises(EgressRefused, match=r"10\.0\.0\.5"):
        await guard(wallet=["93.184.216.34", "10.0.0.5"]).check("https://wallet/")


async def test_allowed_networks_may_be_plain_and_private() -> None:
    """Where a network is allowed, plain http, private addresses and any port are fine; elsewhere not."""
    allowed = guard("127.0.0.0/8", "10.1.0.0/16", local=["127.0.0.1"], near=["10.2.0.1"])
    assert (await allowed.check("http://local:8082/cb")).addresses == ("127.0.0.1",)
    assert (await allowed.check("http://10.1.2.3:5432/")).port == 5432
    with pytest.raises(EgressRefused):
        await allowed.check("http://near/")


async def test_plain_http_in_public_is_refused() -> None:
    """Callbacks carry money: over the public network only by https."""
    with pytest.raises(EgressRefused, match="plain http"):
        await guard(wallet=["93.184.216.34"]).check("http://wallet/")


@pytest.mark.parametrize(
    "url",
    [
        "https://2130706433/", "https://0x7f000001/", "https://0x7f.1/", "https://127.1/", "https://017700000001/",
        "https://①②⑦.0.0.1/", "https://user@wallet/", "https://user:pw@wallet/", "https://wallet\\@evil/",
        "https://wallet/#x", "https://wallet /", "https://wallet/a b", "https://wallet/\r\nX: y", "https:///x",
        "ftp://wallet/", "//wallet/", "wallet", "", "https://wallet:0/", "https://wallet:99999/",
        "https://wallet:x/", "https://[::1/", "https://[fe80::1%25eth0]/", "https://wal_-.-let/", "https://-wallet/",
        "https://wallet:22/", "https://wallet:6379/", "https://" + "a" * 2100,
    ],
)  # fmt: skip
async def test_odd_urls_are_refused(url: str) -> None:
    """Numbers in disguise, credentials, fragments, odd ports and everything unreadable are refused."""
    with pytest.raises(EgressRefused):
        await guard(wallet=["93.184.216.34"]).check(url)


async def test_unknown_name_is_away_not_refused() -> None:
    """A name without an address now may have one later: a retryable error."""
    with pytest.raises(NameUnresolved) as caught:
        await guard().check("https://nowhere.example/")
    assert caught.value.retryable


async def test_name_that_moves_inside_is_refused_at_the_next_look() -> None:
    """A verdict is remembered for 2 s, not for ever: DNS that changes afterwards is judged anew."""
    names, clock = Names(wallet=["93.184.216.34"]), ManualClock()
    looking = EgressGuard([], resolver=names, clock=clock)
    await looking.check("https://wallet/")
    await looking.check("https://wallet/")
    assert names.asked == 1
    names.known["wallet"] = ["169.254.169.254"]
    clock.advance(2.0)
    assert looking.recent("https://wallet/") is None
    with pytest.raises(EgressRefused):
        await looking.check("https://wallet/")


async def test_memory_of_verdicts_is_bounded() -> None:
    """Many URLs push the oldest verdict out."""
    looking = EgressGuard([], resolver=Names(w=["93.184.216.34"]), clock=ManualClock(), max_remembered=3)
    for number in range(5):
        await looking.check(f"https://w/{number}")
    assert looking.recent("https://w/1") is None
    assert looking.recent("https://w/4") is not None
