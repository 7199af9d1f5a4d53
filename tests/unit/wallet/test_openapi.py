"""The document of the admin API is made from the table of operations, and says everything in it."""

from __future__ import annotations

from openapi_spec_validator import validate

from stakewire.wallet.admin.handlers import HANDLERS
from stakewire.wallet.admin.openapi import document
from stakewire.wallet.admin.operations import OPERATIONS, PREFIX, Key


def test_every_operation_has_a_handler_and_a_place_in_the_document() -> None:
    """No undocumented route, no documented one that is not there."""
    made = document(OPERATIONS, version="1.2.3")
    validate(made)
    assert {operation.id for operation in OPERATIONS} == set(HANDLERS)
    for operation in OPERATIONS:
        described = made["paths"][PREFIX + operation.path][operation.method.lower()]
        assert described["operationId"] == operation.id
        assert str(operation.status) in described["responses"]
        assert ("requestBody" in described) == (operation.body is not None)


def test_acts_on_money_require_a_key() -> None:
    """The header is required in the document, as it is by the service."""
    made = document(OPERATIONS, version="0")
    for operation in OPERATIONS:
        parameters = made["paths"][PREFIX + operation.path][operation.method.lower()]["parameters"]
        keys = [parameter for parameter in parameters if parameter["name"] == "Idempotency-Key"]
        assert len(keys) == (operation.key is not Key.NONE)
        assert all(key["required"] == (operation.key is Key.REQUIRED) for key in keys)


def test_request_bodies_refuse_unknown_fields() -> None:
    """A misspelt field cannot silently do nothing."""
    schemas = document(OPERATIONS, version="0")["components"]["schemas"]
    for operation in OPERATIONS:
        if operation.body is not None:
            assert schemas[operation.body.__name__]["additionalProperties"] is False
