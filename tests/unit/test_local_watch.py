"""What a page of the local stack gets to see of sessions."""

import pytest
from agent_sessions.errors import ServiceUnavailable
from agent_sessions.sessions.model import Session

from local import watch as watch_module
from local.watch import SessionWatch, Sight
from tests.unit.sweep_world import SweepWorld
from tests.unit.world import MINUTE, MovableClock


@pytest.fixture(autouse=True)
def _no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch_module, "_PAUSE_SECONDS", 0)
    monkeypatch.setattr(watch_module, "_SHARE", 0)


class Table:
    """Sessions by id, and how often they were read."""

    def __init__(self) -> None:
        self.world = SweepWorld()
        self.sessions: dict[str, Session] = {}
        self.reads: list[list[str]] = []
        self.answers = True

    def add(self, **about: object) -> Session:
        session = self.world.put(expires_in_ms=30 * MINUTE, **about)  # type: ignore[arg-type]
        self.sessions[session.session_id] = session
        return session

    def read(self, session_ids: list[str]) -> dict[str, Session]:
        self.reads.append(session_ids)
        if not self.answers:
            raise ServiceUnavailable
        return {session_id: self.sessions[session_id] for session_id in session_ids if session_id in self.sessions}


@pytest.fixture
def table() -> Table:
    return Table()


def watching(table: Table, shown: int = 100) -> SessionWatch:
    return SessionWatch(table.read, MovableClock(), shown)


def ids(sights: list[Sight]) -> list[str]:
    return [sight.session_id for sight in sights]


def test_a_touched_session_is_read_and_seen_once(table: Table) -> None:
    watch = watching(table)
    session = table.add(metadata='{"a":"<script>"}')
    watch.touch([session.session_id])
    version, [sight] = watch.since(0)
    assert sight.body is not None
    assert sight.body["sessionId"] == session.session_id
    assert sight.body["metadataText"] == '{"a":"<script>"}'
    assert sight.body["tenantId"] == "acme"
    assert "metadata" not in sight.body
    assert watch.since(version) == (version, [])
    assert len(table.reads) == 1


def test_a_session_that_is_gone_is_told_once_to_those_who_saw_it(table: Table) -> None:
    watch = watching(table)
    session = table.add()
    watch.touch([session.session_id])
    version, _ = watch.since(0)
    del table.sessions[session.session_id]
    watch.touch([session.session_id])
    _, [sight] = watch.since(version)
    assert (sight.session_id, sight.body) == (session.session_id, None)


def test_of_a_flood_of_new_sessions_only_the_latest_are_read(table: Table) -> None:
    watch = watching(table, shown=2)
    sessions = [table.add() for _ in range(5)]
    watch.touch([session.session_id for session in sessions])
    watch.since(0)
    assert table.reads == [[session.session_id for session in sessions[3:]]]
    assert watch.left_out == 3


def test_while_the_store_does_not_answer_the_page_keeps_what_it_has(table: Table) -> None:
    watch = watching(table)
    session = table.add()
    watch.touch([session.session_id])
    table.answers = False
    assert watch.since(0) == (0, [])
    table.answers = True
    _, [sight] = watch.since(0)
    assert sight.session_id == session.session_id
