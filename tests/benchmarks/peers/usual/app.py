"""The usual style: a boto3 resource, Powertools' validating resolver, Logger, Metrics and Tracer.

Written as the libraries' own examples are. It does what is measured of the service and nothing else: create, get,
heartbeat and append, with the same checks, the same items and the same conditions.
"""

import hashlib
import json
import os
import time
import uuid
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import boto3
from aws_lambda_powertools import Logger, Metrics, Tracer
from aws_lambda_powertools.event_handler import APIGatewayHttpResolver, Response, content_types
from aws_lambda_powertools.event_handler.exceptions import NotFoundError, ServiceError
from aws_lambda_powertools.logging import correlation_paths
from aws_lambda_powertools.metrics import MetricUnit
from aws_lambda_powertools.utilities.typing import LambdaContext
from botocore.exceptions import ClientError
from item import (
    DUE_SHARDS,
    MAY_TAKE,
    MS_PER_MINUTE,
    RENEW,
    RENEWABLE,
    RETENTION_MS,
    TAKE_NUMBER,
    TENANT_SHARDS,
    shard_of,
)
from models import Appended, Message, NewMessage, NewSession, Session, SessionStatus, TimeoutConfig

logger = Logger()
metrics = Metrics()
tracer = Tracer()
app = APIGatewayHttpResolver(enable_validation=True)
dynamodb = boto3.resource("dynamodb")
table = dynamodb.Table(os.environ["SESSIONS_TABLE"])
messages = dynamodb.Table(os.environ["MESSAGES_TABLE"])


@app.post("/api/messaging/sessions")
@tracer.capture_method
def create_session(body: NewSession) -> Response[Session]:
    now = time.time_ns() // 1_000_000
    item = new_item(tenant_id(), body, now)
    table.put_item(
        Item=item,
        ConditionExpression="attribute_not_exists(sessionId) OR expiresAt <= :retired",
        ExpressionAttributeValues={":retired": now - RETENTION_MS},
        ReturnValuesOnConditionCheckFailure="ALL_OLD",
    )
    logger.info("session created", extra={"session_id": item["sessionId"]})
    metrics.add_metric(name="SessionsCreated", unit=MetricUnit.Count, value=1)
    return Response(
        status_code=201,
        content_type=content_types.APPLICATION_JSON,
        body=session_of(item, now),
        headers={"location": f"/api/messaging/sessions/{item['sessionId']}"},
    )


@app.get("/api/messaging/sessions/<session_id>")
@tracer.capture_method
def get_session(session_id: str) -> Session:
    item = table.get_item(Key={"sessionId": session_id}, ConsistentRead=True).get("Item")
    now = time.time_ns() // 1_000_000
    if item is None or item["tenantId"] != tenant_id():
        raise NotFoundError("There is no such session.")
    if item["expiresAt"] <= now:
        raise ServiceError(410, "The session has expired.")
    logger.info("session read", extra={"session_id": session_id})
    return session_of(item, now)


@app.post("/api/messaging/sessions/<session_id>/heartbeat")
@tracer.capture_method
def heartbeat(session_id: str) -> Session:
    now = time.time_ns() // 1_000_000
    try:
        answer = table.update_item(
            Key={"sessionId": session_id},
            UpdateExpression=RENEW,
            ConditionExpression=RENEWABLE,
            ExpressionAttributeValues={":now": now, ":one": 1, ":tenant": tenant_id(), ":true": True},
            ReturnValues="ALL_NEW",
            ReturnValuesOnConditionCheckFailure="ALL_OLD",
        )
    except ClientError as error:
        if error.response["Error"]["Code"] == "ConditionalCheckFailedException":
            raise NotFoundError("There is no such session.") from error
        raise
    logger.info("session renewed", extra={"session_id": session_id})
    metrics.add_metric(name="SessionHeartbeats", unit=MetricUnit.Count, value=1)
    return session_of(answer["Attributes"], now)


@app.post("/api/messaging/sessions/<session_id>/messages")
@tracer.capture_method
def append_message(session_id: str, body: NewMessage) -> Response[Appended]:
    now = time.time_ns() // 1_000_000
    values = {":now": now, ":one": 1, ":zero": 0, ":tenant": tenant_id(), ":true": True, ":limit": 10_000}
    try:
        session = table.update_item(
            Key={"sessionId": session_id},
            UpdateExpression=TAKE_NUMBER,
            ConditionExpression=MAY_TAKE,
            ExpressionAttributeValues=values,
            ReturnValues="ALL_NEW",
            ReturnValuesOnConditionCheckFailure="ALL_OLD",
        )["Attributes"]
    except ClientError as error:
        if error.response["Error"]["Code"] == "ConditionalCheckFailedException":
            raise NotFoundError("There is no such session.") from error
        raise
    sequence = int(session["lastSeq"])
    messages.put_item(
        Item={
            "life": f"{session_id}#{session['attempt'].value.hex()}",
            "seq": sequence,
            "write": os.urandom(4),
            **{name: session[name] for name in ("tenantId", "agentId", "userId", "lease", "expiresAt", "purgeAt")},
            "sessionCreatedAt": session["createdAt"],
            "createdAt": now,
            "role": "user",
            "content": body.content,
            "metadata": json.dumps(body.metadata, ensure_ascii=False, separators=(",", ":")),
        },
        ConditionExpression="attribute_not_exists(seq)",
        ReturnValuesOnConditionCheckFailure="ALL_OLD",
    )
    logger.info("message appended", extra={"session_id": session_id})
    metrics.add_metric(name="UserMessages", unit=MetricUnit.Count, value=1)
    message = Message(
        id=str(uuid.uuid4()),
        sequence=sequence,
        session_id=session_id,
        content=body.content,
        author_id=session["userId"],
        created_at=moment(now),
        metadata=body.metadata,
    )
    status = SessionStatus(
        expires_at=moment(session["expiresAt"]),
        renewal_count=int(session["renewalCount"]),
        last_sequence=sequence,
    )
    return Response(
        status_code=201,
        content_type=content_types.APPLICATION_JSON,
        body=Appended(message=message, session_status=status),
        headers={"location": f"/api/messaging/sessions/{session_id}/messages/{message.id}"},
    )


@logger.inject_lambda_context(correlation_id_path=correlation_paths.API_GATEWAY_HTTP)
@tracer.capture_lambda_handler
@metrics.log_metrics(capture_cold_start_metric=True)
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    return app.resolve(event, context)


def tenant_id() -> str:
    authorizer = app.current_event.request_context.authorizer
    return str(authorizer.get_lambda["tenantId"])


def new_item(tenant: str, body: NewSession, now: int) -> dict[str, Any]:
    config = body.timeout_config
    timeout_ms = round(config.timeout_minutes * MS_PER_MINUTE)
    warning_ms = round(config.warning_threshold_minutes * MS_PER_MINUTE)
    ends_at = now + round(config.max_duration_minutes * MS_PER_MINUTE)
    expires_at = min(now + timeout_ms, ends_at)
    session_id = str(uuid.uuid4())
    return {
        "sessionId": session_id,
        "tenantId": tenant,
        "agentId": body.agent_id,
        "userId": body.user_id,
        "metadata": json.dumps(body.metadata, ensure_ascii=False, separators=(",", ":")),
        "requestHash": hashlib.sha256(body.model_dump_json().encode()).digest(),
        "attempt": os.urandom(4),
        "createdAt": now,
        "lastActivity": now,
        "renewedAt": now,
        "expiresAt": expires_at,
        "endsAt": ends_at,
        "renewalCount": 0,
        "lease": 1,
        "timeoutMinutes": Decimal(str(config.timeout_minutes)),
        "autoRenew": config.auto_renew,
        "maxDurationMinutes": Decimal(str(config.max_duration_minutes)),
        "warningThresholdMinutes": Decimal(str(config.warning_threshold_minutes)),
        "timeoutMs": timeout_ms,
        "warningMs": warning_ms,
        "warnAfterMs": timeout_ms - warning_ms,
        "renewableUntil": ends_at - timeout_ms,
        "purgeAt": -((ends_at + RETENTION_MS) // -1000),
        "listedAt": now,
        "tenantUser": f"{tenant}#{body.user_id.lower()}",
        "tenantShard": f"{tenant}#{shard_of(session_id, TENANT_SHARDS)}",
        "dueShard": shard_of(session_id, DUE_SHARDS),
        "dueAt": expires_at - warning_ms,
    }


def session_of(item: dict[str, Any], now: int) -> Session:
    remaining = max(0, int(item["expiresAt"]) - now)
    return Session(
        session_id=item["sessionId"],
        agent_id=item["agentId"],
        user_id=item["userId"],
        created_at=moment(item["createdAt"]),
        last_activity=moment(item["lastActivity"]),
        expires_at=moment(item["expiresAt"]),
        ends_at=moment(item["endsAt"]),
        metadata=json.loads(item["metadata"]),
        timeout_config=TimeoutConfig(
            timeout_minutes=float(item["timeoutMinutes"]),
            auto_renew=item["autoRenew"],
            max_duration_minutes=float(item["maxDurationMinutes"]),
            warning_threshold_minutes=float(item["warningThresholdMinutes"]),
        ),
        renewal_count=int(item["renewalCount"]),
        time_remaining=remaining,
        is_near_expiration=0 < remaining <= int(item["warningMs"]),
    )


def moment(epoch_ms: int | Decimal) -> datetime:
    return datetime.fromtimestamp(int(epoch_ms) / 1000, tz=UTC)
