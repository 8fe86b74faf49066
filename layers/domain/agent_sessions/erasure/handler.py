"""The eraser's events: orders from its queue, each with an outcome of its own. Knows neither SQS nor DynamoDB."""

from collections.abc import Callable, Mapping
from typing import Any

from agent_sessions.erasure.service import Eraser, LifeOrder
from agent_sessions.metrics import ERASER_FAILURES, MESSAGES_ERASED, TelemetryPort


class ErasureHandler:
    """Answers Lambda's event for a batch of queue messages with those to deliver again."""

    def __init__(self, eraser: Eraser, read_order: Callable[[str], LifeOrder], telemetry: TelemetryPort) -> None:
        """Let `eraser` carry out what `read_order` makes of a message's body."""
        self._eraser = eraser
        self._read_order = read_order
        self._telemetry = telemetry

    def handle(self, event: Mapping[str, Any]) -> dict[str, Any]:
        """Carry out each order. One that fails comes again, and after five times goes to the dead letters."""
        failed: list[str] = []
        erased = 0
        for record in event["Records"]:
            facts: dict[str, Any] = {"message": record["messageId"]}
            try:
                order = self._read_order(record["body"])
                facts["session"] = order.session_id
                removal = self._eraser.carry_out(order)
            except Exception as crash:  # noqa: BLE001 - one order must not hold up the others of its batch
                failed.append(record["messageId"])
                self._telemetry.line("erasure", facts, crash)
            else:
                erased += removal.messages
                self._telemetry.line("erasure", facts | {"messages": removal.messages, "more": removal.more})
        self._telemetry.count({MESSAGES_ERASED: erased, ERASER_FAILURES: len(failed)})
        return {"batchItemFailures": [{"itemIdentifier": message_id} for message_id in failed]}
