"""The deployed sweeper on a real engine, with all its threads: batches of statements, conditions, and the claim."""

from collections import Counter
from typing import Any

from agent_sessions.bootstrap import wiring
from agent_sessions.sessions import dynamo_item as items
from agent_sessions.sessions.model import MS_PER_MINUTE, Session

from functions.expiry_sweeper import app
from tests.engines.fake_sns import FakeSns
from tests.engines.faults import Hook
from tests.engines.fixtures import Table
from tests.store_suite.examples import first_lease
from tests.unit.world import START_MS, MovableClock

MINUTE = MS_PER_MINUTE
DUE_SHARDS = 8


class Deployment:
    """The sweeper on one table; `due` lays sessions down by the decision that awaits them."""

    def __init__(self, table: Table, shards: int = DUE_SHARDS) -> None:
        self.clock = MovableClock()
        self.sns = FakeSns(self.clock)
        self._table = table
        self._shards = shards
        environ = {
            "SESSIONS_TABLE": table.name,
            "EVENTS_TOPIC_ARN": "topic",
            "EVENT_SOURCE": "/tested",
            "DUE_SHARDS": str(shards),
        }
        wiring.wire(wiring.Wiring(environ, self.clock, {"dynamodb": table.client, "sns": self.sns}))

    def put(self, number: int, *, expires_in_ms: int, due_in_ms: int) -> Session:
        session = first_lease(
            START_MS + expires_in_ms,
            session_id=f"{number:08x}-0000-4000-8000-000000000000",
            due_at_ms=START_MS + due_in_ms,
        )
        self.store(session)
        return session

    def store(self, session: Session) -> None:
        item = items.session_item(session, due_shards=self._shards, tenant_shards=4)
        self._table.client.put_item(TableName=self._table.name, Item=item)

    def item(self, session: Session) -> Any:
        found = self._table.client.get_item(
            TableName=self._table.name, Key=items.session_key(session.session_id), ConsistentRead=True
        )
        return found.get("Item")

    def sweep(self) -> dict[str, Any]:
        return app.handler({}, None)

    @property
    def told(self) -> Counter[str]:
        return Counter(published.attributes["type"].rpartition(".")[2] for published in self.sns.published)


def test_a_sweep_of_every_decision_does_what_the_fakes_do(engine: Table) -> None:
    world = Deployment(engine)
    warn = [world.put(number, expires_in_ms=5 * MINUTE, due_in_ms=0) for number in range(120)]
    rearm = [world.put(200 + number, expires_in_ms=30 * MINUTE, due_in_ms=0) for number in range(60)]
    expire = [world.put(400 + number, expires_in_ms=-10_000, due_in_ms=-10_000) for number in range(60)]
    wait = [world.put(600 + number, expires_in_ms=2 * MINUTE, due_in_ms=2 * MINUTE) for number in range(10)]
    summary = world.sweep()
    counts = {name: summary[name] for name in ("due", "warned", "rearmed", "expired", "waiting", "failed", "left")}
    assert counts == {"due": 250, "warned": 120, "rearmed": 60, "expired": 60, "waiting": 10, "failed": 0, "left": 0}
    assert world.told == {"expiring": 120, "expired": 60}
    for session in [*warn, *wait]:
        assert world.item(session)["dueAt"] == {"N": str(session.expires_at_ms)}
    for session in rearm:
        assert world.item(session)["dueAt"] == {"N": str(session.warning_at_ms)}
    for session in expire:
        assert "dueShard" not in world.item(session)
        assert world.item(session)["listedAt"] == {"N": str(-session.created_at_ms)}
    again = world.sweep()
    assert (again["due"], again["waiting"]) == (10, 10)
    assert world.told.total() == 180


def test_marks_refuse_what_changed_between_read_and_mark(engine: Table) -> None:
    """While the events are on their way: one lease is renewed, one session ended and brought back, one is gone."""
    world = Deployment(engine, shards=1)
    renewed, reborn, gone, moved, kept = (
        world.put(number, expires_in_ms=5 * MINUTE, due_in_ms=0) for number in range(5)
    )
    over = world.put(9, expires_in_ms=-10_000, due_in_ms=-10_000)

    class Meanwhile(Hook):
        done = False

        def before(self, call: str, request: Any) -> None:
            if self.done:
                return
            self.done = True
            world.store(renewed._replace(lease=2))
            world.store(reborn._replace(created_at_ms=START_MS))
            world.store(over._replace(created_at_ms=START_MS))
            engine.client.delete_item(TableName=engine.name, Key=items.session_key(gone.session_id))

    world.sns.add_hook(Meanwhile())
    summary = world.sweep()
    assert (summary["failed"], summary["left"]) == (0, 0)
    assert world.item(gone) is None
    for session in (moved, kept):
        assert world.item(session)["dueAt"] == {"N": str(session.expires_at_ms)}
    assert {"dueShard", "listedAt"} <= world.item(over).keys()
    for session in (renewed, reborn):
        assert world.item(session)["dueAt"] == {"N": str(session.due_at_ms)}
