"""Which claims of `claims.mjs` are checked over which transport and protocol."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

Results = dict[str, str | None]
"""By claim: None if it holds, or what went wrong."""

_CLAIMS = re.compile(r"^export const (\w+) = \{$|^  (['\"])(.+)\2: (?:async )?\(env\)", re.MULTILINE)


@dataclass(frozen=True)
class Group:
    """One way to reach the hub."""

    transport: str
    protocol: str
    skip_negotiation: bool = False
    stateful: bool = False

    def __str__(self) -> str:
        more = " without negotiation" * self.skip_negotiation + " stateful" * self.stateful
        return f"{self.transport} {self.protocol}{more}"

    def json(self) -> dict[str, Any]:
        """As `run.mjs` takes it."""
        names = asdict(self)
        return {**names, "skipNegotiation": names.pop("skip_negotiation")}

    def claims(self) -> list[str]:
        """What holds for it."""
        kinds = ["stateful"] if self.stateful else ["slow", "everywhere"]
        if not self.stateful:
            kinds += ["binary"] * (self.protocol == "messagepack")
            kinds += ["negotiated"] * (not self.skip_negotiation)
        return [claim for kind in kinds for claim in _claims()[kind]]


def _claims() -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for kind, _, claim in _CLAIMS.findall(Path(__file__).with_name("claims.mjs").read_text(encoding="utf-8")):
        if kind:
            claims = found[kind] = []
        else:
            claims.append(claim)
    return found


GROUPS = (
    Group("WebSockets", "json"),
    Group("WebSockets", "messagepack"),
    Group("WebSockets", "json", skip_negotiation=True),
    Group("WebSockets", "messagepack", skip_negotiation=True),
    Group("ServerSentEvents", "json"),
    Group("LongPolling", "json"),
    Group("LongPolling", "messagepack"),
    Group("WebSockets", "json", stateful=True),
    Group("WebSockets", "messagepack", stateful=True),
)
ASGI_GROUPS = (
    Group("WebSockets", "json"),
    Group("WebSockets", "messagepack"),
    Group("ServerSentEvents", "json"),
    Group("LongPolling", "messagepack"),
)
