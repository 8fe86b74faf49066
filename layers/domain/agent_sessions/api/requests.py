"""What callers may send: pydantic models with a deployment's settings as bounds, and the words of refusal.

All faults of a request come in one answer. Ranges are compared as sent, before the rounding to milliseconds.
"""

import json
import re
from collections.abc import Mapping
from functools import cached_property
from typing import Annotated, Any, Final

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    PlainValidator,
    StrictBool,
    ValidationError,
    ValidationInfo,
    create_model,
    field_validator,
)
from pydantic.alias_generators import to_camel
from pydantic_core import PydanticCustomError

from agent_sessions.api.json_body import (
    MAX_INTEGER_DIGITS,
    MAX_METADATA_BYTES,
    MAX_METADATA_DEPTH,
    metadata_json,
)
from agent_sessions.errors import MISSING, FieldProblem, InvalidRequest
from agent_sessions.sessions.ids import request_hash
from agent_sessions.sessions.model import Minutes, TimeoutConfig
from agent_sessions.sessions.service import NewSession
from agent_sessions.settings import SessionSettings, whole

UUID_PATTERN: Final = "^[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}$"
IDEMPOTENCY_KEY_PATTERN: Final = "^[!-~]{1,255}$"
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
    "float_type": "must be a number from {low} to {high}",
    "greater_than_equal": "must be from {low} to {high}",
    "less_than_equal": "must be from {low} to {high}",
    "timeout_bound": "must be from {low} to {high}",
}
"""pydantic's error types in the API's words; `{low}` and `{high}` are the bounds that really hold."""


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
    """The timeout settings that were sent. `Requests` makes its models from this one: the fields have its bounds.

    The validation context is the timeout in minutes that holds where none is sent.
    """

    model_config = ConfigDict(frozen=True, extra="ignore", alias_generator=to_camel, defer_build=True)

    @field_validator("max_duration_minutes", "warning_threshold_minutes", check_fields=False)
    @classmethod
    def _compare_with_timeout(cls, value: Minutes, info: ValidationInfo) -> Minutes:
        """Refuse a duration below the timeout and a threshold above it; a timeout at fault is compared with nothing."""
        timeout: Minutes | None = info.data.get("timeout_minutes", value)
        if timeout is None:
            timeout = info.context or value
        if value < timeout if info.field_name == "max_duration_minutes" else value > timeout:
            raise PydanticCustomError("timeout_bound", "is on the wrong side of timeoutMinutes")
        return value

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


class Requests:
    """Checks requests against the bounds of one deployment."""

    def __init__(self, settings: SessionSettings) -> None:
        """Make the model of a create at once, as every start needs it; a patch's is made when one comes."""
        self._settings = settings
        self.new_timeouts = self._timeout_model(
            "NewTimeoutConfig",
            "Omitted settings take the service's defaults. maxDurationMinutes and its default are at least "
            "timeoutMinutes; warningThresholdMinutes is at most timeoutMinutes, and its default at most half of it.",
            defaults=self._defaults(settings.session_default_timeout_minutes)._asdict(),
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

    def new_session(self, body: dict[str, Any], idempotency_key: str | None) -> NewSession:
        """Check a create request.

        Raises:
            InvalidRequest: with every field at fault, the header included.

        """
        problems = idempotency_key_problems(idempotency_key)
        problems += [
            FieldProblem(name, f"must stand inside timeoutConfig, as timeoutConfig.{name}", body[name])
            for name in TIMEOUT_FIELDS
            if name in body
        ]
        default = self._settings.session_default_timeout_minutes
        try:
            request = self.create.model_validate(body, context=default)
        except ValidationError as error:
            sent = body.get("timeoutConfig")
            in_force = _timeout_in_words(sent if isinstance(sent, dict) else {}, f"timeoutMinutes {default}")
            raise InvalidRequest(problems + self._problems(error, in_force)) from None
        if problems:
            raise InvalidRequest(problems)
        timeouts = request.timeout_config.as_sent() if request.timeout_config else {}
        return NewSession(
            agent_id=request.agent_id,
            user_id=request.user_id,
            metadata_json=request.metadata,
            timeout=self._defaults(timeouts.get("timeout_minutes", default))._replace(**timeouts),
            request_hash=request_hash(
                request.agent_id.lower(),
                request.user_id.lower(),
                _sorted_json(body.get("metadata") or {}),
                _sorted_json(timeouts),
            ),
            idempotency_key=idempotency_key,
        )

    def merged_timeout(self, body: dict[str, Any], kept: TimeoutConfig) -> TimeoutConfig:
        """Check a patch against the session's own settings and return the config that would be in force.

        Raises:
            InvalidRequest: with every field at fault; a conflict names the field sent and the kept value.

        """
        if body and not any(name in body for name in TIMEOUT_FIELDS):
            raise InvalidRequest([_unknown_patch(body)])
        problems: list[FieldProblem] = []
        merged = kept
        try:
            merged = kept._replace(**self.patch.model_validate(body, context=kept.timeout_minutes).as_sent())
        except ValidationError as error:
            own = f"the session's timeoutMinutes of {kept.timeout_minutes}"
            problems = self._problems(error, _timeout_in_words(body, own))
        if "timeoutMinutes" in body and not any(problem.field == "timeoutMinutes" for problem in problems):
            problems = _conflicts_with_kept(body, kept) + problems
        if problems:
            raise InvalidRequest(problems)
        return merged

    def _timeout_model(
        self, name: str, description: str, defaults: Mapping[str, Any] | None = None, **config: object
    ) -> type[TimeoutFields]:
        """Make a model of the four settings. `defaults` are for its JSON schema: what is not sent stays unset."""
        shortest = self._settings.session_min_timeout_minutes
        longest = self._settings.session_max_timeout_minutes
        kinds = {
            "timeout_minutes": (_minutes(shortest, longest), "Inactivity timeout in minutes."),
            "auto_renew": (StrictBool, "Renew on activity."),
            "max_duration_minutes": (
                _minutes(shortest, self._settings.longest_duration_minutes),
                "Total lifetime from creation in minutes.",
            ),
            "warning_threshold_minutes": (
                _minutes(1, longest),
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

    def _defaults(self, timeout: Minutes) -> TimeoutConfig:
        """Return the service's defaults, which give way to this timeout (docs/contract.md, Create a session).

        A timeout of 5 minutes has a threshold of 2.5; one of 1,000 a duration of 1,000.
        """
        settings = self._settings
        return TimeoutConfig(
            timeout_minutes=timeout,
            auto_renew=True,
            max_duration_minutes=max(settings.session_max_duration_minutes, timeout),
            warning_threshold_minutes=whole(min(settings.session_warning_threshold_minutes, max(1, timeout / 2))),
        )

    def _problems(self, error: ValidationError, timeout_in_force: str) -> list[FieldProblem]:
        """Put pydantic's errors into the API's words. `timeout_in_force` names the bound of the other settings."""
        faults = error.errors(include_url=False)
        settings = self._settings
        shortest: Minutes | str = settings.session_min_timeout_minutes
        longest: Minutes | str = settings.session_max_timeout_minutes
        bounds = {"timeoutMinutes": (shortest, longest)}
        if not any(fault["loc"][-1] == "timeoutMinutes" for fault in faults):
            shortest = longest = timeout_in_force
        bounds["maxDurationMinutes"] = (shortest, settings.longest_duration_minutes)
        bounds["warningThresholdMinutes"] = (1, longest)
        problems = []
        for fault in faults:
            low, high = bounds.get(str(fault["loc"][-1]), (0, 0))
            words = _WORDING.get(fault["type"])
            problems.append(
                FieldProblem(
                    field=".".join(str(part) for part in fault["loc"]),
                    message=words.format(low=low, high=high) if words else fault["msg"],
                    value=MISSING if fault["type"] == "missing" else fault["input"],
                )
            )
        return problems


def idempotency_key_problems(key: str | None) -> list[FieldProblem]:
    """Return what is wrong with the header `Idempotency-Key`, where it was sent."""
    if key is None or _IDEMPOTENCY_KEY.fullmatch(key):
        return []
    return [FieldProblem("Idempotency-Key", "must be 1 to 255 visible ASCII characters", key)]


def _minutes(low: Minutes, high: Minutes) -> Any:  # noqa: ANN401 - a type made at run time
    return Annotated[float, Field(strict=True, ge=low, le=high), AfterValidator(whole)]


def _timeout_in_words(sent: Mapping[str, Any], otherwise: str) -> str:
    """Name the timeout that was sent and its value, or return `otherwise` where none was."""
    return f"timeoutMinutes {sent['timeoutMinutes']}" if "timeoutMinutes" in sent else otherwise


def _unknown_patch(body: Mapping[str, Any]) -> FieldProblem:
    """Describe a patch without any known field."""
    names = ", ".join(TIMEOUT_FIELDS)
    if "timeoutConfig" in body:
        rule = f"must be left out: {names} stand at the top of the body"
        return FieldProblem("timeoutConfig", rule, body["timeoutConfig"])
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
