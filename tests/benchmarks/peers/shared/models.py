"""The bodies of requests and answers, as the peers on pydantic declare them."""

import json
from datetime import datetime
from typing import Annotated, Any, Self

from item import UUID_PATTERN
from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator
from pydantic.alias_generators import to_camel

Uuid = Annotated[str, Field(pattern=UUID_PATTERN)]


class Model(BaseModel):
    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True)


class TimeoutConfig(Model):
    timeout_minutes: Annotated[float, Field(ge=5, le=1440)] = 30
    auto_renew: bool = True
    max_duration_minutes: Annotated[float, Field(ge=5, le=2880)] = 720
    warning_threshold_minutes: Annotated[float, Field(ge=1)] = 5

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if not self.warning_threshold_minutes <= self.timeout_minutes <= self.max_duration_minutes:
            raise ValueError("the threshold must fit the timeout, and the timeout the duration")
        return self


class NewSession(Model):
    agent_id: Uuid
    user_id: Uuid
    metadata: dict[str, Any] = Field(default_factory=dict)
    timeout_config: TimeoutConfig = Field(default_factory=TimeoutConfig)

    @field_validator("metadata")
    @classmethod
    def _small_enough(cls, value: dict[str, Any]) -> dict[str, Any]:
        if len(json.dumps(value, separators=(",", ":")).encode()) > 10_240:
            raise ValueError("must have at most 10,240 bytes")
        return value


class NewMessage(Model):
    content: Annotated[str, Field(min_length=1, max_length=4_000)]
    metadata: dict[str, Any] = Field(default_factory=dict)


class Message(Model):
    id: str
    sequence: int
    session_id: str
    content: str
    role: str = "user"
    author_id: str
    created_at: datetime
    metadata: dict[str, Any]


class SessionStatus(Model):
    expires_at: datetime
    renewal_count: int
    last_sequence: int


class Appended(Model):
    success: bool = True
    message: Message
    session_status: SessionStatus


class Session(Model):
    session_id: str
    agent_id: str
    user_id: str
    created_at: datetime
    last_activity: datetime
    expires_at: datetime
    ends_at: datetime
    metadata: dict[str, Any]
    timeout_config: TimeoutConfig
    renewal_count: int
    time_remaining: int
    is_near_expiration: bool
