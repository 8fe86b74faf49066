"""What a key may do by its scope (docs/contract.md, Callers and tenants), checked before anything is read."""

import json
from collections.abc import Callable
from typing import Any, get_args

import pytest
from agent_sessions.api.edge import SCOPES
from agent_sessions.keys.service import Scope

from tests.unit.world import BASE, ROOT, Answer, World

Ask = Callable[..., Answer]
KNOWN = "00000000-0000-4000-8000-000000000001"
"""An agent with a policy."""
ROUTES: dict[str, tuple[Ask, set[str]]] = {
    "create": (lambda world, _, **scope: world.call("create-minimal", **scope), {"full", "client"}),
    "list": (lambda world, _, **scope: world.call("list", **scope), {"full"}),
    "list by key": (
        lambda world, _, **scope: world.call("list", headers={"idempotency-key": "k"}, query={}, **scope),
        {"full"},
    ),
    "get": (World.get, {"full", "client", "agent"}),
    "head": (lambda world, it, **scope: world.get(it, method="HEAD", **scope), {"full", "client", "agent"}),
    "heartbeat": (World.heartbeat, {"full", "client"}),
    "renew": (World.renew, {"full", "client"}),
    "patch": (World.patch, {"full", "client"}),
    "patch metadata": (World.patch_metadata, {"full", "client"}),
    "put policy": (lambda world, _, **scope: world.put_policy(**scope), {"full"}),
    "get policy": (lambda world, _, **scope: world.policy(KNOWN, **scope), {"full"}),
    "list policies": (lambda world, _, **scope: world.call("policy-list", **scope), {"full"}),
    "delete policy": (lambda world, _, **scope: world.delete_policy(KNOWN, **scope), {"full"}),
    "delete": (World.delete, {"full", "client"}),
    "batch": (World.post_batch, {"full"}),
    "redact": (World.redact, {"full"}),
    "export": (World.export, {"full"}),
    "erase": (lambda world, _, **scope: world.call("erasure", **scope), {"full"}),
}
CASES = [(route, scope) for route in ROUTES for scope in ("full", "client", "agent", "", "Full", "admin", "none")]


@pytest.mark.parametrize("route, scope", CASES)
def test_a_scope_allows_its_routes_and_no_others_and_nothing_is_read_for_them(
    world: World, route: str, scope: str
) -> None:
    ask, allowed = ROUTES[route]
    session_id = world.new()["sessionId"]
    world.put_policy({}, KNOWN)
    with world.counted() as calls:
        answer = ask(world, session_id, scope=scope)
    if scope in allowed:
        assert answer.status in {200, 201, 202}
        assert calls
    else:
        assert answer.status == 403
        assert answer.text == "" or answer.code == "FORBIDDEN"
        assert not calls


def test_only_full_reads_an_erasure(world: World) -> None:
    erasure_id = world.erase().json["erasureId"]
    assert world.erasure(erasure_id, scope="full").status == 200
    with world.counted() as calls:
        assert {world.erasure(erasure_id, scope=scope).status for scope in ("client", "agent", "none")} == {403}
    assert not calls


@pytest.mark.parametrize("route", ROUTES)
def test_an_authorizer_that_knows_no_scopes_lets_its_keys_do_everything(world: World, route: str) -> None:
    world.put_policy({}, KNOWN)
    assert ROUTES[route][0](world, world.new()["sessionId"], scope=None).status in {200, 201, 202}


@pytest.mark.parametrize("scope", [None, 7, ["full"], {"full": True}])
def test_a_scope_that_is_no_text_allows_nothing(world: World, scope: Any) -> None:
    from functions.session_api import app  # noqa: PLC0415
    from tests.unit.world import gateway_event  # noqa: PLC0415

    event = gateway_event("list", scope="")
    event["requestContext"]["authorizer"]["lambda"]["scope"] = scope
    assert app.handler(event, None)["statusCode"] == 403


def test_a_wrong_verb_and_an_unknown_path_are_answered_as_ever(world: World) -> None:
    assert world.call("get", method="PUT", path=BASE, scope="none").status == 405
    assert world.call("get", path=f"{BASE}/x/y/z", scope="none").status == 404
    assert world.call("get", method="OPTIONS", path=BASE, scope="none").status == 204


def test_the_scopes_of_the_routes_are_those_that_a_key_can_have() -> None:
    assert set().union(*SCOPES.values()) == set(get_args(Scope))
    assert all("full" in scopes for scopes in SCOPES.values())


def test_every_verb_of_every_route_but_health_has_its_scopes() -> None:
    """By docs/openapi.json, which test_openapi.py holds to the handler."""
    paths = json.loads((ROOT / "docs" / "openapi.json").read_text("utf-8"))["paths"]
    verbs = {
        (path.removeprefix(BASE).replace("{sessionId}", "{id}") or "/", verb.upper())
        for path, item in paths.items()
        for verb in item
        if verb != "parameters" and not path.endswith("/health")
    }
    assert SCOPES.keys() == verbs
