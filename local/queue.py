"""SQS's part for the eraser: keeps orders until they are due by the local clock, and hands them to the function.

Orders are kept in memory alone. What one of them would have removed after the stack was stopped stays in a kept table
until its TTL; nobody can read it.
"""

import threading
import uuid
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from local.clock import MovableClock

if TYPE_CHECKING:
    from types_boto3_sqs import SQSClient

MAX_RECEIVES: Final = 5
"""As the template's redrive policy: an order that fails so often is dropped, and reported."""


class LocalQueue:
    """The eraser's queue, with the one call of SQS's client that the functions make."""

    def __init__(
        self,
        url: str,
        clock: MovableClock,
        on_failure: Callable[[BaseException], None],
        others: "SQSClient | None" = None,
    ) -> None:
        """Go by `clock`; report an order that failed for the last time to `on_failure`.

        What is sent to another queue than `url` goes to `others`.
        """
        self._url = url
        self._others = others
        self._clock = clock
        self._on_failure = on_failure
        self._lock = threading.Lock()
        self._waiting: list[tuple[int, str, int]] = []

    def send_message(self, **request: Any) -> dict[str, Any]:
        """Keep a message until its delay is over."""
        if self._others is not None and request["QueueUrl"] != self._url:
            return dict(self._others.send_message(**request))
        due_ms = self._clock.now_ms() + 1000 * int(request.get("DelaySeconds", 0))
        with self._lock:
            self._waiting.append((due_ms, request["MessageBody"], 0))
        return {"MessageId": str(uuid.uuid4())}

    def deliver(self, function: Callable[[dict[str, Any]], Any]) -> None:
        """Hand over each message that is due. One that the function reports as failed comes again."""
        now_ms = self._clock.now_ms()
        with self._lock:
            due = [entry for entry in self._waiting if entry[0] <= now_ms]
            self._waiting = [entry for entry in self._waiting if entry[0] > now_ms]
        for _, body, failures in due:
            message_id = str(uuid.uuid4())
            answer = function({"Records": [{"messageId": message_id, "body": body}]})
            if not answer["batchItemFailures"]:
                continue
            if failures + 1 < MAX_RECEIVES:
                with self._lock:
                    self._waiting.append((now_ms, body, failures + 1))
            else:
                self._on_failure(RuntimeError(f"the eraser failed {MAX_RECEIVES} times at {body}"))
