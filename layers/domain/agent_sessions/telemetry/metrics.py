"""What the edges report: one line a request or run, and counts by name. The template's alarms use these names.

`request_log` writes them on the request path, `powertools` in the background.
"""

from collections.abc import Mapping
from typing import Any, Final, Protocol

SESSIONS_CREATED: Final = "SessionsCreated"
SESSION_HEARTBEATS: Final = "SessionHeartbeats"
SESSIONS_RENEWED: Final = "SessionsRenewed"
SESSIONS_PATCHED: Final = "SessionsPatched"
SESSIONS_ENDED: Final = "SessionsEnded"
USER_MESSAGES: Final = "UserMessages"
AGENT_MESSAGES: Final = "AgentMessages"
SYSTEM_MESSAGES: Final = "SystemMessages"
TOOL_MESSAGES: Final = "ToolMessages"
REPLY_WAITS: Final = "ReplyWaits"
REPLIES_MISSED: Final = "RepliesMissed"
NUMBERS_SEALED: Final = "NumbersSealed"
REQUEST_ERRORS: Final = "RequestErrors"

MESSAGES_REDACTED: Final = "MessagesRedacted"
MESSAGES_ERASED: Final = "MessagesErased"
ERASURES_REQUESTED: Final = "ErasuresRequested"
SESSIONS_ERASED: Final = "SessionsErased"
USERS_ERASED: Final = "UsersErased"
ERASER_FAILURES: Final = "EraserFailures"

MESSAGE_EVENTS_PUBLISHED: Final = "MessageEventsPublished"
MESSAGE_EVENTS_REFUSED: Final = "MessageEventsRefused"

SWEEP_RUNS: Final = "SweepRuns"
SWEEP_LAG_SECONDS: Final = "SweepLagSeconds"
SWEEP_BACKLOG: Final = "SweepBacklog"
SWEEP_FAILURES: Final = "SweepFailures"
SWEEP_PASSED_OVER: Final = "SweepPassedOver"
WARNINGS_PUBLISHED: Final = "WarningsPublished"
SESSIONS_EXPIRED: Final = "SessionsExpired"
ACTIVE_SESSIONS: Final = "ActiveSessions"
SESSIONS_EXPIRING_SOON: Final = "SessionsExpiringSoon"


def unit_of(name: str) -> str:
    """Return the unit of a metric: seconds where its name ends in `Seconds`, else a count."""
    return "Seconds" if name.endswith("Seconds") else "Count"


class TelemetryPort(Protocol):
    """Takes one line a request or run, and counts. Neither method raises: what was done stands, logged or not."""

    def line(
        self,
        message: str,
        facts: Mapping[str, Any],
        crash: BaseException | None = None,
        counts: Mapping[str, float] | None = None,
    ) -> None:
        """Write one log line, with the stack of a crash, and publish what it counts."""
        ...

    def count(self, values: Mapping[str, float]) -> None:
        """Publish metrics by their names in `metrics`."""
        ...
