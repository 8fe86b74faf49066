"""Bad items and failing calls on a real engine: what a healthy session is owed does not depend on how ours refuses."""

from collections.abc import Callable, Mapping
from typing import Any

import pytest

from local.dynamo.refusals import Refused, refusal
from tests.engines.faults import Hook
from tests.engines.fixtures import Table
from tests.integration.deployed import policies_table
from tests.simulation.test_poison import among, check_punctual, check_ten_and_ten, listed, names, spoil
from tests.unit.poison import BAD_ITEMS
from tests.unit.sweep_world import SweepWorld
from tests.unit.world import USER


class HookedClient:
    """A real client whose calls pass through hooks, as those of the fakes do."""

    def __init__(self, table: Table) -> None:
        self.calls: dict[str, int] = {}
        self.hooks: list[Hook] = []
        self._table = table

    def add_hook(self, hook: Hook) -> Hook:
        self.hooks.append(hook)
        return hook

    def put_item(self, **request: Any) -> dict[str, Any]:
        return self._call("put_item", {**request, "TableName": self._table.name})

    def peek(self, _table: str, session_id: str) -> Any:
        key = {"sessionId": {"S": session_id}}
        return self._table.client.get_item(TableName=self._table.name, Key=key, ConsistentRead=True).get("Item")

    def __getattr__(self, name: str) -> Callable[..., dict[str, Any]]:
        return lambda **request: self._call(name, request)

    def _call(self, name: str, request: Mapping[str, Any]) -> dict[str, Any]:
        try:
            for hook in self.hooks:
                hook.before(name, request)
        except Refused as refused:
            raise refusal("dynamodb", name, refused.code, refused.message) from None
        response = self._batch(name, request) or getattr(self._table.client, name)(**request)
        for hook in self.hooks:
            hook.after(name, request, response)
        return response

    def _batch(self, name: str, request: Mapping[str, Any]) -> dict[str, Any] | None:
        """Make a call without the entries that a hook refuses, and answer for those as a busy table does."""
        if name == "batch_get_item":
            [(table, asked)] = request["RequestItems"].items()
            left = [key for key in asked["Keys"] if self._refuses(name, key)]
            if not left:
                return None
            keys = [key for key in asked["Keys"] if key not in left]
            response: Any = {"Responses": {table: []}}
            if keys:
                wanted: Any = {table: {**asked, "Keys": keys}}
                response = self._table.client.batch_get_item(RequestItems=wanted)
            return {**response, "UnprocessedKeys": {table: {**asked, "Keys": left}}}
        if name == "batch_execute_statement":
            busy = [self._refuses(name, statement) for statement in request["Statements"]]
            if not any(busy):
                return None
            sent = [each for each, refused in zip(request["Statements"], busy, strict=True) if not refused]
            answers: list[Any] = []
            if sent:
                answers = self._table.client.batch_execute_statement(Statements=sent)["Responses"][::-1]
            throttled = {"Error": {"Code": "ThrottlingError", "Message": "no"}}
            return {"Responses": [dict(throttled) if refused else answers.pop() for refused in busy]}
        return None

    def _refuses(self, name: str, entry: Mapping[str, Any]) -> bool:
        return any(hook.refuses(name, entry) for hook in self.hooks)


class LocalWorld(SweepWorld):
    """The deployed functions on a table of DynamoDB Local, with one shard."""

    shards_of_new_sessions = 1

    def __init__(self, table: Table) -> None:
        client: Any = HookedClient(table)
        super().__init__(
            client=client, SESSIONS_TABLE=table.name, AGENT_POLICIES_TABLE=policies_table(table), DUE_SHARDS="1"
        )
        self.dynamo = client


@pytest.mark.parametrize("first", range(0, len(BAD_ITEMS), 10))
def test_ten_bad_items_and_ten_bad_calls_at_once_cost_nobody_else_anything(
    first: int, engine: Table, caplog: pytest.LogCaptureFixture
) -> None:
    check_ten_and_ten(LocalWorld(engine), first, 40, caplog)


def test_lists_and_sweep_give_every_healthy_session_beside_every_bad_item(
    engine: Table, caplog: pytest.LogCaptureFixture
) -> None:
    world = LocalWorld(engine)
    healthy, bad = among(world, 40, len(BAD_ITEMS), 20)
    for session, change in zip(bad, BAD_ITEMS.values(), strict=True):
        spoil(world, session, change)
    ids = {session.session_id for session in bad}
    for found in (listed(world), listed(world, userId=USER)):
        assert len(found) == len({*found})
        assert {*found} - ids == {session.session_id for session in healthy}
    [*_, last] = world.sweep_minutes(4)
    assert (last["passedOver"], last["failed"], last["left"]) == (len(bad), 0, 0)
    assert ids >= names(caplog), "the log names twenty of each kind"
    world.sweep_minutes(8)
    check_punctual(world, healthy)
