"""Where the edges tell what happened; `telemetry` is the implementation on Powertools."""

from collections.abc import Mapping
from typing import Any, Protocol


class TelemetryPort(Protocol):
    """Takes one line a request or run, and counts."""

    def line(self, message: str, facts: Mapping[str, Any], crash: BaseException | None = None) -> None:
        """Write one log line, with the stack of a crash."""
        ...

    def count(self, values: Mapping[str, float]) -> None:
        """Publish metrics by their names in `metrics`."""
        ...
