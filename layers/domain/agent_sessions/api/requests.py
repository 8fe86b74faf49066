"""Requests as pydantic models: what may be sent, checked against the deployment's bounds, all faults in one answer.

The bounds come with the validation context (`Rules`), as they are settings. Ranges are compared as sent, before the
rounding to milliseconds.
"""

import hashlib
import json
import re
from typing import Annotated, Any, Final, NamedTuple, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainValidator,
    StrictBool,
    StrictStr,
    ValidationError,
    ValidationInfo,
    WithJsonSchema,
    field_validator,
)
from pydantic.alias_generators import to_camel
from pydantic_core import PydanticCustomError

from agent_sessions.api.json_body import MAX_METADATA_BYTES, metadata_json
from agent_sessions.errors import MISSING, FieldProblem, InvalidRequest
from agent_sessions.sessions.model import Minutes, TimeoutConfig
from agent_sessions.sessions.service import NewSession
from agent_sessions.settings import SessionSettings, whole

UUID_PATTERN: Final = "^[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}$"
IDEMPOTENCY_KEY_PATTERN: Final = "^[!-~]{1,255}$"
_UUID: Final = re.compile(UUID_PATTERN[1:-1])
_IDEMPOTENCY_KEY: Final = re.compile(IDEMPOTENCY_KEY_PATTERN[1:-1])
_T = TypeVar("_T")


class Rules(NamedTuple):
    """What a request is checked against: the settings and, for a patch, the session's own config and what is sent."""

    settings: SessionSettings
    kept: TimeoutConfig | None = None
    sent: frozenset[str] = frozenset()

    def keeps(self, field: str) -> bool:
        """Tell whether a patch leaves `field` as it is."""
        return self.kept is not None and field not in self.sent


def _fault(message: str) -> PydanticCustomError:
    # The message goes in as a value: braces in what a caller sent are no placeholders.
    return PydanticCustomError("rule", "{message}", {"message": message})


def _rules(info: ValidationInfo) -> Rules:
    rules: Rules = info.context  # type: ignore[assignment] # every validation here is given its rules
    return rules


def is_uuid(text: str) -> bool:
    """Tell whether `text` is a UUID, of any version and in any case."""
    return _UUID.fullmatch(text) is not None


def _uuid(value: str) -> str:
    if not is_uuid(value):
        raise _fault("must be a UUID")
    return value


def _number_between(value: object, low: Minutes, high: Minutes, high_name: str = "") -> Minutes:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _fault(f"must be a number from {low} to {high}")
    if not low <= value <= high:
        raise _fault(f"must be from {low} to {high_name}{high}")
    return whole(value)


def _metadata(value: object) -> str:
    try:
        return "{}" if value is None else metadata_json(value)
    except ValueError as error:
        raise _fault(str(error)) from None


def _null_is_omitted(value: object) -> object:
    return {} if value is None else value


Uuid = Annotated[StrictStr, AfterValidator(_uuid), Field(json_schema_extra={"format": "uuid", "pattern": UUID_PATTERN})]


class TimeoutFields(BaseModel):
    """The four timeout settings, each optional: at creation the defaults stand in, in a patch the session's own."""

    model_config = ConfigDict(frozen=True, extra="ignore", alias_generator=to_camel)

    timeout_minutes: float | None = Field(None, description="Inactivity timeout in minutes.")
    auto_renew: StrictBool | None = Field(None, description="Renew on activity.")
    max_duration_minutes: float | None = Field(None, description="Total lifetime from creation in minutes.")
    warning_threshold_minutes: float | None = Field(
        None, description="How long before expiry the warning goes out, in minutes."
    )

    @field_validator("timeout_minutes", mode="plain", json_schema_input_type=float)
    @classmethod
    def _timeout(cls, value: object, info: ValidationInfo) -> Minutes:
        rules = _rules(info)
        settings = rules.settings
        return _number_between(value, settings.session_min_timeout_minutes, settings.session_max_timeout_minutes)

    @field_validator("auto_renew", mode="before")
    @classmethod
    def _auto_renew(cls, value: object) -> object:
        if not isinstance(value, bool):
            raise _fault("must be true or false")
        return value

    @field_validator("max_duration_minutes", mode="plain", json_schema_input_type=float)
    @classmethod
    def _max_duration(cls, value: object, info: ValidationInfo) -> Minutes:
        rules = _rules(info)
        longest = rules.settings.longest_duration_minutes
        timeout = cls._timeout_in_force(info)
        minutes = _number_between(value, rules.settings.session_min_timeout_minutes, longest)
        if timeout is not None and minutes < timeout:
            raise _fault(f"must be from {_of(rules, 'timeoutMinutes')} {timeout} to {longest}")
        return minutes

    @field_validator("warning_threshold_minutes", mode="plain", json_schema_input_type=float)
    @classmethod
    def _warning_threshold(cls, value: object, info: ValidationInfo) -> Minutes:
        rules = _rules(info)
        timeout = cls._timeout_in_force(info)
        highest = rules.settings.session_max_timeout_minutes if timeout is None else timeout
        name = "" if timeout is None else f"{_of(rules, 'timeoutMinutes')} "
        return _number_between(value, 1, highest, name)

    @classmethod
    def _timeout_in_force(cls, info: ValidationInfo) -> Minutes | None:
        """Return the timeout that the other fields are measured by; None where the one sent is itself at fault."""
        rules = _rules(info)
        if "timeout_minutes" not in info.data:
            return None
        sent: Minutes | None = info.data["timeout_minutes"]
        if sent is not None:
            return sent
        return rules.kept.timeout_minutes if rules.kept else rules.settings.session_default_timeout_minutes

    def at_creation(self, settings: SessionSettings) -> TimeoutConfig:
        """Fill up with the service's defaults, which give way to a timeout beyond them (API.md section 1)."""
        timeout: Minutes = _or(self.timeout_minutes, settings.session_default_timeout_minutes)
        return TimeoutConfig(
            timeout_minutes=timeout,
            auto_renew=_or(self.auto_renew, instead=True),
            max_duration_minutes=_or(self.max_duration_minutes, max(settings.session_max_duration_minutes, timeout)),
            warning_threshold_minutes=_or(
                self.warning_threshold_minutes, min(settings.session_warning_threshold_minutes, timeout)
            ),
        )

    def merged_into(self, kept: TimeoutConfig) -> TimeoutConfig:
        """Put what was sent in place of the session's own settings."""
        return TimeoutConfig(
            timeout_minutes=_or(self.timeout_minutes, kept.timeout_minutes),
            auto_renew=_or(self.auto_renew, kept.auto_renew),
            max_duration_minutes=_or(self.max_duration_minutes, kept.max_duration_minutes),
            warning_threshold_minutes=_or(self.warning_threshold_minutes, kept.warning_threshold_minutes),
        )

    def as_sent(self) -> dict[str, Any]:
        """Return the fields that were sent, by their names in JSON."""
        return {_NAME_IN_JSON[name]: getattr(self, name) for name in self.model_fields_set}


_NAME_IN_JSON: Final = {name: to_camel(name) for name in TimeoutFields.model_fields}
"""Made once: pydantic makes such a name with five regular expressions, 0.1 Mi of every create."""


class CreateSessionRequest(BaseModel):
    """The body of `POST /api/messaging/sessions`."""

    model_config = ConfigDict(frozen=True, extra="ignore", alias_generator=to_camel)

    agent_id: Uuid
    user_id: Uuid
    metadata: Annotated[
        str,
        PlainValidator(_metadata),
        WithJsonSchema({"type": ["object", "null"], "description": f"At most {MAX_METADATA_BYTES} bytes of JSON."}),
    ] = Field("{}")
    timeout_config: Annotated[
        TimeoutFields, BeforeValidator(_null_is_omitted, json_schema_input_type=TimeoutFields | None)
    ] = Field(default_factory=TimeoutFields)


def new_session(body: dict[str, Any], idempotency_key: str | None, settings: SessionSettings) -> NewSession:
    """Check a create request.

    Raises:
        InvalidRequest: with every field at fault, the header included.

    """
    problems: list[FieldProblem] = []
    if idempotency_key is not None and not _IDEMPOTENCY_KEY.fullmatch(idempotency_key):
        problems.append(FieldProblem("Idempotency-Key", "must be 1 to 255 visible ASCII characters", idempotency_key))
    try:
        request = CreateSessionRequest.model_validate(body, context=Rules(settings))
    except ValidationError as error:
        raise InvalidRequest(problems + _problems(error)) from None
    if problems:
        raise InvalidRequest(problems)
    return NewSession(
        agent_id=request.agent_id,
        user_id=request.user_id,
        metadata_json=request.metadata,
        timeout=request.timeout_config.at_creation(settings),
        request_hash=_request_hash(request, body.get("metadata")),
        idempotency_key=idempotency_key,
    )


def merged_timeout(body: dict[str, Any], kept: TimeoutConfig, settings: SessionSettings) -> TimeoutConfig:
    """Check a patch against the session's own settings and return the config that would be in force.

    Raises:
        InvalidRequest: with every field at fault; a conflict names the field sent and the kept value.

    """
    rules = Rules(settings, kept, frozenset(body))
    problems: list[FieldProblem] = []
    merged = kept
    try:
        merged = TimeoutFields.model_validate(body, context=rules).merged_into(kept)
    except ValidationError as error:
        problems = _problems(error)
    if "timeoutMinutes" in body and not any(problem.field == "timeoutMinutes" for problem in problems):
        problems = _conflicts(body["timeoutMinutes"], rules, kept) + problems
    if problems:
        raise InvalidRequest(problems)
    return merged


def _conflicts(timeout: Minutes, rules: Rules, kept: TimeoutConfig) -> list[FieldProblem]:
    """Hold a timeout in range against the settings that the session keeps."""
    if rules.keeps("maxDurationMinutes") and timeout > kept.max_duration_minutes:
        rule = f"must be at most the session's maxDurationMinutes of {kept.max_duration_minutes}"
        return [FieldProblem("timeoutMinutes", rule, timeout)]
    if rules.keeps("warningThresholdMinutes") and timeout < kept.warning_threshold_minutes:
        rule = f"must be at least the session's warningThresholdMinutes of {kept.warning_threshold_minutes}"
        return [FieldProblem("timeoutMinutes", rule, timeout)]
    return []


def _problems(error: ValidationError) -> list[FieldProblem]:
    return [
        FieldProblem(
            ".".join(str(part) for part in fault["loc"]),
            _MESSAGES.get(fault["type"], fault["msg"]),
            MISSING if fault["type"] == "missing" else fault["input"],
        )
        for fault in error.errors(include_url=False)
    ]


_MESSAGES: Final = {
    "missing": "is required",
    "string_type": "must be a string",
    "string_unicode": "must be a string of Unicode text",
    "model_type": "must be a JSON object",
}


def _request_hash(request: CreateSessionRequest, metadata: object) -> bytes:
    """Return SHA-256 over what was sent, without regard to the order of keys: what makes two requests the same."""
    sent = [request.agent_id, request.user_id, metadata or {}, request.timeout_config.as_sent()]
    return hashlib.sha256(json.dumps(sent, sort_keys=True, separators=(",", ":")).encode()).digest()


def _or(value: _T | None, instead: _T) -> _T:
    return instead if value is None else value


def _of(rules: Rules, field: str) -> str:
    """Name the field that a bound comes from, and say so where it is a kept one."""
    return f"the session's {field} of" if rules.keeps(field) else f"{field}"
