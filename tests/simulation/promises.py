"""A judge: were the warnings and expiries that a witness saw right, and in time (docs/contract.md, Events)?

Each exception that the contract states has a name here, and is counted, so that a test can tell that it was met.
"""

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from tests.simulation.witness import Biography, Creation, LeaseId, Published, State, Witness

THREE_MINUTES_MS: Final = 180_000
GRACE_MS: Final = 5_000
NEVER: Final = 1 << 60


@dataclass(frozen=True, slots=True)
class Lease:
    """One stretch with one expiry, in the states that patches of the threshold gave it."""

    lease_id: LeaseId
    shard: int
    states: list[State]
    superseded_ms: int
    """When the next lease, or the deletion, reached the table; NEVER if neither did."""
    deleted_ms: int
    renewed: bool

    @property
    def started_ms(self) -> int:
        return self.states[0].said_ms

    @property
    def expires_ms(self) -> int:
        return self.states[0].expires_ms

    @property
    def ended(self) -> bool:
        """Whether it came to its end: neither renewed nor patched away (perhaps by a call that was still under way at
        the end), nor deleted before."""
        return not self.renewed and self.deleted_ms >= self.expires_ms

    @property
    def shorter_than_three_minutes(self) -> bool:
        """Exception: such a lease may end without a warning."""
        return self.expires_ms - self.started_ms < THREE_MINUTES_MS


class Deadline(NamedTuple):
    """The last permitted moment of a warning. Exception: asked for at short notice, it goes out at the next sweep."""

    at_ms: int
    at_short_notice: bool


@dataclass(slots=True)
class Verdict:
    """What was found: `faults` must be empty; `exceptions` and the rest tell what the judgement is worth."""

    faults: list[str] = field(default_factory=list)
    exceptions: Counter[str] = field(default_factory=Counter)
    leases: int = 0
    ended: int = 0
    warned: int = 0
    announced: int = 0
    least_spare_ms: int = NEVER
    """How long before its moment the latest warning went out that was not asked for at short notice."""
    longest_lead_ms: int = 0
    """How long before its moment the earliest warning went out."""
    longest_expiry_ms: int = 0
    """How long after its expiry the latest `expired` went out."""

    def fault(self, what: str, lease: LeaseId, **facts: Any) -> None:
        self.faults.append(f"{what}: {lease} {facts}")


class Judge:
    """Judges what one witness saw, up to the moment at which it stopped looking."""

    def __init__(self, witness: Witness, index_lag_ms: int) -> None:
        self._witness = witness
        self._index_lag_ms = index_lag_ms
        self._query_times = {shard: [query.at_ms for query in queries] for shard, queries in witness.queries.items()}

    def judge(self) -> Verdict:
        verdict = Verdict()
        told: set[LeaseId] = set()
        for event_id, times in self._witness.ids.items():
            if times > 1:
                verdict.faults.append(f"sent {times} times: {event_id}")
        for creation, biography in self._witness.biographies.items():
            for lease in leases_of(creation, biography):
                verdict.leases += 1
                verdict.ended += lease.ended
                told.add(lease.lease_id)
                self._judge_warning(lease, verdict)
                self._judge_expiry(lease, verdict)
        for lease_id in (self._witness.warnings.keys() | self._witness.expiries.keys()) - told:
            verdict.fault("told of a lease that never was", lease_id)
        return verdict

    def _judge_warning(self, lease: Lease, verdict: Verdict) -> None:
        published = self._witness.warnings.get(lease.lease_id, [])
        for warning in published:
            verdict.warned += 1
            self._judge_reading(lease, warning, verdict)
        deadline = self._deadline(lease)
        if lease.shorter_than_three_minutes:
            verdict.exceptions["a lease shorter than three minutes may end without a warning"] += 1
        if deadline is None:
            return
        deadline_ms, at_short_notice = deadline
        verdict.exceptions["asked for at less than three minutes' notice: at the next sweep"] += at_short_notice
        if not published:
            verdict.fault("never warned", lease.lease_id, deadline_ms=deadline_ms)
        elif published[0].at_ms > deadline_ms:
            verdict.fault("warned late", lease.lease_id, deadline_ms=deadline_ms, at_ms=published[0].at_ms)
        elif not at_short_notice:
            verdict.least_spare_ms = min(verdict.least_spare_ms, deadline_ms - published[0].at_ms)

    def _judge_reading(self, lease: Lease, warning: Published, verdict: Verdict) -> None:
        """A warning is of the lease as it was read, and not too early for the threshold as it was read."""
        read = warning.read
        if read is None or read.lease != lease.lease_id.lease or read not in lease.states:
            verdict.fault("warned of what was over when it was read", lease.lease_id, read=read)
            return
        moment_ms = lease.expires_ms - read.warning_ms
        if warning.at_ms < moment_ms - THREE_MINUTES_MS:
            verdict.fault("warned early", lease.lease_id, at_ms=warning.at_ms, moment_ms=moment_ms)
        verdict.longest_lead_ms = max(verdict.longest_lead_ms, moment_ms - warning.at_ms)
        if warning.at_ms < lease.expires_ms - lease.states[-1].warning_ms - THREE_MINUTES_MS:
            verdict.exceptions["a lowered threshold does not recall a warning"] += 1

    def _deadline(self, lease: Lease) -> Deadline | None:
        """By when the warning must have gone out; None where the lease may go without.

        Each threshold asks for a moment. The first one that stayed in force until that moment is the one to be kept.
        """
        if lease.shorter_than_three_minutes:
            return None
        asked = previous = lease.states[0]
        for state, following in zip(lease.states, [*lease.states[1:], None], strict=True):
            if state.warning_ms > previous.warning_ms:
                asked = state
            previous = state
            until_ms = lease.superseded_ms if following is None else following.applied_ms
            due_by_ms = lease.expires_ms - state.warning_ms
            at_short_notice = due_by_ms - asked.said_ms < THREE_MINUTES_MS
            if at_short_notice:
                due_by_ms = max(due_by_ms, self._end_of_next_sweep_ms(lease.shard, asked.applied_ms))
            if due_by_ms < until_ms:
                return Deadline(due_by_ms, at_short_notice)
        return None

    def _end_of_next_sweep_ms(self, shard: int, applied_ms: int) -> int:
        """When the first run was over that asked for the shard with the index up to date, and left nothing undone."""
        following = bisect_left(self._query_times[shard], applied_ms + self._index_lag_ms)
        queries = self._witness.queries[shard][following:]
        run = next(query.run for query in queries if not query.run.summary["left"])
        assert run.ended_ms is not None
        return run.ended_ms

    def _judge_expiry(self, lease: Lease, verdict: Verdict) -> None:
        published = self._witness.expiries.get(lease.lease_id, [])
        if published and not lease.ended:
            verdict.fault("told to be over and was not", lease.lease_id)
            return
        if not lease.ended:
            return
        last_ms = lease.expires_ms + THREE_MINUTES_MS
        if not published and lease.deleted_ms <= last_ms:
            verdict.exceptions["deleted after its end, before it was announced"] += 1
            return
        if not published:
            verdict.fault("never announced", lease.lease_id)
            return
        verdict.announced += 1
        at_ms = published[0].at_ms
        verdict.longest_expiry_ms = max(verdict.longest_expiry_ms, at_ms - lease.expires_ms)
        if not lease.expires_ms + GRACE_MS <= at_ms <= last_ms:
            verdict.fault("announced at the wrong time", lease.lease_id, after_ms=at_ms - lease.expires_ms)


def leases_of(creation: Creation, biography: Biography) -> Iterator[Lease]:
    """A session's leases, in order."""
    deleted_ms = NEVER if biography.deleted_ms is None else biography.deleted_ms
    by_number: dict[int, list[State]] = {}
    for state in biography.states:
        by_number.setdefault(state.lease, []).append(state)
    groups = list(by_number.values())
    for states, following in zip(groups, [*groups[1:], None], strict=True):
        yield Lease(
            LeaseId(creation, states[0].lease),
            biography.shard,
            states,
            deleted_ms if following is None else following[0].applied_ms,
            deleted_ms if following is None else NEVER,
            following is not None,
        )
