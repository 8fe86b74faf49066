"""Builds what knows the callers: the authorizer, and the keys for the command that makes them."""

from typing import TYPE_CHECKING

from agent_sessions.bootstrap.wiring import built_once, dynamodb, request_log, wiring

if TYPE_CHECKING:
    from agent_sessions.keys.authorizer import ApiKeyAuthorizer
    from agent_sessions.keys.service import KeyService

# ruff: noqa: PLC0415 - each builder imports what its own function needs


@built_once
def api_key_authorizer() -> "ApiKeyAuthorizer":
    """Build the authorizer; raise `SettingsError` where a setting is missing."""
    from agent_sessions.keys.authorizer import ApiKeyAuthorizer

    return ApiKeyAuthorizer(api_keys(), request_log())


def api_keys() -> "KeyService":
    """Build what checks, makes, lists, revokes and rotates keys; raise `SettingsError` where a setting is missing."""
    from agent_sessions.keys.dynamo_store import DynamoKeyStore
    from agent_sessions.keys.service import KeyService
    from agent_sessions.keys.settings import KeySettings

    settings = KeySettings.from_env(wiring().environ)
    return KeyService(DynamoKeyStore(dynamodb(), settings.api_keys_table), wiring().clock)
