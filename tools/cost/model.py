"""What sessions ask of the service and what that costs in a month; what finding the due ones costs in three designs."""

import math
from typing import Final, NamedTuple

from agent_sessions.sessions.leases import WARNED_EARLY_MS
from agent_sessions.settings import SessionSettings, SweepSettings
from agent_sessions.sweep.calls import PUBLISH_BATCH
from agent_sessions.sweep.claim import WORK_MS
from agent_sessions.telemetry import metrics

from template_reader import Template
from tools.cost import prices

MINUTE, HOUR, MONTH = 60.0, 3600.0, 730 * 3600.0  # seconds, as all times here
MINUTES: Final = MONTH / MINUTE
PEAK: Final = 2.0  # times the average
_SETTINGS: Final = SessionSettings.model_fields | SweepSettings.model_fields

# A session: active with heartbeats, then it idles out. Its item stays as long as the longest session would, for the
# retention, for a day, and for some day until TTL removes it.
ACTIVE, READS, POLICY_READS, TALK = HOUR, 2, 1, 20  # policies at most; messages, each within 1 KB and polled for once
_TIMEOUT, _THRESHOLD = (_SETTINGS[f"session_{of}_minutes"].default for of in ("default_timeout", "warning_threshold"))
LIFETIME: Final = ACTIVE + _TIMEOUT * MINUTE
HINTED: Final = ((_TIMEOUT - _THRESHOLD) * MINUTE - WARNED_EARLY_MS / 1_000) / 2  # from a heartbeat to its `renewAfter`
_LONGEST: Final = 2 * _SETTINGS["session_max_timeout_minutes"].default * MINUTE
STORED: Final = _LONGEST + _SETTINGS["session_retention_minutes"].default * MINUTE + 2 * 24 * HOUR
ITEM_BYTES, ENTRY_BYTES = 700, 75  # an item with some 150 bytes of metadata, and its entry in the index `due`
LISTED_BYTES: Final = 2 * (230 + 100)  # its entries in two indexes, with DynamoDB's own 100 bytes each, stay until TTL
REARMS, WAITS = 3, 3  # how often sweeps meet it to re-arm it, and to leave it alone between warning and expiry
MET: Final = REARMS + WAITS + 2

# Write units for an item of up to 1 KB. An index entry that moves is deleted and written: two units.
CREATE_UNITS, DUE_UNITS_OF_CREATE = 4.0, 1.0  # the item, and an entry in each of three indexes, of which one is `due`
REARM_UNITS = WARN_UNITS = 3.0  # the item, and two units of one index
UNLIST_UNITS, ANNOUNCE_UNITS = 5.0, 2.0  # the item, and an entry that moves in each of two indexes, or one in `due`
DUE_UNITS: Final = DUE_UNITS_OF_CREATE + REARMS * REARM_UNITS + WARN_UNITS + ANNOUNCE_UNITS
READ_UNITS_OF_SCAN: Final = 1 / 8192  # for a byte, eventually consistent; the same in a query
MET_UNITS: Final = 1 + ENTRY_BYTES * READ_UNITS_OF_SCAN

MEMORY_GB: Final = 0.5
CALL_SECONDS, RUN_SECONDS = 0.015, 0.3  # billed for one call of the API function, and for an idle run of the sweep
BYTE_SECONDS: Final = 0.06 / 2**20  # to read by query or scan
PROCESSOR_RATE: Final = 2_000  # sessions that a sweep handles in a second on a whole processor
SWEEP_RATE: Final = PROCESSOR_RATE * MEMORY_GB * 1024 / 1769  # the same with the default memory
LOG_BYTES, RESPONSE_BYTES = 545, 630 + 300  # a heartbeat's: its line and the access log's, Lambda's own only on failure
PUBLISHER_LOG_BYTES: Final = 400  # a run's line and its metric, as measured
METRICS: Final = sum(name.isupper() for name in vars(metrics))
_ALARMS: Final = Template().of_type("AWS::CloudWatch::Alarm").values()
ALARM_METRICS: Final = sum(sum("MetricStat" in each for each in alarm.get("Metrics", [])) or 1 for alarm in _ALARMS)
SHARDS, MOST_SHARDS = int(_SETTINGS["due_shards"].default), 32
PARTITION_WRITES, PARTITION_READS = 1_000, 3_000


class Load(NamedTuple):
    """What live sessions ask of the service in a second on average, and what bears their peak."""

    created: float
    requests: float
    item_writes: float
    due_writes: float
    reads: float
    sweeps: int  # runs a minute, over all stacks
    due_shards: int  # over all stacks
    stacks: int


def load(live: float, heartbeat: float = MINUTE) -> Load:
    """Estimate the load of a steady number of live sessions: as many are created as end."""
    created = live / LIFETIME
    beats = ACTIVE // heartbeat
    due_writes = created * (2 + 2 * (REARMS + 1))
    sweeps = 1 if (busy := PEAK * created * MET * 60_000 / WORK_MS) <= SWEEP_RATE else math.ceil(busy / PROCESSOR_RATE)
    shards = max(SHARDS, sweeps, math.ceil(PEAK * due_writes / PARTITION_WRITES))
    return Load(
        created=created,
        requests=created * (1 + beats + READS + 2 * TALK),
        item_writes=created * (beats + REARMS + 4),  # created, warned, unlisted, announced
        due_writes=due_writes,
        reads=created * (READS + POLICY_READS + MET * MET_UNITS),
        sweeps=sweeps,
        due_shards=shards,
        stacks=math.ceil(shards / MOST_SHARDS),
    )


def components(live: float, heartbeat: float = MINUTE) -> dict[str, float]:
    """Price a month of this design, by component."""
    of = load(live, heartbeat)
    talk = of.created * TALK * MONTH
    stored_gb = (of.created * STORED * (ITEM_BYTES + 100 + LISTED_BYTES) + live * (ENTRY_BYTES + 100)) / 1e9
    listed = of.created * (CREATE_UNITS - DUE_UNITS_OF_CREATE + UNLIST_UNITS)
    return _answered(of.requests * MONTH) | {
        "heartbeats, a write unit each": prices.WRITE_UNIT.of(of.created * (ACTIVE // heartbeat) * MONTH),
        "creating, reading and unlisting": prices.WRITE_UNIT.of(listed * MONTH)
        + prices.READ_UNIT.of(of.created * (READS + POLICY_READS) * MONTH),
        "messages, two write units each": prices.WRITE_UNIT.of(2 * talk) + prices.READ_UNIT.of(2 * talk),
        "events of messages, a run each": prices.PUBLISH.of(talk)
        + _function(talk * CALL_SECONDS, talk)
        + prices.LOGS.of(talk * PUBLISHER_LOG_BYTES / 1e9),
        "finding and announcing what is due": this_design(live),
        "storage and recovery": prices.STORAGE.of(stored_gb) + prices.RECOVERY.of(stored_gb),
        "metrics, alarms, dashboard": prices.METRIC.of(METRICS * of.stacks)
        + prices.ALARM.of(ALARM_METRICS * of.stacks)
        + prices.DASHBOARD.of(of.stacks),
    }


def heartbeats(count: float) -> dict[str, float]:
    """Price so many heartbeats alone, by component, from the first dollar of each price on."""
    return _answered(count) | {"DynamoDB": prices.WRITE_UNIT.of(count)}


def _answered(calls: float) -> dict[str, float]:
    return {
        "API Gateway": prices.API_CALL.of(calls),
        "API function": _function(calls * CALL_SECONDS, calls),
        "logs": prices.LOGS.of(calls * LOG_BYTES / 1e9),
        "data out": prices.DATA_OUT.of(calls * RESPONSE_BYTES / 1e9),
    }


def this_design(live: float) -> float:
    """Price finding and announcing what is due: an index entry moves when a sweep meets it."""
    of = load(live)
    written = of.created * DUE_UNITS * MONTH + 2 * of.sweeps * MINUTES  # with each run's claim
    return prices.WRITE_UNIT.of(written) + _swept(of.created, of.created * MET, of.due_shards)


def moved_index(live: float) -> float:
    """Price the same where each heartbeat moves its session's entry, so that sweeps re-arm nothing."""
    created = load(live).created
    written = created * (DUE_UNITS - REARMS * REARM_UNITS + 2 * ACTIVE / MINUTE) * MONTH
    return prices.WRITE_UNIT.of(written) + _swept(created, created * (WAITS + 2), SHARDS)


def scan(live: float) -> float:
    """Price the same without an index: a scan reads every stored item each minute."""
    created = load(live).created
    octets = created * STORED * ITEM_BYTES
    work = _function((octets * BYTE_SECONDS + RUN_SECONDS) * MINUTES, MINUTES) + _published(created, 1)
    return work + prices.READ_UNIT.of(octets * READ_UNITS_OF_SCAN * MINUTES) + prices.WRITE_UNIT.of(created * MONTH)


def _swept(created: float, met: float, shards: int) -> float:
    reads = prices.READ_UNIT.of(met * MET_UNITS * MONTH + shards * MINUTES / 2)
    return reads + _function(met / SWEEP_RATE * MONTH + MINUTES * RUN_SECONDS, MINUTES) + _published(created, shards)


def _published(created: float, groups: int) -> float:
    events = created * MINUTE / groups
    return prices.PUBLISH.of(2 * groups * max(min(events, 1.0), events / PUBLISH_BATCH) * MINUTES)


def _function(seconds: float, calls: float) -> float:
    return prices.LAMBDA_TIME.of(seconds * MEMORY_GB) + prices.LAMBDA_CALL.of(calls)


_SCANNED: Final = STORED * ITEM_BYTES * READ_UNITS_OF_SCAN
_WRITES: Final = MOST_SHARDS * PARTITION_WRITES * LIFETIME
# Each design's name, cost, how many live sessions it bears, and what is full then.
DESIGNS: Final = (
    ("index moved at each heartbeat", moved_index, _WRITES / (2 * ACTIVE / MINUTE), f"{MOST_SHARDS} shards"),
    ("scan every minute", scan, 4 * PARTITION_READS * MINUTE * LIFETIME / _SCANNED, "a new table's 4 partitions"),
    ("this design: index moved by sweeps", this_design, _WRITES / (2 + 2 * (REARMS + 1)), f"{MOST_SHARDS} shards"),
)
