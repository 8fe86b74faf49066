"""Settings: ElizaOS's names and defaults, and a stop that names the reason where they contradict one another."""

from collections.abc import Iterator

import pytest
from agent_sessions.bootstrap import wiring
from agent_sessions.errors import SettingsError
from agent_sessions.settings import SessionSettings

from tests.unit.world import POLICIES, TABLE, World, gateway_event


def read(**env: str) -> SessionSettings:
    return SessionSettings.from_env({"SESSIONS_TABLE": "t", **env})


def test_an_empty_setting_is_one_that_is_not_set() -> None:
    assert read(SESSION_DEFAULT_TIMEOUT_MINUTES="").session_default_timeout_minutes == 30


def test_what_is_none_of_ours_is_left_alone() -> None:
    assert read(PATH="/bin", SESSION_CLEANUP_INTERVAL_MINUTES="x", CLEAR_TIMEOUTS_ON_SHUTDOWN="true") == read()


MALFORMED = [
    *[(name, value)
      for name in (
          "SESSION_DEFAULT_TIMEOUT_MINUTES",
          "SESSION_MIN_TIMEOUT_MINUTES",
          "SESSION_MAX_TIMEOUT_MINUTES",
          "SESSION_MAX_DURATION_MINUTES",
          "SESSION_WARNING_THRESHOLD_MINUTES",
      )
      for value in ("x", "0", "-5", "nan", "inf", "true")],
    *[("SESSION_RETENTION_MINUTES", value) for value in ("59", "x", "60.5", "-1")],
    *[("DUE_SHARDS", value) for value in ("0", "x", "1.5")],
    *[("TENANT_SHARDS", value) for value in ("0", "x", "-1")],
]  # fmt: skip


@pytest.mark.parametrize("name, value", MALFORMED)
def test_a_malformed_setting_is_named(name: str, value: str) -> None:
    with pytest.raises(SettingsError, match=name):
        read(**{name: value})


def test_a_missing_table_is_named() -> None:
    with pytest.raises(SettingsError, match="SESSIONS_TABLE"):
        SessionSettings.from_env({})


def test_all_malformed_settings_are_named_at_once() -> None:
    with pytest.raises(SettingsError) as caught:
        SessionSettings.from_env({"SESSION_RETENTION_MINUTES": "1", "DUE_SHARDS": "x"})
    for name in ("SESSIONS_TABLE", "SESSION_RETENTION_MINUTES", "DUE_SHARDS"):
        assert name in str(caught.value)


CONTRADICTIONS = [
    ({"SESSION_MIN_TIMEOUT_MINUTES": "31"}, ["SESSION_MIN_TIMEOUT_MINUTES", "SESSION_DEFAULT_TIMEOUT_MINUTES"]),
    ({"SESSION_DEFAULT_TIMEOUT_MINUTES": "4"}, ["SESSION_MIN_TIMEOUT_MINUTES", "SESSION_DEFAULT_TIMEOUT_MINUTES"]),
    ({"SESSION_MAX_TIMEOUT_MINUTES": "29"}, ["SESSION_MAX_TIMEOUT_MINUTES", "SESSION_DEFAULT_TIMEOUT_MINUTES"]),
    ({"SESSION_MAX_DURATION_MINUTES": "29"}, ["SESSION_MAX_DURATION_MINUTES", "SESSION_DEFAULT_TIMEOUT_MINUTES"]),
    ({"SESSION_MAX_DURATION_MINUTES": "2881"}, ["SESSION_MAX_DURATION_MINUTES", "SESSION_MAX_TIMEOUT_MINUTES"]),
    (
        {"SESSION_WARNING_THRESHOLD_MINUTES": "31"},
        ["SESSION_WARNING_THRESHOLD_MINUTES", "SESSION_DEFAULT_TIMEOUT_MINUTES"],
    ),
]


@pytest.mark.parametrize("env, names", CONTRADICTIONS)
def test_settings_that_contradict_one_another_stop_with_both_names_and_values(
    env: dict[str, str], names: list[str]
) -> None:
    with pytest.raises(SettingsError) as caught:
        read(**env)
    for name in names:
        assert name in str(caught.value)
    for value in env.values():
        assert value in str(caught.value)


@pytest.fixture
def _rewired() -> Iterator[None]:
    """Whatever a test wires, the next one starts from the default."""
    yield
    wiring.wire(wiring.Wiring())


@pytest.mark.usefixtures("_rewired")
def test_the_function_does_not_start_without_its_table_of_policies() -> None:
    with pytest.raises(SettingsError, match="AGENT_POLICIES_TABLE"):
        World(AGENT_POLICIES_TABLE="").send(gateway_event("health"))


@pytest.mark.usefixtures("_rewired")
def test_the_function_does_not_start_with_settings_that_contradict_one_another() -> None:
    with pytest.raises(SettingsError, match="SESSION_MIN_TIMEOUT_MINUTES"):
        World(SESSION_MIN_TIMEOUT_MINUTES="31").send(gateway_event("health"))


@pytest.mark.usefixtures("_rewired")
def test_the_settings_come_from_the_environment_that_was_wired(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SESSION_DEFAULT_TIMEOUT_MINUTES", "17")
    assert World().new()["timeRemaining"] == 30 * 60_000
    monkeypatch.setenv("SESSIONS_TABLE", TABLE)
    monkeypatch.setenv("AGENT_POLICIES_TABLE", POLICIES)
    world = World()
    wiring.wire(wiring.Wiring(clock=world.clock, clients={"dynamodb": world.dynamo}))
    assert world.new()["timeRemaining"] == 17 * 60_000
