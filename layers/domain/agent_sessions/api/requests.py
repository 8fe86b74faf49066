"""What callers may send: pydantic models with a deployment's settings as bounds, and the words of refusal.

All faults of a request come in one answer. Ranges are compared as sent, before the rounding to milliseconds.
"""

import json
import re
from collections.abc import Mapping
from functools import cached_property, partial
from typing import Annotated, Any, Final, NamedTuple, TypeGuard

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    PlainValidator,
    StrictBool,
    ValidationError,
    create_model,
)
from pydantic.alias_generators import to_camel
from pydantic_core import PydanticCustomError

from agent_sessions.api.json_body import (
    MAX_INTEGER_DIGITS,
    MAX_METADATA_BYTES,
    MAX_METADATA_DEPTH,
    metadata_json,
)
from agent_sessions.errors import MISSING, FieldProblem, InvalidRequest, SessionServiceError
from agent_sessions.policies.model import AgentPolicy, Span, TimeoutRules, agent_rules, service_rules
from agent_sessions.sessions.ids import request_hash
from agent_sessions.sessions.model import Minutes, TimeoutConfig
from agent_sessions.sessions.service import NewSession
from agent_sessions.settings import SessionSettings, whole

UUID_PATTERN: Final = "^[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}$"
IDEMPOTENCY_KEY_PATTERN: Final = "^[!-~]{1,255}$"
_UUID: Final = re.compile(UUID_PATTERN[1:-1])
_IDEMPOTENCY_KEY: Final = re.compile(IDEMPOTENCY_KEY_PATTERN[1:-1])

TIMEOUT_FIELDS: Final = tuple(map(to_camel, TimeoutConfig._fields))
"""The names of the four timeout settings in JSON."""
_ONE_OF_THE_FOUR: Final = [{"required": [name]} for name in TIMEOUT_FIELDS]
"""JSON schemas, one of which fits where a timeout setting is present."""

_WORDING: Final[Mapping[str, str]] = {
    "missing": "is required",
    "string_type": "must be a string",
    "string_unicode": "must be a string of Unicode text",
    "string_pattern_mismatch": "must be a UUID",
    "bool_type": "must be true or false",
    "model_type": "must be a JSON object",
    "float_type": "must be a number from {bounds}",
    "greater_than_equal": "must be from {bounds}",
    "less_than_equal": "must be from {bounds}",
}
"""pydantic's error types in the API's words; `{bounds}` are those that really hold."""


def _metadata_text(value: object) -> str:
    try:
        return "{}" if value is None else metadata_json(value)
    except ValueError as error:
        raise PydanticCustomError("metadata", "{rule}", {"rule": str(error)}) from None


def _not_sent() -> None:
    """Stand in for a field that was not sent; as a factory, so that no JSON schema shows it as a default."""


Uuid = Annotated[str, Field(strict=True, pattern=UUID_PATTERN, json_schema_extra={"format": "uuid"})]
Metadata = Annotated[str, PlainValidator(_metadata_text)]
_METADATA_SCHEMA: Final[dict[str, Any]] = {
    "type": ["object", "null"],
    "default": {},
    "description": f"Any JSON object of at most {MAX_METADATA_BYTES} bytes as compact JSON, {MAX_METADATA_DEPTH} "
    f"levels and integers of {MAX_INTEGER_DIGITS} digits. null means omitted.",
}


class TimeoutFields(BaseModel):
    """The timeout settings that were sent. `Requests` makes its models from this one: the fields have its bounds."""

    model_config = ConfigDict(frozen=True, extra="ignore", alias_generator=to_camel, defer_build=True)

    def as_sent(self) -> dict[str, Any]:
        """Return the settings that were sent, by their names in `TimeoutConfig`."""
        return {name: getattr(self, name) for name in self.model_fields_set}


class CreateFields(BaseModel):
    """The body of `POST /`. `Requests` makes its model from this one: the timeout settings get its bounds."""

    model_config = ConfigDict(frozen=True, extra="ignore", alias_generator=to_camel, defer_build=True)

    agent_id: Uuid
    user_id: Uuid
    metadata: Metadata = Field("{}", json_schema_extra=_METADATA_SCHEMA)
    timeout_config: TimeoutFields | None = None


class Wanted(NamedTuple):
    """A checked request for a session, and what the agent's policy has against it, which no repeat suffers from."""

    session: NewSession
    refusal: SessionServiceError | None


class Requests:
    """Checks requests against the bounds of one deployment."""

    def __init__(self, settings: SessionSettings) -> None:
        """Make the model of a create at once, as every start needs it; a patch's is made when one comes."""
        self.rules = service_rules(settings)
        self.new_timeouts = self._timeout_model(
            "NewTimeoutConfig",
            "Omitted settings take the service's defaults. maxDurationMinutes and its default are at least "
            "timeoutMinutes; warningThresholdMinutes is at most timeoutMinutes, and its default at most half of it.",
            defaults=self.rules.config(self.rules.timeout.default)._asdict(),
        )
        optional_timeouts: Any = self.new_timeouts | None
        self.create = create_model(
            "CreateSession",
            __base__=CreateFields,
            __doc__="A new session. The timeout settings stand in timeoutConfig, not beside it.",
            __cls_kwargs__={"defer_build": False, "json_schema_extra": {"not": {"anyOf": _ONE_OF_THE_FOUR}}},
            timeout_config=(optional_timeouts, Field(None, description="null means omitted.")),
        )

    @cached_property
    def patch(self) -> type[TimeoutFields]:
        """The model of a patch of the timeout settings."""
        return self._timeout_model(
            "TimeoutPatch",
            "Omitted settings keep the session's own value; the merged config is checked as at creation. "
            "A body that is not empty has at least one of the four.",
            json_schema_extra={"anyOf": [{"maxProperties": 0}, *_ONE_OF_THE_FOUR]},
        )

    def new_session(self, body: dict[str, Any], idempotency_key: str | None, policy: AgentPolicy | None) -> Wanted:
        """Check a create request for an agent with this policy.

        Raises:
            InvalidRequest: with every field at fault, the header included.

        """
        problems = idempotency_key_problems(idempotency_key)
        problems += [
            FieldProblem(name, f"must stand inside timeoutConfig, as timeoutConfig.{name}", body[name])
            for name in TIMEOUT_FIELDS
            if name in body
        ]
        rules = self._rules_for(policy)
        default = rules.timeout.default
        sent = body.get("timeoutConfig")
        of_agent = partial(
            _problems,
            sent=sent if isinstance(sent, dict) else {},
            rules=rules,
            timeout=default,
            timeout_in_words=f"timeoutMinutes {default}",
            prefix="timeoutConfig.",
        )
        try:
            request = self.create.model_validate(body)
        except ValidationError as error:
            raise InvalidRequest(problems + of_agent(error)) from None
        against_rules = of_agent(None)
        if problems or (against_rules and policy is None):
            raise InvalidRequest(problems + against_rules)
        timeouts = request.timeout_config.as_sent() if request.timeout_config else {}
        session = NewSession(
            agent_id=request.agent_id,
            user_id=request.user_id,
            metadata_json=request.metadata,
            timeout=rules.config(timeouts.get("timeout_minutes", default))._replace(**timeouts),
            request_hash=request_hash(
                request.agent_id.lower(),
                request.user_id.lower(),
                _sorted_json(body.get("metadata") or {}),
                _sorted_json(timeouts),
            ),
            idempotency_key=idempotency_key,
        )
        return Wanted(session, InvalidRequest(against_rules) if against_rules else None)

    def merged_timeout(self, body: dict[str, Any], kept: TimeoutConfig, policy: AgentPolicy | None) -> TimeoutConfig:
        """Check a patch against the session's own settings and return the config that would be in force.

        Raises:
            InvalidRequest: with every field at fault; a conflict names the field sent and the kept value.

        """
        if body and not any(name in body for name in TIMEOUT_FIELDS):
            raise InvalidRequest([_unknown_patch(body)])
        fault: ValidationError | None = None
        merged = kept
        try:
            merged = kept._replace(**self.patch.model_validate(body).as_sent())
        except ValidationError as error:
            fault = error
        own = f"the session's timeoutMinutes of {kept.timeout_minutes}"
        problems = _problems(
            fault, sent=body, rules=self._rules_for(policy), timeout=kept.timeout_minutes, timeout_in_words=own
        )
        if "timeoutMinutes" in body and not any(problem.field == "timeoutMinutes" for problem in problems):
            problems = _conflicts_with_kept(body, kept) + problems
        if problems:
            raise InvalidRequest(problems)
        return merged

    def _rules_for(self, policy: AgentPolicy | None) -> TimeoutRules:
        return self.rules if policy is None else agent_rules(policy, self.rules)

    def _timeout_model(
        self, name: str, description: str, defaults: Mapping[str, Any] | None = None, **config: object
    ) -> type[TimeoutFields]:
        """Make a model of the four settings. `defaults` are for its JSON schema: what is not sent stays unset."""
        rules = self.rules
        kinds = {
            "timeout_minutes": (_minutes(rules.timeout), "Inactivity timeout in minutes."),
            "auto_renew": (StrictBool, "Renew on activity."),
            "max_duration_minutes": (_minutes(rules.max_duration), "Total lifetime from creation in minutes."),
            "warning_threshold_minutes": (
                _minutes(rules.warning_threshold),
                "How long before expiry the warning goes out, in minutes.",
            ),
        }
        fields: dict[str, Any] = {
            field: (
                kind,
                Field(
                    default_factory=_not_sent,
                    description=meaning,
                    json_schema_extra={"default": defaults[field]} if defaults else None,
                ),
            )
            for field, (kind, meaning) in kinds.items()
        }
        return create_model(name, __base__=TimeoutFields, __doc__=description, __cls_kwargs__=config, **fields)


class _Bounds(NamedTuple):
    """What one field may be, in minutes, and how its bounds are named: by their values, or by another field."""

    low: Minutes
    high: Minutes
    words: str


def _bounds(rules: TimeoutRules, timeout: Minutes | None, timeout_in_words: str) -> dict[str, _Bounds]:
    """Return the bounds that really hold. `timeout` is the one in force; None where it is at fault itself."""
    (_, shortest, longest), (_, low, high) = rules.timeout, rules.max_duration
    _, least, most = rules.warning_threshold
    low_words, most_words = str(low), str(most)
    if timeout is not None:
        if timeout >= low:
            low, low_words = timeout, timeout_in_words
        if timeout <= most:
            most, most_words = timeout, timeout_in_words
    return {
        "timeoutMinutes": _Bounds(shortest, longest, f"{shortest} to {longest}"),
        "maxDurationMinutes": _Bounds(low, high, f"{low_words} to {high}"),
        "warningThresholdMinutes": _Bounds(least, most, f"{least} to {most_words}"),
    }


def _problems(
    error: ValidationError | None,
    *,
    sent: Mapping[str, Any],
    rules: TimeoutRules,
    timeout: Minutes,
    timeout_in_words: str,
    prefix: str = "",
) -> list[FieldProblem]:
    """Put pydantic's errors into the API's words, and compare the other timeout settings that were sent with `rules`.

    `timeout` holds where none is sent, and is called `timeout_in_words`. The settings' names begin with `prefix`.
    """
    faults = error.errors(include_url=False) if error else []
    at_fault = {str(fault["loc"][-1]) for fault in faults}
    span = rules.timeout
    in_force: Minutes | None = timeout
    if "timeoutMinutes" in at_fault:
        in_force = None
    elif "timeoutMinutes" in sent:
        in_force = sent["timeoutMinutes"] if span.low <= sent["timeoutMinutes"] <= span.high else None
        timeout_in_words = f"timeoutMinutes {sent['timeoutMinutes']}"
    bounds = _bounds(rules, in_force, timeout_in_words)
    problems = []
    for fault in faults:
        words = _WORDING.get(fault["type"])
        of_field = bounds.get(str(fault["loc"][-1]))
        problems.append(
            FieldProblem(
                field=".".join(str(part) for part in fault["loc"]),
                message=words.format(bounds=of_field.words if of_field else "") if words else fault["msg"],
                value=MISSING if fault["type"] == "missing" else fault["input"],
            )
        )
    return problems + [
        FieldProblem(f"{prefix}{name}", f"must be from {of_field.words}", sent[name])
        for name, of_field in bounds.items()
        if name in sent and name not in at_fault and not of_field.low <= sent[name] <= of_field.high
    ]


def is_uuid(value: object) -> TypeGuard[str]:
    """Return whether a value has the form of a UUID."""
    return isinstance(value, str) and _UUID.fullmatch(value) is not None


def idempotency_key_problems(key: str | None) -> list[FieldProblem]:
    """Return what is wrong with the header `Idempotency-Key`, where it was sent."""
    if key is None or _IDEMPOTENCY_KEY.fullmatch(key):
        return []
    return [FieldProblem("Idempotency-Key", "must be 1 to 255 visible ASCII characters", key)]


def _minutes(span: Span) -> Any:  # noqa: ANN401 - a type made at run time
    return Annotated[float, Field(strict=True, ge=span.low, le=span.high), AfterValidator(whole)]


def _unknown_patch(body: Mapping[str, Any]) -> FieldProblem:
    """Describe a patch without any known field."""
    names = ", ".join(TIMEOUT_FIELDS)
    if (sent := body.get("timeoutConfig", MISSING)) is not MISSING:
        return FieldProblem("timeoutConfig", f"must be left out: {names} stand at the top of the body", sent)
    return FieldProblem("body", f"must be empty or have at least one of {names}", dict(body))


def _conflicts_with_kept(body: Mapping[str, Any], kept: TimeoutConfig) -> list[FieldProblem]:
    """Compare a timeout in range with the settings that the session keeps."""
    timeout = body["timeoutMinutes"]
    if "maxDurationMinutes" not in body and timeout > kept.max_duration_minutes:
        rule = f"must be at most the session's maxDurationMinutes of {kept.max_duration_minutes}"
        return [FieldProblem("timeoutMinutes", rule, timeout)]
    if "warningThresholdMinutes" not in body and timeout < kept.warning_threshold_minutes:
        rule = f"must be at least the session's warningThresholdMinutes of {kept.warning_threshold_minutes}"
        return [FieldProblem("timeoutMinutes", rule, timeout)]
    return []


# `json.dumps` would make one for each text.
_sorted_json: Final = json.JSONEncoder(sort_keys=True, separators=(",", ":")).encode
"""JSON that is the same whatever the order of keys."""
