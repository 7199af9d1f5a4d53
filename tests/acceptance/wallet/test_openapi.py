"""The OpenAPI document against the running service: right and wrong values for every operation."""

from __future__ import annotations

from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Unsatisfiable
from openapi_spec_validator import validate
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
    unsupported_method,
)
from tests.acceptance.wallet.service import ADMIN_TOKEN, WalletClient, WalletProcess

from stakewire.wallet.admin.openapi import document
from stakewire.wallet.admin.operations import OPERATIONS, PREFIX

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    negative_data_rejection,
    unsupported_method,
]


def test_the_document_is_valid_and_whole(client: WalletClient) -> None:
    """OpenAPI 3.1, the same that the table gives, every operation in it."""
    served = client.admin("GET", "/openapi.json").json
    validate(served)
    assert served["openapi"].startswith("3.1")
    assert served == {**document(OPERATIONS, version=served["info"]["version"])}
    named = {operation["operationId"] for path in served["paths"].values() for operation in path.values()}
    assert named == {operation.id for operation in OPERATIONS} | {"openapi"}


SCHEMA = schemathesis.openapi.from_dict(document(OPERATIONS, version="0"))
LABELS = [(PREFIX + operation.path, operation.method) for operation in OPERATIONS]


@pytest.mark.parametrize("mode", list(GenerationMode), ids=lambda mode: mode.value)
@pytest.mark.parametrize(("path", "method"), LABELS, ids=[operation.id for operation in OPERATIONS])
def test_the_service_keeps_to_its_document(
    wallet: WalletProcess, path: str, method: str, mode: GenerationMode
) -> None:
    """No 5xx; statuses, headers and bodies as documented; wrong values and methods are refused."""

    @given(case=SCHEMA[path][method].as_strategy(generation_mode=mode))
    @settings(
        max_examples=12,
        deadline=None,
        database=None,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    def keeps(case: Any) -> None:
        case.call_and_validate(
            base_url=wallet.url, headers={"Authorization": f"Bearer {ADMIN_TOKEN}"}, checks=CHECKS
        )

    try:
        keeps()
    except Unsatisfiable:
        assert mode is GenerationMode.NEGATIVE, "there is nothing that could be wrong with it"
