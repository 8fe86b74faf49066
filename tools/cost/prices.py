"""Public list prices in dollars. To renew them, change the date too, then run `make cost`."""

from math import inf
from typing import Final, NamedTuple

PRICED_ON: Final = "2026-11-22"
REGION: Final = "us-east-1"
MILLION: Final = 1e6


class Price(NamedTuple):
    """What `per` of a unit costs, in tiers that each reach up to an amount a month."""

    what: str
    per: float
    unit: str
    tiers: tuple[tuple[float, float], ...]

    def of(self, amount: float) -> float:
        """Return what so much costs in a month."""
        starts = [0.0, *(up_to for up_to, _ in self.tiers)]
        tiers = [(start, *tier) for start, tier in zip(starts, self.tiers, strict=False)]
        return sum(max(0.0, min(amount, up_to) - start) * dollars / self.per for start, up_to, dollars in tiers)


API_CALL: Final = Price("API Gateway, HTTP API", MILLION, "calls", ((300e6, 1.00), (inf, 0.90)))
LAMBDA_CALL: Final = Price("Lambda, requests", MILLION, "requests", ((inf, 0.20),))
_ARM_TIERS: Final = ((7.5e9, 13.3334), (18.75e9, 12.0001), (inf, 10.6667))
LAMBDA_TIME: Final = Price("Lambda, duration on arm64", MILLION, "GB-seconds", _ARM_TIERS)
WRITE_UNIT: Final = Price("DynamoDB on demand, writes", MILLION, "units", ((inf, 0.625),))
READ_UNIT: Final = Price("DynamoDB on demand, reads", MILLION, "units", ((inf, 0.125),))
STORAGE: Final = Price("DynamoDB, storage", 1, "GB-month", ((inf, 0.25),))
RECOVERY: Final = Price("DynamoDB, point-in-time recovery", 1, "GB-month", ((inf, 0.20),))
PUBLISH: Final = Price("SNS, publishing (a batch up to 64 KB is one)", MILLION, "requests", ((inf, 0.50),))
LOGS: Final = Price("CloudWatch, logs", 1, "GB", ((10e3, 0.50), (30e3, 0.25), (50e3, 0.10), (inf, 0.05)))
DATA_OUT: Final = Price("Data out to the internet", 1, "GB", ((10e3, 0.09), (50e3, 0.085), (150e3, 0.07), (inf, 0.05)))
METRIC: Final = Price("CloudWatch, metrics of one's own", 1, "metric", ((10e3, 0.30), (inf, 0.10)))
ALARM: Final = Price("CloudWatch, alarms", 1, "metric watched", ((inf, 0.10),))
DASHBOARD: Final = Price("CloudWatch, dashboards", 1, "dashboard", ((inf, 3.00),))
SNAPSHOT: Final = Price("Lambda SnapStart, keeping a version's snapshot", MILLION, "GB-seconds", ((inf, 1.5046),))
RESTORE: Final = Price("Lambda SnapStart, restoring one", MILLION, "GB", ((inf, 139.7998),))
WARM: Final = Price("Lambda, provisioned concurrency on arm64", MILLION, "GB-seconds", ((inf, 3.3334),))
PRICES: Final = tuple(price for price in list(globals().values()) if isinstance(price, Price))
