"""The fake SNS keeps SNS's rules for batches."""

from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.engines.fake_sns import FakeSns

TOPIC = "arn:aws:sns:eu-central-1:000000000000:events"


def entry(number: int, message: str = "{}", **attributes: str) -> dict[str, Any]:
    return {
        "Id": str(number),
        "Message": message,
        "MessageAttributes": {name: {"DataType": "String", "StringValue": value} for name, value in attributes.items()},
    }


def publish(sns: FakeSns, *entries: dict[str, Any]) -> dict[str, Any]:
    return sns.publish_batch(TopicArn=TOPIC, PublishBatchRequestEntries=list(entries))


@pytest.mark.parametrize(
    "entries, code",
    [
        ([], "EmptyBatchRequest"),
        ([entry(number) for number in range(11)], "TooManyEntriesInBatchRequest"),
        ([entry(1), entry(1)], "BatchEntryIdsNotDistinct"),
        ([entry(number, "x" * 30_000) for number in range(9)], "BatchRequestTooLong"),
        ([{"Id": "with space", "Message": "x"}], "InvalidBatchEntryId"),
        ([entry(1, "")], "InvalidParameter"),
        ([entry(1, type="")], "ParameterValueInvalid"),
    ],
)
def test_a_batch_against_the_rules_publishes_nothing(entries: list[dict[str, Any]], code: str) -> None:
    sns = FakeSns()
    with pytest.raises(ClientError) as caught:
        publish(sns, *entries)
    assert caught.value.response["Error"]["Code"] == code
    assert sns.published == []
