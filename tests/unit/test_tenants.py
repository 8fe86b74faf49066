"""A session belongs to its tenant; nobody else learns that it exists (docs/contract.md, Callers and tenants)."""

import copy
from collections.abc import Callable
from typing import Any

import pytest

from tests.unit.world import BASE, MINUTE, NOWHERE, SESSION_ROUTES, World, gateway_event

WITHOUT_TENANT: dict[str, Callable[[dict[str, Any]], object]] = {
    "no authorizer": lambda context: context.pop("authorizer"),
    "an authorizer that is null": lambda context: context.update(authorizer=None),
    "an empty authorizer": lambda context: context.update(authorizer={}),
    "no context of ours": lambda context: context.update(authorizer={"jwt": {"claims": {"tenantId": "acme"}}}),
    "a context that is null": lambda context: context.update(authorizer={"lambda": None}),
    "an empty context": lambda context: context.update(authorizer={"lambda": {}}),
    "an empty tenant": lambda context: context.update(authorizer={"lambda": {"tenantId": ""}}),
    "a tenant that is null": lambda context: context.update(authorizer={"lambda": {"tenantId": None}}),
    "a tenant that is no text": lambda context: context.update(authorizer={"lambda": {"tenantId": 7}}),
    "a tenant beside its place": lambda context: context.update(authorizer={"tenantId": "acme"}),
}


@pytest.mark.parametrize("strip", WITHOUT_TENANT.values(), ids=WITHOUT_TENANT.keys())
@pytest.mark.parametrize(
    "name",
    ["create-minimal", "create-invalid", "create-idempotent", "get", "heartbeat", "renew", "patch", "delete", "list"],
)
def test_an_event_without_a_tenant_is_unauthorized(
    world: World, name: str, strip: Callable[[dict[str, Any]], object]
) -> None:
    event = gateway_event(name)
    strip(event["requestContext"])
    with world.counted() as calls:
        answer = world.send(event)
    assert answer.code == "UNAUTHORIZED"
    assert not calls


def test_a_wrong_verb_or_path_without_a_tenant_is_unauthorized_first(world: World) -> None:
    for method, path in (("PUT", BASE), ("GET", "/nowhere"), ("PATCH", f"{BASE}/{NOWHERE}")):
        assert world.call("get", method=method, path=path, tenant=None).code == "UNAUTHORIZED"


def test_health_asks_for_no_tenant(world: World) -> None:
    assert world.call("health", tenant=None).status == 200
    assert world.call("health", tenant=None, method="HEAD").status == 200
    assert world.call("health", tenant=None, method="DELETE").code == "METHOD_NOT_ALLOWED"


# --- another tenant's session, in every state, is one that never existed


def expired(world: World, session_id: str) -> None:
    world.clock.advance(minutes=30)


def announced(world: World, session_id: str) -> None:
    world.clock.advance(minutes=30)
    world.announce(session_id)


def retired(world: World, session_id: str) -> None:
    world.clock.advance(30 * MINUTE + 1440 * MINUTE)


STATES: dict[str, tuple[dict[str, Any], Callable[[World, str], None]]] = {
    "live": ({}, lambda world, session_id: None),
    "warned": ({}, World.warn),
    "without auto-renew": ({"autoRenew": False}, lambda world, session_id: None),
    "at its cap": ({"maxDurationMinutes": 30}, lambda world, session_id: None),
    "expired": ({}, expired),
    "announced": ({}, announced),
    "retired": ({}, retired),
}


@pytest.mark.parametrize("route", list(SESSION_ROUTES))
@pytest.mark.parametrize("state", STATES)
def test_another_tenants_session_is_one_that_never_existed_also_in_what_it_costs(
    world: World, route: str, state: str
) -> None:
    settings, happens = STATES[state]
    session_id = world.new(tenant="globex", **settings)["sessionId"]
    happens(world, session_id)
    before = copy.deepcopy(world.item(session_id))
    with world.counted() as theirs:
        refused = SESSION_ROUTES[route](world, session_id)
    with world.counted() as nobodys:
        unknown = SESSION_ROUTES[route](world, NOWHERE)
    assert refused.code == "SESSION_NOT_FOUND"
    assert refused.text == unknown.text
    assert refused.headers == unknown.headers
    assert theirs == nobodys
    assert sum(theirs.values()) == 1
    assert world.item(session_id) == before


def test_a_filter_by_the_user_of_another_tenant_is_an_empty_list(world: World) -> None:
    theirs = world.new(tenant="globex")
    with world.counted() as calls:
        page = world.page(userId=theirs["userId"]).json
    with world.counted() as unknown_calls:
        unknown = world.page(userId=NOWHERE).json
    assert page == unknown
    assert calls == unknown_calls


@pytest.mark.parametrize("tenants", [("a#b", "a"), ("acme", "acme#0"), ("acme", "ACME"), ("a", "a ")])
def test_names_of_tenants_that_resemble_one_another_share_nothing(world: World, tenants: tuple[str, str]) -> None:
    one, other = tenants
    session = world.new(tenant=one)
    assert world.get(session["sessionId"], tenant=other).status == 404
    assert world.page(tenant=other).json["sessions"] == []
    assert world.page(tenant=other, userId=session["userId"]).json["sessions"] == []
