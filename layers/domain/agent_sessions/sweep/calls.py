"""The calls of one shard's work: each thing is tried once a round, and what fails is kept for a later round.

A call that failed whole is repeated in four parts, so that one session cannot keep its neighbours back. Knows neither
SNS nor DynamoDB.
"""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from enum import Enum
from typing import Any, Final, NamedTuple, TypeVar

from agent_sessions.errors import ServiceUnavailable
from agent_sessions.events.cloud_events import BatchRefused
from agent_sessions.sessions.model import Session
from agent_sessions.sweep.claim import ATTEMPTS, Claim
from agent_sessions.sweep.ports import DueEntry, Mark, PassedOver

PAGE: Final = 100
"""Entries read at a time: what one BatchGetItem takes."""
PUBLISH_BATCH: Final = 10
"""Events of one PublishBatch (SNS's limit)."""
MARK_BATCH: Final = 25
"""Statements of one BatchExecuteStatement (DynamoDB's limit)."""
GIVE_UP: Final = 3
"""Calls that fail whole one after another before the rest of a page is left to the next round."""
PARTS: Final = 4
"""Parts in which a call that failed whole is repeated: 100 sessions, then 25, 7, 2 and 1, in five tries."""
KEPT_ERRORS: Final = 5
"""Unforeseen errors of a shard that are kept for the log."""

_T = TypeVar("_T")
_A = TypeVar("_A")
_R = TypeVar("_R")


class Step(Enum):
    """The kinds of call. The value says what was wrong with a session at which that call failed."""

    FIND = "cannot be found"
    READ = "item cannot be read"
    PUBLISH = "event cannot be published"
    MARK = "item cannot be marked"


_LIMITS: Final = {Step.READ: PAGE, Step.PUBLISH: PUBLISH_BATCH, Step.MARK: MARK_BATCH}


class Entries(NamedTuple):
    """Due sessions to work on from the read on, and how often that was tried."""

    things: Sequence[DueEntry]
    tries: int


class Marks(NamedTuple):
    """Marks to make, and how often that was tried."""

    things: Sequence[Mark]
    tries: int


class Exhausted(NamedTuple):
    """A session for which a call failed whole when it was tried alone, as often as it may be tried."""

    step: Step
    entry: DueEntry
    error: Exception


class Calls:
    """Makes a shard's calls; `later` is what the next round is to do again, `passed_over` what no round can do."""

    def __init__(self, claim: Claim, worked: set[Step]) -> None:
        """Make calls while `claim` allows it; `worked` collects the kinds of call that succeeded in the run."""
        self.later: list[Entries | Marks] = []
        self.exhausted: list[Exhausted] = []
        self.passed_over: list[PassedOver] = []
        self.mishaps: list[Exception] = []
        self.failing: set[Step] = set()
        """The kinds of call whose last one failed whole."""
        self.made = 0
        """How many calls this round made."""
        self.progressed = False
        """Whether something came of this round's calls: a page was found, an event published or a mark made."""
        self.error: Exception = ServiceUnavailable()
        """Of the last call that failed whole."""
        self._claim = claim
        self._worked = worked

    def once(self, step: Step, send: Callable[[_A], _R], argument: _A) -> _R | None:
        """Make one call; return None where it fails whole."""
        self.made += 1
        try:
            answer = self._claim.timed(send, argument)
        except Exception as error:  # noqa: BLE001 - it is kept, and the run tries again
            self.error = error
            self.failing.add(step)
            self.keep(error)
            return None
        self.failing.discard(step)
        if step is not Step.PUBLISH:  # of which the outcomes tell
            self._worked.add(step)
        self.progressed = self.progressed or step is not Step.READ
        return answer

    def in_batches(
        self, step: Step, things: Sequence[_T], tries: int, send: Callable[[Sequence[_T]], _R]
    ) -> Iterator[tuple[Sequence[_T], _R]]:
        """Make the calls of one step; yield each batch that got an answer with that answer.

        After a call that failed whole the next one takes a single thing, from the other end: it shows whether the
        service is away or the batch had a bad thing in it. With a bad thing in the second batch of fifty events, the
        calls take 10, 10 (fails), 1 (the last), 10, 10, 9. After three failures in a row the rest is left to the next
        round, untried; so it is when the time is up.
        """
        waiting = deque(things)
        failures = sent = 0
        while waiting:
            if failures == GIVE_UP or not self._allows(step, sent):
                self.later.append(_again(step, list(waiting), tries))
                return
            size = min(_LIMITS[step], len(waiting))
            batch = [waiting.pop()] if failures else [waiting.popleft() for _ in range(size)]
            answer = self.once(step, send, batch)
            if answer is None:
                failures += 1
                self.try_in_parts(step, batch, tries, self.error)
            else:
                failures = 0
                sent += len(batch)
                yield batch, answer

    def try_again(self, step: Step, things: Sequence[_T], tries: int) -> None:
        """Leave to the next round what a call answered to be busy; pass it over where it was tried often enough."""
        if tries + 1 < ATTEMPTS:
            if things:
                self.later.append(_again(step, things, tries + 1))
            return
        for thing in things:
            self.pass_over(entry_of(thing).session_id, step, "busy")

    def try_in_parts(self, step: Step, things: Sequence[_T], tries: int, error: Exception) -> None:
        """Leave to the next round, in four parts, what a call that failed whole was about."""
        if len(things) == 1 and tries + 1 >= ATTEMPTS:
            self.exhausted.append(Exhausted(step, entry_of(things[0]), error))
            return
        size = -(-len(things) // PARTS)
        for start in range(0, len(things), size):
            self.later.append(_again(step, things[start : start + size], tries + 1))

    def pass_over(self, session_id: str, step: Step, details: str) -> None:
        """Count a session at which a call failed for the session's own sake."""
        self.passed_over.append(PassedOver(session_id, step.value, details))

    def keep(self, error: Exception) -> None:
        """Keep an error that nobody foresaw for the log, once for each wording."""
        kept = {repr(mishap) for mishap in self.mishaps}
        if (
            not isinstance(error, (ServiceUnavailable, BatchRefused))
            and len(kept) < KEPT_ERRORS
            and repr(error) not in kept
        ):
            self.mishaps.append(error)

    def _allows(self, step: Step, sent: int) -> bool:
        """Return whether there is time for another call of a step, and for the marks of what it publishes."""
        if step is Step.MARK:
            return self._claim.has_time()
        marks = 2 * -(-(sent + PUBLISH_BATCH) // MARK_BATCH) if step is Step.PUBLISH else 2
        return self._claim.allows(2 + marks)


def _again(step: Step, things: Sequence[Any], tries: int) -> Entries | Marks:
    """Return what is to be done again: marks alone, everything else from the read on, as it may have changed."""
    return Marks(things, tries) if step is Step.MARK else Entries([entry_of(thing) for thing in things], tries)


def entry_of(thing: object) -> DueEntry:
    """Return the entry of the due index that a session or a mark came from."""
    if isinstance(thing, DueEntry):
        return thing
    session = thing.session if isinstance(thing, Mark) else thing
    if not isinstance(session, Session):
        raise TypeError(thing)
    return DueEntry(session.session_id, session.due_at_ms)


def described(error: Exception) -> str:
    """Return an error in one line."""
    return f"{type(error).__name__}: {error}"


def where(things: Sequence[_T], outcomes: Sequence[Enum], wanted: Enum) -> list[_T]:
    """Return the things that had the wanted outcome."""
    return [thing for thing, outcome in zip(things, outcomes, strict=True) if outcome is wanted]
