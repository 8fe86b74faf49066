"""Reads template.yaml as a deployment would: a function's environment, its schedules, the API's CORS settings.

So the local stack says nothing of its own about settings. Knows only the intrinsic functions that the template uses.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from samtranslator.yaml_helper import yaml_parse

PATH = Path(__file__).resolve().parent.parent / "template.yaml"

_NO_VALUE = object()
_PLACEHOLDER = re.compile(r"\$\{(!?)([^}]+)\}")
_RATE = re.compile(r"rate\((\d+) minutes?\)")


class TemplateError(Exception):
    """The template says something that the local stack cannot read."""


@dataclass(frozen=True)
class Deployment:
    """What a deployment gives a template: values of parameters, and what its resources are called."""

    parameters: Mapping[str, str] = field(default_factory=dict)
    resources: Mapping[str, str] = field(default_factory=dict)
    stack: str = "local"
    region: str = "eu-west-1"
    account: str = "123456789012"


@dataclass(frozen=True)
class Schedule:
    """One rule of EventBridge: how often, and the event it sends instead of its own, where it has one."""

    name: str
    every_minutes: int
    input: str | None


class Template:
    """The template as one deployment sees it."""

    def __init__(self, path: Path = PATH, deployment: Deployment | None = None) -> None:
        """Read the file; without a deployment, as the defaults of its parameters make it."""
        self.path = path
        self.deployment = deployment or Deployment()
        self._body: dict[str, Any] = yaml_parse(path.read_text(encoding="utf-8"))

    def for_deployment(self, deployment: Deployment) -> "Template":
        """The same template under other parameters and names."""
        return Template(self.path, deployment)

    def tables(self) -> list[str]:
        """The logical ids of its DynamoDB tables."""
        return [name for name, resource in self._resources().items() if resource["Type"] == "AWS::DynamoDB::Table"]

    def environment(self, function: str) -> dict[str, str]:
        """The environment variables of a function, as Lambda would set them."""
        declared = self._declared_environment(function)
        resolved = {name: self._resolve(value) for name, value in declared.items()}
        return {name: _text(value) for name, value in resolved.items() if value is not _NO_VALUE}

    def parameter_of(self, function: str) -> dict[str, str]:
        """Which variables of a function are nothing but a parameter: variable to parameter."""
        parameters = self._body.get("Parameters", {})
        return {
            variable: value["Ref"]
            for variable, value in self._declared_environment(function).items()
            if isinstance(value, dict) and value.get("Ref") in parameters
        }

    def handler(self, function: str) -> str:
        """The handler of a function, as `module.attribute`."""
        properties = self._function(function)
        return str(properties.get("Handler") or self._body["Globals"]["Function"]["Handler"])

    def schedules(self, function: str) -> list[Schedule]:
        """The rules that start a function, without those that are switched off."""
        found = []
        for name, event in self._function(function).get("Events", {}).items():
            properties = event["Properties"]
            if event["Type"] != "Schedule" or self._resolve(properties.get("State", "ENABLED")) == "DISABLED":
                continue
            rate = _RATE.fullmatch(properties["Schedule"])
            if rate is None:
                message = f"{function}'s schedule {name} is no rate in minutes: {properties['Schedule']}"
                raise TemplateError(message)
            found.append(Schedule(name, int(rate.group(1)), properties.get("Input")))
        return found

    def property_of(self, resource: str, name: str) -> Any:
        """One property of a resource, resolved; None where it has none of this name."""
        if resource not in self._resources():
            message = f"{self.path.name} has no resource called {resource}"
            raise TemplateError(message)
        value = self._resolve(self._resources()[resource].get("Properties", {}).get(name, _NO_VALUE))
        return None if value is _NO_VALUE else value

    def _resources(self) -> dict[str, Any]:
        resources: dict[str, Any] = self._body["Resources"]
        return resources

    def _function(self, name: str) -> dict[str, Any]:
        resource = self._resources().get(name, {})
        if resource.get("Type") != "AWS::Serverless::Function":
            message = f"{self.path.name} has no function called {name}"
            raise TemplateError(message)
        properties: dict[str, Any] = resource["Properties"]
        return properties

    def _declared_environment(self, function: str) -> dict[str, Any]:
        common = self._body.get("Globals", {}).get("Function", {}).get("Environment", {}).get("Variables", {})
        own = self._function(function).get("Environment", {}).get("Variables", {})
        return {**common, **own}

    def _resolve(self, value: Any) -> Any:
        if isinstance(value, list):
            return [item for item in map(self._resolve, value) if item is not _NO_VALUE]
        if not isinstance(value, dict):
            return value
        if len(value) == 1:
            (name, argument), *_ = value.items()
            if name == "Ref" or name.startswith("Fn::"):
                return self._call(name, argument)
        resolved = {key: self._resolve(item) for key, item in value.items()}
        return {key: item for key, item in resolved.items() if item is not _NO_VALUE}

    def _call(self, name: str, argument: Any) -> Any:
        match name:
            case "Ref":
                return self._reference(argument)
            case "Fn::If":
                return self._resolve(argument[1] if self._condition(argument[0]) else argument[2])
            case "Fn::Sub":
                return self._substitute(argument)
            case "Fn::Join":
                return argument[0].join(_text(part) for part in self._resolve(argument[1]))
            case _:
                message = f"{name} is not read by the local stack"
                raise TemplateError(message)

    def _reference(self, name: str) -> Any:
        known = {
            "AWS::StackName": self.deployment.stack,
            "AWS::Region": self.deployment.region,
            "AWS::AccountId": self.deployment.account,
            "AWS::Partition": "aws",
            "AWS::NoValue": _NO_VALUE,
        }
        if name in known:
            return known[name]
        parameter = self._body.get("Parameters", {}).get(name)
        if parameter is not None:
            given = self.deployment.parameters.get(name, parameter.get("Default", ""))
            is_list = parameter["Type"] == "CommaDelimitedList"
            return [part for part in _text(given).split(",") if part] if is_list else given
        if name in self.deployment.resources:
            return self.deployment.resources[name]
        if name in self._resources():
            return f"{self.deployment.stack}-{name}"
        message = f"{self.path.name} refers to {name}, which it does not have"
        raise TemplateError(message)

    def _substitute(self, argument: Any) -> str:
        text, given = argument if isinstance(argument, list) else (argument, {})

        def replace(found: re.Match[str]) -> str:
            literal, name = found.groups()
            if literal:
                return f"${{{name}}}"
            return _text(self._resolve(given[name]) if name in given else self._reference(name))

        return _PLACEHOLDER.sub(replace, text)

    def _condition(self, condition: Any) -> bool:
        if isinstance(condition, str):
            return self._condition(self._body["Conditions"][condition])
        (name, argument), *_ = condition.items()
        match name:
            case "Condition":
                return self._condition(argument)
            case "Fn::Equals":
                left, right = (_text(self._resolve(side)) for side in argument)
                return left == right
            case "Fn::Not":
                return not self._condition(argument[0])
            case "Fn::And":
                return all(map(self._condition, argument))
            case "Fn::Or":
                return any(map(self._condition, argument))
            case _:
                message = f"{name} is no condition that the local stack reads"
                raise TemplateError(message)


def _text(value: Any) -> str:
    """A value as CloudFormation writes it into an environment variable."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)
