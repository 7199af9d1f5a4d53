"""The sportsbook against its OpenAPI document: right and wrong values for every operation."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit
from urllib.request import HTTPRedirectHandler, Request, build_opener

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
    unsupported_method,
)
from tests.acceptance.processes import Running, stakewire
from tests.conftest import NewDatabase

from stakewire.client import SportsbookClientSync
from stakewire.sportsbook.http.openapi import document

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    unsupported_method,
]
SCHEMA = schemathesis.openapi.from_dict(document("http://sportsbook.test"))
OPERATIONS = [(path, method) for path, methods in document("")["paths"].items() for method in methods]


@dataclass(frozen=True)
class Service:
    """Where it answers, and a token for each of its two doors."""

    url: str
    api_token: str
    session: str


class _Stay(HTTPRedirectHandler):
    def redirect_request(self, *_: Any) -> None:
        return None


@pytest.fixture(scope="module")
def service(new_database: NewDatabase, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A sportsbook with its own schedule, one client (whose wallet is away) and one launched page."""
    folder = tmp_path_factory.mktemp("sportsbook")
    env = {
        "STAKEWIRE_DATABASE_URL": new_database("sportsbook"),
        "STAKEWIRE_DATA": str(folder / "data"),
        "STAKEWIRE_EGRESS_ALLOW": "127.0.0.0/8",
        "STAKEWIRE_SPORTSBOOK_AUTH_ATTEMPTS_PER_MINUTE": "100000",
        "STAKEWIRE_SPORTSBOOK_BETS_PER_MINUTE": "100000",
    }
    added = stakewire(
        *("sportsbook", "client", "add", "acme", "--callback-url", "http://127.0.0.1:9/", "--json"),
        cwd=folder,
        env=env,
    )
    password = json.loads(added.stdout)["password"]
    with Running("serve", "sportsbook", "--port", "0", cwd=folder, env=env) as running:
        url = running.wait_for_line("ready on").rpartition(" ")[2]
        with SportsbookClientSync(url, "acme", password) as client:
            launch = client.start_session("alice", "EUR")
        session = urlsplit(_location(launch)).fragment.removeprefix("s=")
        request = Request(
            f"{url}/v1/auth", json.dumps({"username": "acme", "password": password}).encode(), method="POST"
        )
        with build_opener().open(request) as answer:
            token = json.load(answer)["token"]
        yield Service(url, token, session)


def _location(launch: str) -> str:
    try:
        build_opener(_Stay()).open(launch).close()
    except OSError as redirect:
        with redirect:  # type: ignore[attr-defined]  # an HTTPError, which is the answer
            return str(redirect.headers["location"])  # type: ignore[attr-defined]
    raise AssertionError("a launch link redirects")


@pytest.mark.parametrize("mode", list(GenerationMode), ids=lambda mode: mode.value)
@pytest.mark.parametrize(("path", "method"), OPERATIONS)
def test_the_service_keeps_to_its_document(
    service: Service, path: str, method: str, mode: GenerationMode
) -> None:
    """No 5xx but the documented 503; statuses, headers and bodies as written down; other methods refused."""
    token = service.session if "/page/" in path else service.api_token

    @given(case=SCHEMA[path][method].as_strategy(generation_mode=mode))
    @settings(
        max_examples=15,
        deadline=None,
        database=None,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    def keeps(case: Any) -> None:
        headers = {"Authorization": f"Bearer {token}"}
        case.call_and_validate(base_url=service.url, headers=headers, checks=CHECKS)

    try:
        keeps()
    except Unsatisfiable:
        assert mode is GenerationMode.NEGATIVE, "there is nothing that could be wrong with it"
