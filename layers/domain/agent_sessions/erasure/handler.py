"""The eraser's events: orders from its queue, each with an outcome of its own. Knows neither SQS nor DynamoDB."""

from collections.abc import Callable, Mapping
from typing import Any

from agent_sessions.erasure.ports import UserOrder
from agent_sessions.erasure.service import Eraser, LifeOrder
from agent_sessions.erasure.users import UserEraser
from agent_sessions.telemetry.metrics import (
    ERASER_FAILURES,
    MESSAGES_ERASED,
    SESSIONS_ERASED,
    USERS_ERASED,
    TelemetryPort,
)


class ErasureHandler:
    """Answers Lambda's event for a batch of queue messages with those to deliver again."""

    def __init__(
        self,
        eraser: Eraser,
        users: UserEraser,
        read_order: Callable[[str], LifeOrder | UserOrder],
        telemetry: TelemetryPort,
    ) -> None:
        """Let `eraser` and `users` carry out what `read_order` makes of a message's body."""
        self._eraser = eraser
        self._users = users
        self._read_order = read_order
        self._telemetry = telemetry

    def handle(self, event: Mapping[str, Any]) -> dict[str, Any]:
        """Carry out each order. One that fails comes again, and after five times goes to the dead letters."""
        failed: list[str] = []
        counts: dict[str, float] = {MESSAGES_ERASED: 0, ERASER_FAILURES: 0}
        for record in event["Records"]:
            facts: dict[str, Any] = {"order": record["messageId"]}
            try:
                self._carry_out(self._read_order(record["body"]), facts, counts)
            except Exception as crash:  # noqa: BLE001 - one order must not hold up the others of its batch
                failed.append(record["messageId"])
                counts[ERASER_FAILURES] += 1
                self._telemetry.line("erasure", facts, crash)
            else:
                self._telemetry.line("erasure", facts)
        self._telemetry.count(counts)
        return {"batchItemFailures": [{"itemIdentifier": message_id} for message_id in failed]}

    def _carry_out(self, order: LifeOrder | UserOrder, facts: dict[str, Any], counts: dict[str, float]) -> None:
        """Carry out one order; add to the facts of its line and to the counts."""
        if isinstance(order, LifeOrder):
            facts["session"] = order.session_id
            removal = self._eraser.carry_out(order)
            facts |= {"messages": removal.messages, "more": removal.more}
            counts[MESSAGES_ERASED] += removal.messages
            return
        facts["erasure"] = order.erasure_id
        turn = self._users.carry_out(order)
        if turn is None:
            return
        before, after = turn
        done = after.finished_at_ms is not None
        removed = {"sessions": after.sessions - before.sessions, "messages": after.messages - before.messages}
        facts |= removed | {"tenant": after.tenant_id, "done": done}
        counts[MESSAGES_ERASED] += removed["messages"]
        counts[SESSIONS_ERASED] = counts.get(SESSIONS_ERASED, 0) + removed["sessions"]
        counts[USERS_ERASED] = counts.get(USERS_ERASED, 0) + done
