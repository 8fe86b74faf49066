"""Public list prices in dollars. Look them up anew, change the date, run `python -m tools.cost --write`."""

import math
from typing import Final, NamedTuple

PRICED_ON: Final = "2026-11-22"
REGION: Final = "us-east-1"

INFINITY: Final = math.inf
MILLION: Final = 1e6
TB: Final = 1e3
"""In gigabytes, as the price lists count."""


class Price(NamedTuple):
    """What something costs, in tiers that each reach up to an amount a month; `per` so many of its unit."""

    what: str
    per: float
    unit: str
    tiers: tuple[tuple[float, float], ...]

    def of(self, amount: float) -> float:
        """Return what so much costs in a month."""
        total = below = 0.0
        for up_to, dollars in self.tiers:
            total += max(0.0, min(amount, up_to) - below) * dollars / self.per
            below = up_to
        return total


def _flat(dollars: float) -> tuple[tuple[float, float], ...]:
    return ((INFINITY, dollars),)


API_CALL: Final = Price("API Gateway, HTTP API", MILLION, "calls", ((300e6, 1.00), (INFINITY, 0.90)))
LAMBDA_CALL: Final = Price("Lambda, requests", MILLION, "requests", _flat(0.20))
LAMBDA_TIME: Final = Price(
    "Lambda, duration on arm64", MILLION, "GB-seconds", ((7.5e9, 13.3334), (18.75e9, 12.0001), (INFINITY, 10.6667))
)
WRITE_UNIT: Final = Price("DynamoDB on demand, writes", MILLION, "units", _flat(0.625))
READ_UNIT: Final = Price("DynamoDB on demand, reads", MILLION, "units", _flat(0.125))
STORAGE: Final = Price("DynamoDB, storage", 1, "GB-month", _flat(0.25))
RECOVERY: Final = Price("DynamoDB, point-in-time recovery", 1, "GB-month", _flat(0.20))
PUBLISH: Final = Price("SNS, publishing (a batch up to 64 KB is one)", MILLION, "requests", _flat(0.50))
LOGS: Final = Price(
    "CloudWatch, logs of Lambda and the gateway",
    1,
    "GB",
    ((10 * TB, 0.50), (30 * TB, 0.25), (50 * TB, 0.10), (INFINITY, 0.05)),
)
DATA_OUT: Final = Price(
    "Data out to the internet", 1, "GB", ((10 * TB, 0.09), (50 * TB, 0.085), (150 * TB, 0.07), (INFINITY, 0.05))
)
METRIC: Final = Price("CloudWatch, metrics of one's own", 1, "metric", ((10e3, 0.30), (INFINITY, 0.10)))
ALARM: Final = Price("CloudWatch, alarms", 1, "metric watched", _flat(0.10))
DASHBOARD: Final = Price("CloudWatch, dashboards", 1, "dashboard", _flat(3.00))
SCHEDULE: Final = Price("EventBridge Scheduler (an alternative)", MILLION, "invocations", _flat(1.00))
SNAPSHOT: Final = Price("Lambda SnapStart, keeping a version's snapshot", MILLION, "GB-seconds", _flat(1.5046))
RESTORE: Final = Price("Lambda SnapStart, restoring one", MILLION, "GB", _flat(139.7998))
WARM: Final = Price("Lambda, provisioned concurrency on arm64", MILLION, "GB-seconds", _flat(3.3334))

PRICES: Final = tuple(price for price in list(globals().values()) if isinstance(price, Price))
