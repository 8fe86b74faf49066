"""What the template tells the functions is what they read, with the contract's defaults and bounds they accept."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import pytest
from agent_sessions.keys.settings import KeySettings
from agent_sessions.settings import (
    EraserSettings,
    ErasureSettings,
    MessageSettings,
    PublisherSettings,
    SessionSettings,
    SweepSettings,
)

from tests.template_reader import FUNCTIONS, Deployment, expanded, template


def _both(env: Mapping[str, str]) -> object:
    """What the API reads at its start, and what it reads when a session that was talked in is deleted."""
    return SessionSettings.from_env(env), ErasureSettings.from_env(env)


SETTINGS: dict[str, type[SessionSettings | SweepSettings | MessageSettings | ErasureSettings | PublisherSettings]] = {
    "SessionApiFunction": SessionSettings,
    "SessionMessagesFunction": MessageSettings,
    "ExpirySweeperFunction": SweepSettings,
    "EraserFunction": EraserSettings,
    "MessagePublisherFunction": PublisherSettings,
}
READ: dict[str, tuple[Iterable[str], Callable[[Mapping[str, str]], object]]] = {
    **{function: (settings.model_fields, settings.from_env) for function, settings in SETTINGS.items()},
    "SessionApiFunction": (SessionSettings.model_fields | ErasureSettings.model_fields, _both),
    "ApiKeyAuthorizerFunction": (KeySettings._fields, KeySettings.from_env),
}
"""The settings that a function reads, and how."""
# What packages read: Powertools its own, both transports the bundle of certificates, pydantic a switch. And what the
# composition root reads to choose a transport.
PACKAGES = {
    "SDK_TRANSPORT", "AWS_CA_BUNDLE", "POWERTOOLS_LOG_LEVEL", "POWERTOOLS_METRICS_NAMESPACE", "POWERTOOLS_SERVICE_NAME",
    "PYDANTIC_DISABLE_PLUGINS",
}  # fmt: skip


def parameter_of(function: str) -> dict[str, str]:
    """The parameter behind each variable of a function, where it is handed on as it is."""
    variables = expanded()["Resources"][function]["Properties"]["Environment"]["Variables"]
    return {
        name: value["Ref"]
        for name, value in variables.items()
        if isinstance(value, dict) and value.get("Ref") in template()["Parameters"]
    }


def tuned() -> list[tuple[str, str, dict[str, Any]]]:
    """Each function's settings that a parameter sets."""
    return [
        (function, name, template()["Parameters"][parameter])
        for function in FUNCTIONS
        for name, parameter in parameter_of(function).items()
        if name not in PACKAGES
    ]


@pytest.mark.parametrize("function", FUNCTIONS)
def test_a_function_is_told_what_it_reads_and_reads_what_it_is_told(function: str) -> None:
    names, _ = READ[function]
    read = {name.upper() for name in names}
    assert set(Deployment().environment(function)) - PACKAGES == read


@pytest.mark.parametrize("function", FUNCTIONS)
def test_a_function_starts_with_what_the_template_gives_it_by_default(function: str) -> None:
    _, from_env = READ[function]
    from_env(Deployment().environment(function))


@pytest.mark.parametrize("function, name, parameter", tuned(), ids=str)
def test_the_default_of_a_parameter_is_that_of_the_code(function: str, name: str, parameter: dict[str, Any]) -> None:
    default = SETTINGS[function].model_fields[name.lower()].default
    assert (str(default).lower() if isinstance(default, bool) else default) == parameter["Default"]


@pytest.mark.parametrize("function, name, parameter", tuned(), ids=str)
def test_every_value_that_a_parameter_takes_is_one_that_the_function_takes(
    function: str, name: str, parameter: dict[str, Any]
) -> None:
    environment = Deployment().environment(function)
    for bound in ("MinValue", "MaxValue"):
        if bound in parameter:
            # Each setting for itself: how settings may contradict one another is for the function to say.
            SETTINGS[function].model_validate(environment | {name: str(parameter[bound])})


def test_a_parameter_is_called_like_the_setting_it_sets() -> None:
    for function in FUNCTIONS:
        for name, parameter in parameter_of(function).items():
            if name not in PACKAGES:
                assert name.replace("_", "").lower() == parameter.lower()
