"""Posts to FORWARD_TO are repeated as SNS repeats them by default: three times, twenty seconds apart."""

import json
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from local.forward import RETRIES, RETRY_SECONDS, Forwarder

TOPIC = "arn:aws:sns:eu-west-1:123456789012:topic"
ENVELOPE = json.dumps(
    {"Type": "Notification", "MessageId": "1", "TopicArn": TOPIC, "Message": "{}", "Timestamp": "2026-06-27T08:00:00Z"}
)


class Direct:
    """An executor that works at once."""

    def submit(self, work: Callable[[], None]) -> None:
        work()


class Endpoint:
    """Answers posts by turns, without a network; what is to be done later is done at once."""

    def __init__(self, *answers: int | Exception) -> None:
        self.answers = list(answers)
        self.posted: list[bytes] = []
        self.paused: list[float] = []
        self.shown: list[str] = []
        self.forwarder = Forwarder(
            "http://endpoint", "http://stack", TOPIC, self.shown.append, post=self.post, later=self.later
        )
        self.forwarder._poster = Direct()  # type: ignore[assignment]

    def post(self, _url: str, _headers: Mapping[str, str], body: bytes) -> int:
        self.posted.append(body)
        answer = self.answers.pop(0) if self.answers else 200
        if isinstance(answer, Exception):
            raise answer
        return answer

    def later(self, seconds: float, work: Callable[[], None]) -> None:
        self.paused.append(seconds)
        work()

    def deliver(self) -> None:
        self.forwarder._confirmed = True
        self.forwarder.take(ENVELOPE)


@pytest.mark.parametrize(
    "answers, posts, given_up",
    [
        ([200], 1, False),
        ([404], 1, False),
        ([503, 200], 2, False),
        ([ConnectionRefusedError("refused"), TimeoutError("slow"), 500, 204], 4, False),
        ([500] * 9, 1 + RETRIES, True),
        ([301] * 9, 1, False),
        ([199] * 9, 1 + RETRIES, True),
    ],
)
def test_a_post_is_repeated_after_a_servers_fault_or_none_at_all_and_given_up_after_three_repeats(
    answers: list[Any], posts: int, *, given_up: bool
) -> None:
    endpoint = Endpoint(*answers)
    endpoint.deliver()
    assert len(endpoint.posted) == posts
    assert len(set(endpoint.posted)) == 1, "a repeat is the same message"
    assert endpoint.paused == [RETRY_SECONDS] * (posts - 1)
    assert ("did not take Notification" in "".join(endpoint.shown)) == given_up


def test_a_confirmation_that_nobody_took_is_sent_again_with_the_next_event() -> None:
    endpoint = Endpoint(*[ConnectionRefusedError("refused")] * 4)
    endpoint.forwarder.confirm()
    assert len(endpoint.posted) == 4
    endpoint.forwarder.take(ENVELOPE)
    assert json.loads(endpoint.posted[-1])["Type"] == "SubscriptionConfirmation"
    assert len(endpoint.posted) == 5
