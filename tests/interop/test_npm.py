"""`@microsoft/signalr` and `@microsoft/signalr-protocol-msgpack` as npm has them, unmodified."""

from __future__ import annotations

import pytest
from tests.interop.groups import GROUPS, Group, Results

CLAIMS = [pytest.param(group, claim, id=f"{group}: {claim}") for group in GROUPS for claim in group.claims()]


@pytest.mark.parametrize(("group", "claim"), CLAIMS)
def test_in_node(in_node: dict[Group, Results], group: Group, claim: str) -> None:
    """The claim of `claims.mjs` holds over this transport and protocol."""
    problem = in_node[group][claim]
    assert problem is None, problem


@pytest.mark.browser
@pytest.mark.parametrize(("group", "claim"), CLAIMS)
def test_in_chromium(in_chromium: dict[Group, Results], group: Group, claim: str) -> None:
    """The same in a browser whose page comes from another origin."""
    problem = in_chromium[group][claim]
    assert problem is None, problem
