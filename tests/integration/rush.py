"""Sixteen callers at once on the same sessions, through the deployed handler, and what each of their calls wrote.

The clocks of the callers differ by some milliseconds and go on whenever one is read, however fast the machine is.
Between rounds, while nobody calls, time jumps by two and a half minutes. Timeouts and caps are multiples of that and a
round is shorter: so sessions expire between rounds and never in one, and in a round it is certain which are alive.
"""

import itertools
import random
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass, field
from io import StringIO
from typing import Any, Final

from agent_sessions.sessions.dynamo_item import session_from_item
from agent_sessions.sessions.model import Session

from tests.engines.fixtures import Table
from tests.integration.deployed import Deployed
from tests.store_suite.examples import item
from tests.store_suite.races import at_once
from tests.unit.world import MINUTE, START_MS, Answer

CALLERS: Final = 16
JUMP_MS: Final = 5 * MINUTE // 2
SKEW_MS: Final = (-7, -3, 0, 0, 2, 4, 6, 9)
"""By how much the clocks of the callers are wrong."""

# A patch that loses five times to other patches is a 503 (docs/contract.md, Errors): these are not too many for that.
SHARES: Final[dict[str, int]] = {"heartbeat": 100, "renew": 30, "patch": 12, "get": 44, "warn": 13, "delete": 1}
SHARES_OF_ONE: Final[dict[str, int]] = SHARES | {"patch": 2, "delete": 0}
TIMEOUTS: Final = (5, 7.5, 20)
CAPS: Final = (20, 30, 720)


class SkewedClock:
    """Every look takes some time, from a made-up start; each caller's own clock is wrong by some milliseconds."""

    def __init__(self, ms_a_look: float = 0.5) -> None:
        self.jumped_ms = 0
        self._looks = itertools.count()
        self._ms_a_look = ms_a_look
        self._own = threading.local()

    def set_wrong_by(self, milliseconds: int) -> None:
        """From now on, for the calling thread."""
        self._own.skew_ms = milliseconds

    def now_ms(self) -> int:
        return START_MS + self.jumped_ms + int(next(self._looks) * self._ms_a_look) + getattr(self._own, "skew_ms", 0)

    def sleep(self, seconds: float) -> None:
        threading.Event().wait(seconds)  # a patch that has lost twice lets its rivals pass


@dataclass(frozen=True)
class Done:
    """One call: when it began and was answered (in the machine's time), the answer, and the session it wrote.

    `lost` is how many of its conditional writes came too late, because another call had changed the session.
    """

    action: str
    session_id: str
    began: int
    ended: int
    answer: Answer
    wrote: Session | None
    renewed: bool
    lost: int


@dataclass
class Round:
    """What all callers did between two jumps of time, and the sessions as they were before and after."""

    began_ms: int
    before: Mapping[str, Session | None]
    ended_ms: int = 0
    done: list[Done] = field(default_factory=list)
    after: Mapping[str, Session | None] = field(default_factory=dict)

    @property
    def alive(self) -> Mapping[str, Session]:
        """The sessions that live throughout, unless somebody deletes them."""
        return {key: it for key, it in self.before.items() if it and it.expires_at_ms > self.began_ms}

    @property
    def expired(self) -> Mapping[str, Session]:
        """Those that are over, and still there."""
        return {key: it for key, it in self.before.items() if it and it.expires_at_ms <= self.began_ms}


class Rush:
    """The sessions, the callers, and the history of what they did."""

    def __init__(self, table: Table, *, sessions: int, seed: int) -> None:
        """Keep so many sessions alive; two thirds of them, and some that are over, are used in each round."""
        self.table = table
        self.clock = SkewedClock()
        self.deployed = Deployed(table, clock=self.clock)
        self.rounds: list[Round] = []
        self.session_ids: list[str] = []
        self._sessions = sessions
        self._random = random.Random(seed)
        self._own = threading.local()
        table.client.meta.events.register("provide-client-params.dynamodb.UpdateItem", self._asked)
        table.client.meta.events.register("after-call.dynamodb.UpdateItem", self._answered)

    def round(self, calls: int, shares: Mapping[str, int] = SHARES) -> Round:
        """Let each caller make so many calls, then let time jump."""
        this = self._begin()
        alive = [session_id for session_id in self.session_ids if session_id in this.alive]
        over = [session_id for session_id in self.session_ids if session_id not in this.alive]
        used = self._random.sample(alive, -(-2 * self._sessions // 3))
        used += self._random.sample(over, min(len(over), self._sessions // 3))
        chances = [random.Random(self._random.random()) for _ in range(CALLERS)]
        with redirect_stdout(StringIO()):  # metrics, which would bury what a failed test has to say
            did = at_once(lambda number: self._caller(number, used, chances[number], calls, shares), CALLERS)
        this.done = [done for of_one in did for done in of_one]
        this.ended_ms = self.clock.now_ms()
        this.after = self._read()
        self.rounds.append(this)
        self.clock.jumped_ms += JUMP_MS
        return this

    def _begin(self) -> Round:
        missing = self._sessions - len(Round(self.clock.now_ms(), self._read()).alive)
        self.session_ids += [self._new(number) for number in range(missing)]
        return Round(self.clock.now_ms(), self._read())

    def _new(self, number: int) -> str:
        answer = self.deployed.new(
            timeoutMinutes=TIMEOUTS[number % 3], maxDurationMinutes=CAPS[number % 3], warningThresholdMinutes=2
        )
        return str(answer["sessionId"])

    def _read(self) -> dict[str, Session | None]:
        found = {session_id: item(self.table, session_id) for session_id in self.session_ids}
        return {session_id: session_from_item(it) if it else None for session_id, it in found.items()}

    def _caller(
        self, number: int, used: Sequence[str], chance: random.Random, calls: int, shares: Mapping[str, int]
    ) -> list[Done]:
        self.clock.set_wrong_by(SKEW_MS[number % len(SKEW_MS)])
        actions = chance.choices(list(shares), list(shares.values()), k=calls)
        return [self._do(action, chance.choice(used), chance) for action in actions]

    def _do(self, action: str, session_id: str, chance: random.Random) -> Done:
        acts: dict[str, Callable[[], Answer]] = {
            "heartbeat": lambda: self.deployed.heartbeat(session_id),
            "renew": lambda: self.deployed.renew(session_id),
            "get": lambda: self.deployed.get(session_id),
            "delete": lambda: self.deployed.delete(session_id),
            "patch": lambda: self.deployed.patch(session_id, _settings(chance)),
            "warn": lambda: self._warn(session_id),
        }
        self._own.wrote, self._own.renewed, self._own.lost = None, False, 0
        began = time.monotonic_ns()
        answer = acts[action]()
        ended = time.monotonic_ns()
        return Done(action, session_id, began, ended, answer, self._own.wrote, self._own.renewed, self._own.lost)

    def _warn(self, session_id: str) -> Answer:
        """Mark the lease as warned, as the sweep does, unless it is another by then."""
        answer = self.deployed.get(session_id)
        found = item(self.table, session_id)
        if answer.status == 200 and found:
            self.deployed.mark(session_id, "SET dueAt = expiresAt", lease=found["lease"])
        return answer

    def _asked(self, params: dict[str, Any], **_: Any) -> None:
        self._own.asked_to_renew = "renewalCount" in params["UpdateExpression"]

    def _answered(self, parsed: dict[str, Any], **_: Any) -> None:
        if parsed.get("Error", {}).get("Code") == "ConditionalCheckFailedException":
            self._own.lost = getattr(self._own, "lost", 0) + 1
        elif "Attributes" in parsed:
            self._own.wrote = session_from_item(parsed["Attributes"])
            self._own.renewed = self._own.asked_to_renew


def _settings(chance: random.Random) -> dict[str, Any]:
    return chance.choice(
        [
            {"timeoutMinutes": chance.choice(TIMEOUTS)},
            {"maxDurationMinutes": chance.choice(CAPS)},
            {"warningThresholdMinutes": chance.choice([1, 2, 5])},
            {"autoRenew": chance.random() < 0.8},
        ]
    )
