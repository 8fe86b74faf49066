"""The faults: what stands in the package, and what a slip of the pen would make of it.

A fault is a short snippet that occurs once in its file, so that it survives edits elsewhere. `first` are the files of
tests/unit that run first, the likeliest ones; the rest of the unit tests run when those find nothing.
"""

from typing import NamedTuple


class Fault(NamedTuple):
    """One snippet of one file of the package, and what replaces it."""

    file: str
    first: str
    old: str
    new: str

    def __str__(self) -> str:
        return f"{self.file}: {self.old!r} -> {self.new!r}"


_BY_FILE: dict[tuple[str, str], list[tuple[str, str]]] = {
    ("sessions/leases.py", "leases renewal patch_timeout expiry store_suite against_model"): [
        ("renews = manual or found.timeout.auto_renew", "renews = manual"),
        ("found.expires_at_ms >= found.ends_at_ms", "found.expires_at_ms > found.ends_at_ms"),
        ("RenewalPath.AFTER_WARNING if found.warned else RenewalPath.USUAL", "RenewalPath.USUAL"),
        ("found.timeout.timeout_ms >= found.ends_at_ms", "found.timeout.timeout_ms > found.ends_at_ms"),
        ("now_ms if overtaken_at_ms is None else found.last_activity_ms", "now_ms"),
        ("if session.is_retired(now_ms, retention_ms):", "if False:"),
        ("min(session.renewed_at_ms + timeout", "min(session.last_activity_ms + timeout"),
        ("session.created_at_ms + timeout.max_duration_ms", "session.renewed_at_ms + timeout.max_duration_ms"),
        ("new_lease = ends_at_ms != session.ends_at_ms", "new_lease = True"),
        ("if session.capped != is_capped:", "if False:"),
        ("SessionExpired(session.expires_at_ms", "SessionExpired(session.ends_at_ms"),
        ("if end_ms <= now_ms", "if end_ms < now_ms"),
    ],
    ("sessions/model.py", "expiry leases renewal create due store_suite against_model"): [
        ("return round(minutes", "return int(minutes"),
        ("+ retention_ms + MS_PER_DAY)", "+ retention_ms)"),
        ("return self.expires_at_ms == self.ends_at_ms", "return self.expires_at_ms > self.ends_at_ms"),
        ("return self.due_at_ms >= self.expires_at_ms", "return self.due_at_ms > self.expires_at_ms"),
        ("self.closed or self.expires_at_ms <= now_ms", "self.closed or self.expires_at_ms < now_ms"),
        ("self.closed or self.expires_at_ms <= now_ms", "self.expires_at_ms <= now_ms"),
        ("self.expires_at_ms + retention_ms <= now_ms", "self.expires_at_ms + retention_ms < now_ms"),
        ("self.time_remaining_ms(now_ms) <= self.timeout", "self.time_remaining_ms(now_ms) < self.timeout"),
    ],
    (
        "sessions/service.py",
        "create idempotency renewal patch_timeout patch_metadata tenants calls expiry against_model",
    ): [
        ("if held.request_hash != request.request_hash:", "if False:"),
        ("if held.is_expired(now_ms):", "if False:"),
        ("held is None or held.attempt in ours", "held is None"),
        ("            check_still_lives(read, patch, now_ms)", "            pass"),
        ("if read.metadata_json in written:", "if False:"),
        ("if held.is_retired(", "if not held.is_retired("),
        ("due_at_ms=warning_due_ms(expires_at_ms, timeout.warning_ms)", "due_at_ms=expires_at_ms"),
        ("if timeout == read.timeout:", "if False:"),
    ],
    ("sessions/ids.py", "idempotency create api_routing"): [
        ('f"{len(tenant_id)}:{tenant_id}:{idempotency_key}"', 'f"{tenant_id}:{idempotency_key}"'),
    ],
    ("sessions/dynamo_renewal.py", "store_suite store_suite_races renewal patch_timeout tenants against_model"): [
        ('"tenantId = :tenant"', '"(tenantId = :tenant OR attribute_exists(tenantId))"'),
        ('f"{items.LISTED_AT} = {items.CREATED_AT}"', 'f"attribute_exists({items.LISTED_AT})"'),
        ('"expiresAt > :now"', '"expiresAt >= :now"'),
        ('"lastActivity <= :now"', '"createdAt <= :now"'),
        ('"lastActivity <= :now"', '"lastActivity < :now"'),
        ('"autoRenew = :true"', '"(autoRenew = :true OR autoRenew <> :true)"'),
        ('f"{items.DUE_AT} < expiresAt"', 'f"{items.DUE_AT} <= expiresAt"'),
        ('f"{items.DUE_AT} >= expiresAt"', 'f"{items.DUE_AT} > expiresAt"'),
        ('f"renewableUntil > {moment}"', 'f"renewableUntil >= {moment}"'),
        ('[f"renewableUntil <= {moment}", "expiresAt < endsAt"]', '[f"renewableUntil <= {moment}"]'),
        ('f"renewableUntil <= {moment}"', 'f"renewableUntil < {moment}"'),
        ('"renewalCount = renewalCount + :one", "lease = lease + :one"', '"renewalCount = renewalCount + :one"'),
        ('= endsAt - warningMs"', '= endsAt"'),
        ("{moment} + warnAfterMs", "{moment} + timeoutMs"),
        ("(autoRenew = :false OR expiresAt = endsAt)", "autoRenew = :false"),
        ('"lastActivity >= :overtaken"', '"lastActivity > :overtaken"'),
    ],
    ("sessions/dynamo_store.py", "store_suite calls patch_timeout sweep store_suite_races against_model"): [
        ('OWNED, NOT_CLOSED, ALIVE, "metadata = :read"]', "OWNED, NOT_CLOSED, ALIVE]"),
        ('OWNED, NOT_CLOSED, ALIVE, "metadata = :read"]', 'OWNED, ALIVE, "metadata = :read"]'),
        ('"expiresAt <= :retired"', '"expiresAt < :retired"'),
        ("session.created_at_ms - self._retention_ms", "session.created_at_ms"),
        ("conditions = [OWNED, NOT_CLOSED, ALIVE, *", "conditions = [OWNED, NOT_CLOSED, *"),
        ("conditions = [OWNED, NOT_CLOSED, ALIVE, *", "conditions = [OWNED, ALIVE, *"),
        ('else "expiresAt < endsAt")', 'else "expiresAt <= endsAt")'),
        ('"renewedAt >= :newrenewableUntil"', '"renewedAt > :newrenewableUntil"'),
        ('"renewedAt > :livesFrom"', '"renewedAt >= :livesFrom"'),
        ("if patch.warning_due:", "if False:"),
        ("elif read.warned:", "elif not read.warned:"),
        ("Key=items.session_key(session_id), ConsistentRead=True", "Key=items.session_key(session_id)"),
        ('"ConsistentRead": True', '"ConsistentRead": False'),
    ],
    ("sessions/dynamo_item.py", "store_suite listing create due metadata upgrades"): [
        ("user_id.lower()", "user_id"),
        ("str(ends_at_ms - timeout.timeout_ms)", "str(ends_at_ms)"),
        ("announced=DUE_SHARD not in item", "announced=False"),
        ("int(text) if text.isdigit() else float(text)", "float(text)"),
    ],
    ("sweep/decision.py", "due sweep sweep_races sweep_timing"): [
        ("session is None or session.announced", "session is None"),
        ("EXPIRY_GRACE_MS: Final = 5_000", "EXPIRY_GRACE_MS: Final = 0"),
        ("+ EXPIRY_GRACE_MS <= now_ms", "+ EXPIRY_GRACE_MS < now_ms"),
        ("session.expires_at_ms <= now_ms or session.warned", "session.warned"),
        ("session.warning_at_ms > horizon_ms", "session.warning_at_ms >= horizon_ms"),
        ("session.warned or session.due_at_ms > horizon_ms", "session.warned"),
    ],
    ("sessions/attempts.py", "tenants renewal against_model"): [
        ("if found is None or found.tenant_id != tenant_id:", "if found is None:"),
    ],
    ("sweep/engine.py", "sweep schedule sweep_crashes"): [("if run.answered", "if True")],
    ("sweep/shard.py", "sweep sweep_crashes schedule sweep_timing sweep_races sweep_outages"): [
        ("for mark in done if mark.kind is MarkKind.CLOSED", "for mark in done"),
        ("where(batch, outcomes, PublishOutcome.BUSY)", "[]"),
        ("where(batch, outcomes, MarkOutcome.BUSY)", "[]"),
        ("published += where(batch, outcomes, PublishOutcome.SENT)", "published += batch"),
        ("self._calls.pass_over(session.session_id, Step.PUBLISH, details)", "pass"),
        ("- len(read.found) - len(unread)", "- len(read.found)"),
        ("self._calls.try_again(Step.READ, unread, tries)", "pass"),
        ("if mark.kind is not MarkKind.CLOSED:", "if True:"),
        ("self._shared.clock.now_ms() + self._shared.look_ahead_ms", "self._shared.clock.now_ms()"),
    ],
    ("sweep/claim.py", "sweep_claims sweep schedule sweep_timing"): [
        ("now_ms() + seconds * 1000 >= self.stop_at_ms", "now_ms() >= self.stop_at_ms"),
        ("FIRST_PAUSE_SECONDS * 2.0**failures", "FIRST_PAUSE_SECONDS"),
        ("now_ms + calls * self._slow_ms <= self.stop_at_ms", "True"),
        ("if attempt == ATTEMPTS - 1 or", "if attempt == 0 or"),
        ("last_try = now_ms + CLAIM_POLL_SECONDS * 1000 > give_up_ms", "last_try = True"),
    ],
    ("sweep/dynamo_due.py", "gauge store_suite store_suite_races sweep_races sweep"): [
        (
            'f"REMOVE {items.DUE_SHARD}", _SAME_LEASE, same_lease',
            'f"REMOVE {items.DUE_SHARD}", "sessionId = ?", same_lease[:1]',
        ),
        ("str(session.warning_at_ms)", "str(session.expires_at_ms)"),
        ("{items.DUE_AT} <= :until", "{items.DUE_AT} < :until"),
        ("return MarkOutcome.REFUSED", "return MarkOutcome.FAILED"),
        ("while calls != max_calls:", "while True:"),
        ('"ExclusiveStartKey"] = answer["LastEvaluatedKey"]', '"Limit"] = 1'),
    ],
    ("sweep/dynamo_record.py", "store_suite store_suite_races schedule"): [
        ('":now": number(now_ms),\n            ":farthest"', '":now": number(now_ms + 1),\n            ":farthest"'),
        (":farthest OR {_CLAIMED_BY}{shard} = :run)", ":farthest)"),
    ],
    ("sweep/health.py", "health"): [
        ("abs(now_ms - last_sweep_at_ms) <= STALE_SWEEP_MS", "abs(now_ms - last_sweep_at_ms) < STALE_SWEEP_MS"),
        ("min((sweep.swept_at_ms", "max((sweep.swept_at_ms"),
        ("len(known) == self._due_shards", "len(known) > 0"),
        ("gauge.taken_at_ms) > STALE_GAUGE_MS", "gauge.taken_at_ms) >= STALE_GAUGE_MS"),
        ("and lag_seconds * 1000 <= STALE_SWEEP_MS", "and lag_seconds >= 0"),
    ],
    ("sweep/count.py", "gauge health"): [("now_ms + self._soon_ms", "now_ms")],
    ("sweep/handler.py", "schedule gauge"): [
        ("type(shard) is int", "isinstance(shard, int)"),
        ("len(set(named)) == len(named)", "len(set(named)) > 0"),
        ("if summary.claimed:", "if True:"),
    ],
    ("api/requests.py", "create create_numbers patch_timeout idempotency metadata listing"): [
        ("Field(strict=True, ge=low", "Field(ge=low"),
        ("ge=low, le=high", "gt=low, le=high"),
        ("ge=low, le=high", "ge=low, lt=high"),
        ("if value < timeout if", "if value <= timeout if"),
        ("else value > timeout:", "else value >= timeout:"),
        ("max(settings.session_max_duration_minutes, timeout)", "settings.session_max_duration_minutes"),
        ("max(1, timeout / 2)", "timeout"),
        ("timeout > kept.max_duration_minutes", "timeout >= kept.max_duration_minutes"),
        ("timeout < kept.warning_threshold_minutes", "timeout <= kept.warning_threshold_minutes"),
        ("{1,255}", "{1,256}"),
        ('{12}$"', '{12}"'),
        ("sort_keys=True", "sort_keys=False"),
        ('_sorted_json(body.get("metadata") or {})', "_sorted_json({})"),
        ('"maxDurationMinutes" not in body and timeout', "timeout"),
        ('MISSING if fault["type"] == "missing" else fault["input"]', 'fault["input"]'),
    ],
    ("api/json_body.py", "api_bodies metadata patch_metadata create_numbers"): [
        ("merged.pop(name, None)", "merged[name] = None"),
        ("_merged(merged.get(name), value) if isinstance(value, dict) else value", "value"),
        ("    _check_values(patch)\n", ""),
        ("len(octets) > limit", "len(octets) >= limit"),
        ("size > limit", "size >= limit"),
        ("depth > MAX_METADATA_DEPTH", "depth >= MAX_METADATA_DEPTH"),
        ('len(text.lstrip("-")) <=', 'len(text.lstrip("-")) <'),
        ('text.lstrip("-")', "text"),
        ("value if math.isfinite(value) else UnusableNumber(text)", "value"),
        ("validate=True", "validate=False"),
        (r'if text.startswith("\ufeff"):', "if False:"),
    ],
    ("api/list_query.py", "listing"): [
        ("1 <= int(limit)", "0 <= int(limit)"),
        ("int(limit) <= MAX_PAGE_SIZE", "int(limit) < MAX_PAGE_SIZE"),
    ],
    ("lists/pages.py", "listing tenants upgrades"): [
        ("if not hmac.compare_digest(mac, self._mac(payload, scope)):", "if False:"),
        ("[self.tenant_id, self.user_id and", '["", self.user_id and'),
        ("self.agent_id and self.agent_id.lower()", "None"),
        ("len(positions) != partitions", "False"),
        ("and session.tenant_id == query.tenant_id", ""),
        ("and not session.is_expired(now_ms)", ""),
        ("in range(MAX_BATCHES)", "in range(1)"),
        ("key = max(ready,", "key = min(ready,"),
        ("self._queries_left -= 1", "pass"),
        ("if stream.more or stream.buffer else _END", "if stream.more else _END"),
        ("wanted = read.unread", "wanted = []"),
    ],
    ("lists/dynamo_secret.py", "store_suite listing store_suite_races"): [
        ("attribute_not_exists({_SECRET})", "attribute_not_exists(unused)")
    ],
    ("lists/dynamo_index.py", "listing store_suite"): [('"ScanIndexForward": False', '"ScanIndexForward": True')],
    ("keys/service.py", "keys authorizer"): [
        ("self.expires_at_ms <= now_ms", "self.expires_at_ms < now_ms"),
        ("if self.revoked_at_ms is not None:", "if False:"),
        ('allowed=state == "active"', 'allowed=state != "revoked"'),
        ("until_ms = min(until_ms, old.expires_at_ms)", "pass"),
        ("old.replaced_by is not None or ", ""),
        ("self._store.revoke(new.record.key_hash, now_ms)", "pass"),
        ("lifetime_ms <= 0", "lifetime_ms < 0"),
        ("_TENANT_ID.fullmatch(", "_TENANT_ID.match("),
    ],
    ("keys/dynamo_store.py", "keys"): [
        ("AND {_NOT_REPLACED} AND", "AND"),
        ("expiresAt > :now)", "expiresAt >= :now)"),
        (", ConsistentRead=True", ""),
        ('"LastEvaluatedKey" not in answer', "True"),
        ('f"attribute_not_exists({_KEY_HASH})"', '"attribute_not_exists(unused)"'),
    ],
    ("keys/authorizer.py", "authorizer"): [
        ("if key is None or not allowed:", "if key is None:"),
        ('event.get("identitySource") or [""]', 'event["identitySource"]'),
    ],
    ("messages/service.py", "messages messages_against_model"): [
        ("if record.request_hash != new.request_hash:", "if False:"),
        ("if taking.attempt not in (None, session.attempt):", "if False:"),
        ("if now_ms - message.created_at_ms > SEALED_AFTER_MS:", "if False:"),
        ("except (PreconditionFailed, MessageLimitReached):", "except MessageLimitReached:"),
    ],
    ("messages/dynamo_store.py", "messages message_pages messages_against_model"): [
        ("{LAST_MESSAGE_AT} < :now)", "{LAST_MESSAGE_AT} <= :now)"),
        ("{LAST_SEQUENCE} < :limit)", "{LAST_SEQUENCE} <= :limit)"),
        ("{LAST_SEQUENCE} >= :answered", "{LAST_SEQUENCE} > :answered"),
        ('ConditionExpression="n = :sealed"', 'ConditionExpression="attribute_exists(n)"'),
        ('f"attribute_not_exists({items.SEQUENCE})"', '"attribute_not_exists(unused)"'),
        ("conditions = [OWNED, NOT_CLOSED, ALIVE]", "conditions = [OWNED, NOT_CLOSED]"),
        ("conditions.append(_THIS_LIFE)", "pass"),
        ('(OPEN_SEQUENCE,) if speaker == "agent" else ()', "()"),
    ],
    ("messages/pages.py", "message_pages messages messages_against_model"): [
        ("ref.attempt != session.attempt:\n            raise", "False:\n            raise"),
        ("return self._finished(page, read_to, has_more=False)", "continue"),
        ("slot.sequence - 1, False", "slot.sequence, False"),
        ("query.before_sequence - 1", "query.before_sequence"),
        ("or found.is_retired(now_ms, self._retention_ms)", ""),
    ],
    ("erasure/service.py", "erasure"): [
        ("return Ended(0, pending=True)", "return Ended(0, pending=False)"),
        ("return Removal(0, more=False)", "pass"),
        ("if removal.more:", "if False:"),
        ("self._queue().send(LifeOrder(session_id, life_of(session_id, attempt)), ORDER_DELAY_SECONDS)", "pass"),
        ("if session is not None and session.is_retired(", "if False and session.is_retired("),
    ],
    ("erasure/dynamo_pages.py", "erasure"): [
        ('if "LastEvaluatedKey" not in page:', "if True:"),
        ('"sealed" not in item', "True"),
        ("if not wanted:", "if True:"),
    ],
    ("erasure/handler.py", "erasure"): [('failed.append(record["messageId"])', "pass")],
    ("settings.py", "settings upgrades gauge"): [
        ('if value != ""', "if True"),
        ("> getattr(self, larger.lower())", ">= getattr(self, larger.lower())"),
        ("max(self.tenant_shards, self.list_shards)", "self.tenant_shards"),
        ("self.sweep_fan_out > self.shards", "self.sweep_fan_out >= self.shards"),
        ('("SESSION_WARNING_THRESHOLD_MINUTES", "SESSION_DEFAULT_TIMEOUT_MINUTES"),', ""),
    ],
    ("api/edge.py", "api_routing api_errors tenants"): [
        ("and not (route and route.public)", "and not route"),
        ('"" if request.method == "HEAD" else answer.body', "answer.body"),
        ("name.lower(): value", "name: value"),
    ],
    ("api/responses.py", "api_errors create"): [
        ("len(shown) > MAX_VALUE_CHARACTERS", "len(shown) >= MAX_VALUE_CHARACTERS"),
    ],
    ("events/cloud_events.py", "events sweep"): [
        ('"renewable": session.reason == "idle_timeout"', '"renewable": True'),
        ("{session.created_at_ms}:{session.lease}", "{session.lease}"),
    ],
    ("events/sns_topic.py", "publisher"): [(' or not failure["SenderFault"]', "")],
    ("aws_clients/lean_dynamodb.py", "lean_dynamodb lean_http"): [
        ('self._call("PutItem", request, 1)', 'self._call("PutItem", request, self._attempts)'),
        ("if expected is not None and expected", "if False and expected"),
        ("self._ahead_seconds = theirs - ", "self._ahead_seconds = 0 * theirs - 0 * "),
        ("            self._credentials.renew()\n            return True", "            return False"),
        ('isinstance(found["B"], str)', "True"),
        ("(is_busy(code) or answer.status >= _SERVER_ERROR)", "is_busy(code)"),
        ("self._clock.sleep(self._jitter())", "self._jitter()"),
    ],
    ("aws_clients/lean_http.py", "lean_http"): [
        ("if not waiting.poll(0):", "if True:"),
        ("            connection.close()\n            self.close()\n", "            connection.close()\n"),
        ("self._connection.settimeout(_left(self._deadline, self._seconds))", "pass"),
        ("stays_open and len(self._kept)", "len(self._kept)"),
        ("ssl.PROTOCOL_TLS_CLIENT", "ssl.PROTOCOL_TLS"),
    ],
    ("aws_clients/lean_access.py", "lean_access lean_dynamodb"): [
        ('fips and (dual_stack or area != "us-gov")', "fips"),
        ("name if port == usual else", "name if False else"),
        ("if self._key_of != (secret_key, day):", "if self._key_of is None:"),
        ("if url and (fips or dual_stack):", "if False:"),
    ],
    ("aws_clients/failures.py", "publisher api_errors sweep_outages calls"): [(" or status >= 500", "")],
}

FAULTS = [Fault(file, first, old, new) for (file, first), changes in _BY_FILE.items() for old, new in changes]
