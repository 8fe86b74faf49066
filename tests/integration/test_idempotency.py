"""One Idempotency-Key from two hundred callers at once, through the deployed handler."""

from collections import Counter
from collections.abc import Iterator
from typing import Final

import pytest

from local.dynamodb_local import DynamoDbLocal
from tests.engines.fixtures import Table
from tests.integration.deployed import Deployed
from tests.integration.shipped import patient_client
from tests.store_suite.races import at_once

CALLERS: Final = 200


@pytest.fixture
def crowded(engine: Table, dynamo_local: DynamoDbLocal) -> Iterator[Deployed]:
    client = patient_client(dynamo_local.endpoint_url, CALLERS)
    yield Deployed(Table(client, engine.name, engine.engine))
    client.close()


def session_count(table: Table) -> int:
    return table.client.scan(TableName=table.name, Select="COUNT")["Count"]


def test_two_hundred_creates_with_one_key_make_one_session(crowded: Deployed) -> None:
    answers = at_once(lambda _: crowded.create(key="checkout-7d1f0c9a"), CALLERS)
    assert Counter(answer.status for answer in answers) == {201: 1, 200: CALLERS - 1}
    assert len({answer.text for answer in answers}) == 1
    assert {answer.headers["location"] for answer in answers} == {answers[0].headers["location"]}
    assert session_count(crowded.table) == 1


def test_two_hundred_different_creates_with_one_key_make_one_session_and_tell_the_others(crowded: Deployed) -> None:
    answers = at_once(lambda number: crowded.create(key="k", metadata={"caller": number}), CALLERS)
    assert Counter(answer.status for answer in answers) == {201: 1, 422: CALLERS - 1}
    [made] = [answer.json for answer in answers if answer.status == 201]
    assert {answer.code for answer in answers if answer.status == 422} == {"IDEMPOTENCY_KEY_REUSED"}
    assert crowded.get(made["sessionId"]).json["metadata"] == made["metadata"]
    assert session_count(crowded.table) == 1


def test_one_key_in_the_hands_of_many_tenants_makes_a_session_each(crowded: Deployed) -> None:
    answers = at_once(lambda number: crowded.create(key="k", tenant=f"tenant-{number % 20}"), CALLERS)
    assert Counter(answer.status for answer in answers) == {201: 20, 200: CALLERS - 20}
    assert len({answer.json["sessionId"] for answer in answers}) == 20
    assert session_count(crowded.table) == 20


def test_two_hundred_creates_in_place_of_a_retired_session_make_one(crowded: Deployed) -> None:
    first = crowded.create(key="k").json
    crowded.clock.advance(minutes=30 + 1440)
    answers = at_once(lambda _: crowded.create(key="k"), CALLERS)
    assert Counter(answer.status for answer in answers) == {201: 1, 200: CALLERS - 1}
    assert {answer.json["sessionId"] for answer in answers} == {first["sessionId"]}
    assert {answer.json["createdAt"] for answer in answers} != {first["createdAt"]}
    assert session_count(crowded.table) == 1
