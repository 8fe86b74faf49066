"""An SQS queue in memory, as far as the eraser's orders need it: delays by the clock, at-least-once delivery."""

from collections.abc import Mapping
from typing import Any

from tests.engines.faults import Clock
from tests.engines.hooked import Hooked


class FakeQueue(Hooked):
    """A client of SQS with one queue. What is due is handed over by `deliver`."""

    def __init__(self, clock: Clock) -> None:
        super().__init__("sqs", clock)
        self.waiting: list[tuple[int, str]] = []

    def send_message(self, **request: Any) -> dict[str, Any]:
        """SendMessage."""
        return self._call(
            "send_message", request, frozenset({"QueueUrl", "MessageBody", "DelaySeconds"}), self._send_message
        )

    def deliver(self, handler: Any) -> int:
        """Hand each message that is due to the function; keep those that it reports as failed. Return how many went."""
        now_ms = self.clock.now_ms()
        due = [entry for entry in self.waiting if entry[0] <= now_ms]
        gone = 0
        for entry in due:
            failed = handler({"Records": [{"messageId": "1", "body": entry[1]}]}, None)["batchItemFailures"]
            if not failed:
                self.waiting.remove(entry)
                gone += 1
        return gone

    def _send_message(self, request: Mapping[str, Any]) -> dict[str, Any]:
        self.waiting.append((self.clock.now_ms() + 1000 * request.get("DelaySeconds", 0), request["MessageBody"]))
        return {"MessageId": str(len(self.waiting))}
