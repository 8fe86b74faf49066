"""Errors mirror the codes of the contract, and carry what the service said."""

import json
import re
from typing import Final

import pytest
from agent_sessions_client import errors
from agent_sessions_client.errors import error_of

from tests.client.service import AGENT, USER, Service
from tools.build_client import ROOT

CONTRACT: Final = (ROOT / "docs" / "contract.md").read_text("utf-8").partition("\n## Errors\n")[2].partition("\n## ")[0]
CODES: Final = re.findall(r"^\| `([A-Z_]+)` \| (\d+)", CONTRACT, re.MULTILINE)


@pytest.mark.parametrize("code, status", CODES)
def test_every_code_of_the_contract_has_an_error_of_its_own(code: str, status: str) -> None:
    error = error_of(int(status), {}, json.dumps({"error": {"code": code, "message": "why"}}).encode())
    others = [error_of(int(status), {}, json.dumps({"error": {"code": other}}).encode()) for other, _ in CODES]
    assert type(error) is not errors.ApiError
    assert [type(other) for other in others].count(type(error)) == 1
    assert (error.code, error.status, error.message) == (code, int(status), "why")


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b'{"message": "Forbidden"}', b'{"error": "odd"}'])
def test_the_gateways_answers_are_errors_by_their_status(body: bytes) -> None:
    error = error_of(403, {"apigw-requestid": "abc="}, body)
    assert type(error) is errors.Forbidden
    assert error.code is None
    assert "abc=" in str(error)


def test_a_code_that_is_newer_than_the_client_is_an_error_by_its_status() -> None:
    assert type(error_of(404, {}, b'{"error": {"code": "THING_NOT_FOUND"}}')) is errors.NotFound


def test_a_refused_request_names_all_fields_with_rule_and_value(service: Service) -> None:
    with pytest.raises(errors.ValidationError) as caught:
        service.client().create_session("no uuid", USER, timeout_minutes=4)
    fields = {field.field: field for field in caught.value.fields}
    assert set(fields) == {"agentId", "timeoutConfig.timeoutMinutes"}
    assert fields["timeoutConfig.timeoutMinutes"].value == 4
    assert "from 5" in fields["timeoutConfig.timeoutMinutes"].message
    assert caught.value.request_id


def test_an_expired_session_names_its_end_and_the_reason(service: Service) -> None:
    session = service.client().create_session(AGENT, USER, timeout_minutes=5)
    service.stack.advance(6 * 60_000)
    with pytest.raises(errors.SessionExpired) as caught:
        service.client().get_session(session.session_id)
    assert (caught.value.expires_at, caught.value.reason) == (session.expires_at, "idle_timeout")


def test_a_reused_key_names_what_differs(service: Service) -> None:
    client = service.client()
    client.create_session(AGENT, USER, idempotency_key="order-1")
    with pytest.raises(errors.IdempotencyKeyReused) as caught:
        client.create_session(AGENT, AGENT, idempotency_key="order-1")
    assert caught.value.differing == ("userId",)
    assert caught.value.idempotency_key == "order-1"
