"""How a conversation is kept alive while it is used, as steps without input and output.

Time line of a lease, with a timeout of 30 minutes and a warning 5 minutes before the end:

    0            11                         25      30
    renewal      renewAfter                 warning expiry
    |-- no beat --|-- beat if the caller was active since the renewal --|

A beat before `renewAfter` would gain the session nothing. After it, activity since the last renewal is worth one beat.
So a caller who is active is never warned, and one who has left costs at most one more beat.
"""

import logging
from collections.abc import Iterable
from dataclasses import replace
from datetime import timedelta
from typing import Literal

from agent_sessions_client._calls import Calls
from agent_sessions_client._opening import Ended, Event, Expiring, Opening
from agent_sessions_client._steps import Operation, Pause
from agent_sessions_client.errors import (
    ClientError,
    InternalServerError,
    NoAnswer,
    ReplyTimeout,
    ServiceUnavailable,
    SessionExpired,
    SessionNotFound,
    TooManyRequests,
)
from agent_sessions_client.models import Json, Message, Sent, Session
from agent_sessions_client.timestamps import Clock

log = logging.getLogger("agent_sessions_client")

LONGEST_REST_SECONDS = 15
"""So soon a machine that was asleep notices that it is awake."""
SLEPT_SECONDS = 60
"""A step that comes later than this was held up by a machine that slept, not by one that was busy."""
BETWEEN_BEATS_SECONDS = 60
"""`renewAfter` may be the time of the renewal itself, where the timeout leaves the warning no room."""
AFTER_A_FAILURE_SECONDS = 15
BETWEEN_LOOKS_SECONDS = 1

Via = Literal["poll", "http"]


class Keeper:
    """Decides what is due. `events` are what has happened since they were taken last."""

    def __init__(self, calls: Calls, clock: Clock, opening: Opening) -> None:
        self._calls = calls
        self._clock = clock
        self._opening = opening
        self._session: Session | None = None
        self.ended: Ended | None = None
        self.events: list[Event] = []
        self.listening = opening.on_message is not None
        self._is_used = False
        self._in_doubt = False
        self._warned_lease = 0
        self._seen = 0
        self._look_at = self._poll_at = self._expected_by = self._beat_from = self._hold_until = 0.0

    @property
    def session(self) -> Session:
        """The session as it was last seen."""
        if self._session is None:
            message = "the conversation is not open: use it in a with block"
            raise RuntimeError(message)
        return self._session

    def open(self) -> Operation[Session]:
        """Begin."""
        self._learn((yield from self._opening.open()))
        after = self._opening.after_sequence
        self._seen = self.session.last_sequence if after is None else after
        self._expected_by = self._now()
        return self.session

    def active(self) -> None:
        """The user did something."""
        self._is_used = True

    def step(self) -> Operation[float]:
        """Do the one thing that is due, if any, and return the seconds until the next step may be due."""
        try:
            yield from self._do()
        except SessionExpired as error:
            self._end(Ended(error.reason or "idle_timeout", error))
        except SessionNotFound as error:
            self._end(Ended("deleted", error))
        except (NoAnswer, ServiceUnavailable, TooManyRequests, InternalServerError) as error:
            log.warning("%s; next attempt in %d seconds", error, AFTER_A_FAILURE_SECONDS)
            self._in_doubt = True
            self._hold_until = self._now() + AFTER_A_FAILURE_SECONDS
        except ClientError as error:
            self._end(Ended("failed", error))
        rest = min(max(self._next() - self._now(), 0.0), LONGEST_REST_SECONDS)
        self._expected_by = self._now() + rest
        return rest

    def send(
        self,
        content: str,
        *,
        in_reply_to: str | None = None,
        parts: Iterable[Json] | None = None,
        attachments: Iterable[Json] | None = None,
        metadata: Json | None = None,
        wait_for_reply: bool = False,
        idempotency_key: str | None = None,
    ) -> Operation[Sent]:
        """Send a message of the user, exactly once. It renews the session. `send_message` describes the parameters."""
        sent = yield from self._calls.send_message(
            self.session.session_id,
            content,
            in_reply_to=in_reply_to,
            parts=parts,
            attachments=attachments,
            metadata=metadata,
            wait_for_reply=wait_for_reply,
            idempotency_key=idempotency_key,
        )
        if sent.was_renewed:
            self._renewed(sent)
        self._poll_at = 0.0
        return sent

    def ask(
        self,
        content: str,
        *,
        timeout_seconds: float = 60,
        via: Via = "poll",
        parts: Iterable[Json] | None = None,
        attachments: Iterable[Json] | None = None,
        metadata: Json | None = None,
        idempotency_key: str | None = None,
    ) -> Operation[Message]:
        """Send a message, wait for the agent's reply, and return it.

        With `via="http"` the service holds the answer for the first 20 seconds, which needs fewer requests.

        Raises:
            ReplyTimeout: no reply in time. The message is stored; `reply_to` goes on waiting.

        """
        ends = self._clock.monotonic() + timeout_seconds
        sent = yield from self.send(
            content,
            parts=parts,
            attachments=attachments,
            metadata=metadata,
            wait_for_reply=via == "http",
            idempotency_key=idempotency_key,
        )
        return (yield from self._reply(sent.message, ends, timeout_seconds))

    def reply_to(self, message: Message, *, timeout_seconds: float = 60) -> Operation[Message]:
        """Wait for the reply to a message that was sent before.

        Raises:
            ReplyTimeout: no reply in time.

        """
        return self._reply(message, self._clock.monotonic() + timeout_seconds, timeout_seconds)

    def _reply(self, message: Message, ends: float, timeout_seconds: float) -> Operation[Message]:
        after = message.sequence
        while True:
            page = yield from self._calls.read_messages(self.session.session_id, after_sequence=after)
            for each in page.messages:
                if each.is_agent and each.in_reply_to in {None, message.id}:
                    return each
            advanced, after = page.after_sequence > after, page.after_sequence
            if page.has_more and advanced:
                continue
            pause = (page.poll_after_ms or 1000) / 1000
            if self._clock.monotonic() + pause > ends:
                raise ReplyTimeout(message.id, message.sequence, timeout_seconds)
            yield Pause(pause)

    # --- what is due -------------------------------------------------------------------------------------------------

    def _do(self) -> Operation[None]:
        now = self._now()
        if self.ended is not None or now < self._hold_until:
            return
        if now > self._expected_by + SLEPT_SECONDS:
            self._is_used = False  # what the user did before the machine slept keeps nothing alive now
            yield from self._look()
        elif self._in_doubt or now >= self._look_at:
            if self._beat_due(now) and not self._in_doubt:
                yield from self._beat()
            else:
                yield from self._look()
        elif self._beat_due(now):
            yield from self._beat()
        elif self.listening and now >= self._poll_at:
            yield from self._poll()

    def _beat_due(self, now: float) -> bool:
        renew_after = self.session.renew_after
        return (
            self._is_used
            and renew_after is not None
            and now >= max(renew_after.timestamp(), self._beat_from)
            and now < self.session.expires_at.timestamp()
        )

    def _next(self) -> float:
        if self.ended is not None:
            return self._now() + LONGEST_REST_SECONDS
        moments = [self._look_at]
        if self.listening:
            moments.append(self._poll_at)
        if self._is_used and self.session.renew_after is not None:
            moments.append(max(self.session.renew_after.timestamp(), self._beat_from))
        return max(min(moments), self._hold_until)

    def _beat(self) -> Operation[None]:
        self._is_used = False
        self._beat_from = self._now() + BETWEEN_BEATS_SECONDS
        try:
            self._learn((yield from self._calls.heartbeat(self.session.session_id)))
        except ClientError:
            self._is_used = True
            raise

    def _look(self) -> Operation[None]:
        lease = self.session.lease
        session = yield from self._calls.get_session(self.session.session_id)
        if self._in_doubt and session.lease > lease:
            self._is_used = False  # the heartbeat whose answer was lost did its work
        self._in_doubt = False
        self._learn(session)

    def _poll(self) -> Operation[None]:
        page = yield from self._calls.read_messages(self.session.session_id, after_sequence=self._seen, limit=100)
        self.events += page.messages
        advanced, self._seen = page.after_sequence > self._seen, page.after_sequence
        if page.has_more and advanced:
            self._poll_at = 0.0
        elif page.poll_after_ms is not None:
            self._poll_at = self._now() + page.poll_after_ms / 1000
        else:
            self._poll_at = self._now() + self._opening.idle_poll_seconds

    # --- what is known -----------------------------------------------------------------------------------------------

    def _learn(self, session: Session) -> None:
        if self._session is not None and session.lease < self._session.lease:
            return  # an answer that was overtaken
        self._session = session
        expires_at = session.expires_at.timestamp()
        warning = session.timeout_config.warning_threshold_minutes * 60
        if session.is_near_expiration and session.lease > self._warned_lease:
            self._warned_lease = session.lease
            self.events.append(Expiring(session))
        moment = expires_at if session.lease <= self._warned_lease else expires_at - warning
        self._look_at = max(moment, self._now() + BETWEEN_LOOKS_SECONDS)

    def _renewed(self, sent: Sent) -> None:
        """A message has renewed the session: everything moves with the expiry, as far as the cap lets it."""
        session = self.session
        self._is_used = False
        gained = max(sent.expires_at - session.expires_at, timedelta(0))
        to_the_cap = sent.expires_at >= session.ends_at
        self._learn(
            replace(
                session,
                expires_at=sent.expires_at,
                renew_after=None if to_the_cap or session.renew_after is None else session.renew_after + gained,
                lease=session.lease + max(sent.renewal_count - session.renewal_count, 0),
                renewal_count=sent.renewal_count,
                last_sequence=sent.last_sequence,
                is_near_expiration=sent.is_near_expiration,
            )
        )

    def _end(self, ended: Ended) -> None:
        self.ended = ended
        self.events.append(ended)

    def _now(self) -> float:
        return self._calls.server_time.now()
