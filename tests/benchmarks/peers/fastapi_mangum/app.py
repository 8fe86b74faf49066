"""FastAPI behind Mangum, with a boto3 client and a JSON log line from the standard library.

It does what is measured of the service and nothing else: create, get and heartbeat, with the same checks, the same item
and the same conditions.
"""

import hashlib
import json
import logging
import os
import time
import uuid
from datetime import UTC, datetime
from typing import Annotated, Any, Self

import boto3
from botocore.exceptions import ClientError
from fastapi import Depends, FastAPI, HTTPException, Request, Response
from mangum import Mangum
from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator
from pydantic.alias_generators import to_camel

MS_PER_MINUTE = 60_000
RETENTION_MS = int(os.environ.get("SESSION_RETENTION_MINUTES", "1440")) * MS_PER_MINUTE
DUE_SHARDS = int(os.environ.get("DUE_SHARDS", "8"))
TENANT_SHARDS = int(os.environ.get("TENANT_SHARDS", "4"))
UUID_PATTERN = r"^[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}$"

logger = logging.getLogger("sessions")
logger.setLevel(logging.INFO)
app = FastAPI()
dynamodb = boto3.client("dynamodb")
TABLE = os.environ["SESSIONS_TABLE"]

Item = dict[str, Any]
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


def tenant_id(request: Request) -> str:
    context = request.scope["aws.event"]["requestContext"]
    return str(context["authorizer"]["lambda"]["tenantId"])


Tenant = Annotated[str, Depends(tenant_id)]


@app.post("/api/messaging/sessions", status_code=201)
def create_session(body: NewSession, tenant: Tenant, response: Response) -> Session:
    now = time.time_ns() // 1_000_000
    item = new_item(tenant, body, now)
    dynamodb.put_item(
        TableName=TABLE,
        Item=item,
        ConditionExpression="attribute_not_exists(sessionId) OR expiresAt <= :retired",
        ExpressionAttributeValues={":retired": {"N": str(now - RETENTION_MS)}},
        ReturnValuesOnConditionCheckFailure="ALL_OLD",
    )
    session_id = item["sessionId"]["S"]
    log("session created", session_id)
    count("SessionsCreated")
    response.headers["location"] = f"/api/messaging/sessions/{session_id}"
    return session_of(item, now)


@app.get("/api/messaging/sessions/{session_id}")
def get_session(session_id: str, tenant: Tenant) -> Session:
    item = dynamodb.get_item(TableName=TABLE, Key={"sessionId": {"S": session_id}}, ConsistentRead=True).get("Item")
    now = time.time_ns() // 1_000_000
    if item is None or item["tenantId"]["S"] != tenant:
        raise HTTPException(404, "There is no such session.")
    if int(item["expiresAt"]["N"]) <= now:
        raise HTTPException(410, "The session has expired.")
    log("session read", session_id)
    return session_of(item, now)


@app.post("/api/messaging/sessions/{session_id}/heartbeat")
def heartbeat(session_id: str, tenant: Tenant) -> Session:
    now = time.time_ns() // 1_000_000
    try:
        answer = dynamodb.update_item(
            TableName=TABLE,
            Key={"sessionId": {"S": session_id}},
            UpdateExpression="SET expiresAt = :now + timeoutMs, lastActivity = :now, renewedAt = :now, "
            "renewalCount = renewalCount + :one, lease = lease + :one",
            ConditionExpression="tenantId = :tenant AND attribute_exists(dueShard) AND expiresAt > :now "
            "AND lastActivity <= :now AND renewableUntil > :now AND dueAt < expiresAt AND autoRenew = :true",
            ExpressionAttributeValues={
                ":now": {"N": str(now)},
                ":one": {"N": "1"},
                ":tenant": {"S": tenant},
                ":true": {"BOOL": True},
            },
            ReturnValues="ALL_NEW",
            ReturnValuesOnConditionCheckFailure="ALL_OLD",
        )
    except ClientError as error:
        if error.response["Error"]["Code"] == "ConditionalCheckFailedException":
            raise HTTPException(404, "There is no such session.") from error
        raise
    log("session renewed", session_id)
    count("SessionHeartbeats")
    return session_of(answer["Attributes"], now)


handler = Mangum(app, lifespan="off")


def log(message: str, session_id: str) -> None:
    logger.info(json.dumps({"level": "INFO", "message": message, "session_id": session_id}))


def count(name: str) -> None:
    metric = {"Name": name, "Unit": "Count"}
    directive = {"Namespace": "AgentSessions", "Dimensions": [["service"]], "Metrics": [metric]}
    aws = {"Timestamp": time.time_ns() // 1_000_000, "CloudWatchMetrics": [directive]}
    print(json.dumps({"_aws": aws, "service": "agent-sessions", name: [1.0]}))  # noqa: T201 - how EMF is published


def shard_of(session_id: str, shards: int) -> int:
    return int.from_bytes(hashlib.sha256(session_id.encode()).digest()[:4]) % shards


def new_item(tenant: str, body: NewSession, now: int) -> Item:
    config = body.timeout_config
    timeout_ms = round(config.timeout_minutes * MS_PER_MINUTE)
    warning_ms = round(config.warning_threshold_minutes * MS_PER_MINUTE)
    ends_at = now + round(config.max_duration_minutes * MS_PER_MINUTE)
    expires_at = min(now + timeout_ms, ends_at)
    session_id = str(uuid.uuid4())
    return {
        "sessionId": {"S": session_id},
        "tenantId": {"S": tenant},
        "agentId": {"S": body.agent_id},
        "userId": {"S": body.user_id},
        "metadata": {"S": json.dumps(body.metadata, ensure_ascii=False, separators=(",", ":"))},
        "requestHash": {"B": hashlib.sha256(body.model_dump_json().encode()).digest()},
        "attempt": {"B": os.urandom(4)},
        "createdAt": {"N": str(now)},
        "lastActivity": {"N": str(now)},
        "renewedAt": {"N": str(now)},
        "expiresAt": {"N": str(expires_at)},
        "endsAt": {"N": str(ends_at)},
        "renewalCount": {"N": "0"},
        "lease": {"N": "1"},
        "timeoutMinutes": {"N": str(config.timeout_minutes)},
        "autoRenew": {"BOOL": config.auto_renew},
        "maxDurationMinutes": {"N": str(config.max_duration_minutes)},
        "warningThresholdMinutes": {"N": str(config.warning_threshold_minutes)},
        "timeoutMs": {"N": str(timeout_ms)},
        "warningMs": {"N": str(warning_ms)},
        "warnAfterMs": {"N": str(timeout_ms - warning_ms)},
        "renewableUntil": {"N": str(ends_at - timeout_ms)},
        "purgeAt": {"N": str(-((ends_at + RETENTION_MS) // -1000))},
        "listedAt": {"N": str(now)},
        "tenantUser": {"S": f"{tenant}#{body.user_id.lower()}"},
        "tenantShard": {"S": f"{tenant}#{shard_of(session_id, TENANT_SHARDS)}"},
        "dueShard": {"N": str(shard_of(session_id, DUE_SHARDS))},
        "dueAt": {"N": str(expires_at - warning_ms)},
    }


def session_of(item: Item, now: int) -> Session:
    remaining = max(0, int(item["expiresAt"]["N"]) - now)
    return Session(
        session_id=item["sessionId"]["S"],
        agent_id=item["agentId"]["S"],
        user_id=item["userId"]["S"],
        created_at=moment(item["createdAt"]["N"]),
        last_activity=moment(item["lastActivity"]["N"]),
        expires_at=moment(item["expiresAt"]["N"]),
        ends_at=moment(item["endsAt"]["N"]),
        metadata=json.loads(item["metadata"]["S"]),
        timeout_config=TimeoutConfig(
            timeout_minutes=float(item["timeoutMinutes"]["N"]),
            auto_renew=item["autoRenew"]["BOOL"],
            max_duration_minutes=float(item["maxDurationMinutes"]["N"]),
            warning_threshold_minutes=float(item["warningThresholdMinutes"]["N"]),
        ),
        renewal_count=int(item["renewalCount"]["N"]),
        time_remaining=remaining,
        is_near_expiration=0 < remaining <= int(item["warningMs"]["N"]),
    )


def moment(epoch_ms: str) -> datetime:
    return datetime.fromtimestamp(int(epoch_ms) / 1000, tz=UTC)
