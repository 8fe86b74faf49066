"""How moments and settings are written in JSON, in answers and in events."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from agent_sessions.sessions.model import TimeoutConfig

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def timestamp(epoch_ms: int) -> str:
    """Return ISO 8601 in UTC with milliseconds and `Z`."""
    return (_EPOCH + timedelta(milliseconds=epoch_ms)).isoformat(timespec="milliseconds")[:-6] + "Z"


def timeout_config(timeout: TimeoutConfig) -> dict[str, Any]:
    """Return the settings in force, in minutes as sent."""
    return {
        "timeoutMinutes": timeout.timeout_minutes,
        "autoRenew": timeout.auto_renew,
        "maxDurationMinutes": timeout.max_duration_minutes,
        "warningThresholdMinutes": timeout.warning_threshold_minutes,
    }


def compact(value: object) -> str:
    """Return JSON text without spaces, and without escapes for what UTF-8 can encode."""
    return _COMPACT.encode(value)


# `json.dumps` would make one for each text: 0.01 Mi.
_COMPACT: Final = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))
