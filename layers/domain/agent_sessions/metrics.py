"""Names of the metrics that the service publishes: the alarms of the template speak of these."""

from typing import Final

SESSIONS_CREATED: Final = "SessionsCreated"
SESSION_HEARTBEATS: Final = "SessionHeartbeats"
SESSIONS_RENEWED: Final = "SessionsRenewed"
SESSIONS_PATCHED: Final = "SessionsPatched"
SESSIONS_ENDED: Final = "SessionsEnded"
REQUEST_ERRORS: Final = "RequestErrors"

SWEEP_RUNS: Final = "SweepRuns"
SWEEP_LAG_SECONDS: Final = "SweepLagSeconds"
SWEEP_BACKLOG: Final = "SweepBacklog"
SWEEP_FAILURES: Final = "SweepFailures"
WARNINGS_PUBLISHED: Final = "WarningsPublished"
SESSIONS_EXPIRED: Final = "SessionsExpired"
ACTIVE_SESSIONS: Final = "ActiveSessions"
SESSIONS_EXPIRING_SOON: Final = "SessionsExpiringSoon"
