"""`@microsoft/signalr` and `@microsoft/signalr-protocol-msgpack` as npm has them, unmodified."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from tests.interop.groups import ASGI_GROUPS, GROUPS, Group, Results


def claims_of(groups: Sequence[Group]) -> list[Any]:
    """Each claim of each group as a case of its own."""
    return [
        pytest.param(group, claim, id=f"{group}: {claim}") for group in groups for claim in group.claims()
    ]


CLAIMS = claims_of(GROUPS)


@pytest.mark.parametrize(("group", "claim"), CLAIMS)
def test_in_node(in_node: dict[Group, Results], group: Group, claim: str) -> None:
    """The claim of `claims.mjs` holds over this transport and protocol."""
    problem = in_node[group][claim]
    assert problem is None, problem


@pytest.mark.parametrize("asgi_server", ["uvicorn", "granian"])
@pytest.mark.parametrize(("group", "claim"), claims_of(ASGI_GROUPS))
def test_in_node_on_other_peoples_servers(
    on_asgi: dict[str, dict[Group, Results]], asgi_server: str, group: Group, claim: str
) -> None:
    """Behind an ASGI server the hub keeps every promise."""
    problem = on_asgi[asgi_server][group][claim]
    assert problem is None, problem


@pytest.mark.browser
@pytest.mark.parametrize(("group", "claim"), CLAIMS)
def test_in_chromium(in_chromium: dict[Group, Results], group: Group, claim: str) -> None:
    """The same in a browser whose page comes from another origin."""
    problem = in_chromium[group][claim]
    assert problem is None, problem
