"""No race loses, repeats or revives anything: sixteen callers on the same sessions, their clocks milliseconds apart."""

import uuid
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import pairwise
from typing import Final

import pytest
from agent_sessions.sessions.attempts import MAX_ATTEMPTS

from local.dynamodb_local import DynamoDbLocal
from tests.engines.fixtures import Table
from tests.engines.tables import create_sessions_table
from tests.integration.rush import CALLERS, JUMP_MS, SHARES_OF_ONE, Done, Rush
from tests.integration.shipped import patient_client
from tests.unit.world import at

ROUNDS: Final = 10
MOST_ROUNDS: Final = 100
CALLS: Final = 25
ALLOWED: Final = {
    "get": {200, 404, 410},
    "warn": {200, 404, 410},
    "heartbeat": {200, 404, 410},
    "renew": {200, 404, 410, 422},
    "patch": {200, 400, 404, 410},
    "delete": {200, 404},
}
TO_MEET: Final = {(action, status) for action in ALLOWED for status in (200, 404)} | {
    *(("get", 410), ("heartbeat", 410), ("renew", 410), ("patch", 410), ("renew", 422)),
}
"""The answers that the rush is for."""


@pytest.fixture(scope="module")
def table(dynamo_local: DynamoDbLocal) -> Iterator[Table]:
    client = patient_client(dynamo_local.endpoint_url)
    yield Table(client, create_sessions_table(client, f"rush-{uuid.uuid4().hex}"), "dynamodb-local")
    client.close()


@pytest.fixture(scope="module")
def rush(table: Table) -> Rush:
    """Twelve sessions, 400 calls a round: warnings, caps, patches, deletes and expiries among them.

    Ten rounds, and more if need be: who meets whom is the scheduler's choice.
    """
    rush = Rush(table, sessions=12, seed=20_260_627)
    while len(rush.rounds) < ROUNDS or (not met(rush) >= TO_MEET and len(rush.rounds) < MOST_ROUNDS):
        rush.round(CALLS)
    return rush


def done(rush: Rush, session_id: str | None = None) -> Iterable[Done]:
    for this in rush.rounds:
        yield from (call for call in this.done if session_id in (None, call.session_id))


def met(rush: Rush) -> set[tuple[str, int]]:
    return {(call.action, call.answer.status) for call in done(rush)}


def gave_up(call: Done) -> bool:
    """Whether a call answered 503 as the contract allows: rivals refused each of its attempts, so it wrote nothing."""
    return call.answer.status == 503 and call.lost == MAX_ATTEMPTS and call.action in ("heartbeat", "renew", "patch")


def out_of_place(calls: Iterable[Done]) -> dict[str, int]:
    """How often each route gave an answer that it must not give."""
    return dict(
        Counter(
            f"{call.action} {call.answer.status} after {call.lost} lost attempts"
            for call in calls
            if call.answer.status not in ALLOWED[call.action] and not gave_up(call)
        )
    )


def test_the_rush_has_met_all_that_can_happen(rush: Rush) -> None:
    assert met(rush) >= TO_MEET
    assert {len(this.done) for this in rush.rounds} == {CALLERS * CALLS}
    assert all(this.ended_ms - this.began_ms < JUMP_MS for this in rush.rounds)


def test_no_call_fails_and_no_status_is_out_of_place(rush: Rush) -> None:
    assert out_of_place(done(rush)) == {}
    for call in done(rush):
        if call.answer.status == 400:
            assert {fault["message"] for fault in call.answer.details["fields"]} == {
                "would end the session, which only DELETE does"
            }


def test_every_successful_renewal_counts_once(rush: Rush) -> None:
    for session_id, last in rush.rounds[-1].after.items():
        counts = [call.wrote.renewal_count for call in done(rush, session_id) if call.renewed and call.wrote]
        assert sorted(counts) == list(range(1, len(counts) + 1))
        assert last is None or last.renewal_count == len(counts)


def test_a_successful_renewal_is_what_the_caller_was_told_of(rush: Rush) -> None:
    for call in done(rush):
        if call.action in ("heartbeat", "renew", "patch") and call.wrote:
            assert call.answer.status == 200
            told = call.answer.json
            assert told["renewalCount"] == call.wrote.renewal_count
            assert told["expiresAt"] == at(call.wrote.expires_at_ms)
            assert told["lastActivity"] == at(call.wrote.last_activity_ms)
        if call.action == "renew" and call.answer.status == 200:
            assert call.renewed


def test_no_renewal_moves_the_expiry_back(rush: Rush) -> None:
    for session_id in rush.session_ids:
        first = next(session for this in rush.rounds if (session := this.before.get(session_id)))
        leases = {first.lease: first}
        for call in done(rush, session_id):
            if call.wrote and call.wrote.lease not in leases:
                leases[call.wrote.lease] = call.wrote
        in_order = [leases[lease] for lease in sorted(leases)]
        assert [session.lease for session in in_order] == list(range(1, len(in_order) + 1)), "every lease was seen"
        for before, after in pairwise(in_order):
            assert after.renewed_at_ms >= before.renewed_at_ms
            if after.renewal_count > before.renewal_count:
                assert after.renewal_count == before.renewal_count + 1
                assert after.expires_at_ms >= before.expires_at_ms


def test_a_session_is_deleted_once_and_stays_gone(rush: Rush) -> None:
    for session_id in rush.session_ids:
        deletes = [call for call in done(rush, session_id) if call.action == "delete" and call.answer.status == 200]
        assert len(deletes) <= 1
        gone = [call for call in done(rush, session_id) if call.answer.status == 404]
        if not deletes:
            assert gone == []
            continue
        [delete] = deletes
        assert all(call.answer.status == 404 for call in done(rush, session_id) if call.began > delete.ended)
        assert all(call.ended > delete.began for call in gone)
        assert rush.rounds[-1].after[session_id] is None


def test_a_session_lives_until_it_expires_and_never_again(rush: Rush) -> None:
    over: set[str] = set()
    for this in rush.rounds:
        over |= this.expired.keys()
        assert not over & this.alive.keys()
        for call in this.done:
            if call.session_id in this.alive:
                assert call.answer.status != 410
            else:
                assert call.answer.status in (404, 410) or call.action == "delete"
    assert over


def test_one_session_that_everybody_uses_at_once_fails_nobody(table: Table) -> None:
    hot = Rush(table, sessions=1, seed=1)
    for _ in range(2):
        hot.round(CALLS, SHARES_OF_ONE)
    assert out_of_place(done(hot)) == {}
    last = hot.rounds[-1].after[hot.session_ids[0]]
    assert last is not None
    assert last.renewal_count == sum(call.renewed for call in done(hot))
