"""The operator's commands for keys, as JSON: `make api-key` sends them to a table or to the local stack.

Knows neither AWS nor HTTP.
"""

from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from agent_sessions.keys.service import ApiKey, ApiKeyError, KeyService, NewKey, Scope
from agent_sessions.wire_format import timestamp

Json = dict[str, Any]

_MS_PER_HOUR: Final = 3_600_000


class _Command(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Create(_Command):
    """Make a key."""

    action: Literal["create"]
    tenant: str
    name: str = "default"
    scope: Scope = "full"
    days: Annotated[float, Field(gt=0, le=3650)] | None = None


class List(_Command):
    """Show a tenant's keys."""

    action: Literal["list"]
    tenant: str


class Revoke(_Command):
    """End a key: the one of this tenant and id, or the one whose text is `leaked`."""

    action: Literal["revoke"]
    tenant: str = ""
    id: str = ""
    leaked: str | None = Field(None, repr=False)


class Rotate(_Command):
    """Make a successor of a key, which goes on working for a while."""

    action: Literal["rotate"]
    tenant: str
    id: str
    overlap_hours: Annotated[float, Field(ge=0, le=8760)] = 24


Command = Annotated[Create | List | Revoke | Rotate, Field(discriminator="action")]
_COMMAND: Final[TypeAdapter[Create | List | Revoke | Rotate]] = TypeAdapter(Command)


def answer(keys: KeyService, body: bytes, now_ms: int) -> tuple[int, Json]:
    """Carry out a command that came as JSON; return an HTTP status and the answer."""
    try:
        return 200, execute(keys, _COMMAND.validate_json(body), now_ms)
    except ValidationError as error:
        return 400, {"error": "; ".join(_fault(fault) for fault in error.errors(include_input=False))}
    except ApiKeyError as error:
        return 400, {"error": str(error)}


def execute(keys: KeyService, command: Create | List | Revoke | Rotate, now_ms: int) -> Json:
    """Carry out a command; `key` is the text of a new one, `records` what is kept of each key concerned."""
    match command:
        case Create():
            lifetime_ms = None if command.days is None else round(command.days * 24 * _MS_PER_HOUR)
            return _made(keys.create(command.tenant, command.name, lifetime_ms, command.scope), now_ms)
        case Rotate():
            return _made(keys.rotate(command.tenant, command.id, round(command.overlap_hours * _MS_PER_HOUR)), now_ms)
        case Revoke():
            leaked = command.leaked
            ended = keys.revoke(command.tenant, command.id) if leaked is None else keys.revoke_leaked(leaked)
            return {"records": [_record(ended, now_ms)]}
        case List():
            return {"records": [_record(key, now_ms) for key in keys.of_tenant(command.tenant)]}


def _made(key: NewKey, now_ms: int) -> Json:
    return {"key": key.text, "records": [_record(key.record, now_ms)]}


def _record(key: ApiKey, now_ms: int) -> Json:
    moments = {"createdAt": key.created_at_ms, "expiresAt": key.expires_at_ms, "revokedAt": key.revoked_at_ms}
    return {
        "id": key.key_id,
        "tenant": key.tenant_id,
        "name": key.name,
        "scope": key.scope,
        "lastFour": key.last_four,
        "state": key.state(now_ms),
        **{name: timestamp(at_ms) for name, at_ms in moments.items() if at_ms is not None},
        **({"replacedBy": key.replaced_by} if key.replaced_by else {}),
    }


def _fault(fault: Mapping[str, Any]) -> str:
    where = ".".join(str(part) for part in fault["loc"])
    return f"{where}: {fault['msg']}" if where else str(fault["msg"])
