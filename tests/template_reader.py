"""What tests ask of template.yaml: the resources that one choice of parameters makes, and what their roles allow."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any, Final

import template_reader
from template_reader import PATH, expanded
from template_reader import read as template

__all__ = ["ACCOUNT", "FUNCTIONS", "PATH", "REGION", "Deployment", "as_list", "expanded", "template"]

FUNCTIONS: Final = (
    "SessionApiFunction", "SessionMessagesFunction", "ExpirySweeperFunction", "ApiKeyAuthorizerFunction",
    "EraserFunction", "MessagePublisherFunction",
)  # fmt: skip

_WHERE: Final = template_reader.Deployment(stack="sessions")
REGION: Final = _WHERE.region
ACCOUNT: Final = _WHERE.account


class Deployment(template_reader.Template):
    """The CloudFormation that the template expands to, deployed as the stack `sessions`."""

    def __init__(self, **parameters: str) -> None:
        """Take the defaults for what `parameters` leaves out."""
        super().__init__(deployment=replace(_WHERE, parameters=parameters), as_cloudformation=True)

    def statements(self, function: str) -> Iterator[dict[str, Any]]:
        """Every statement of the policies that a function's role has, with lists for actions and resources."""
        role = self.resources[function]["Properties"]["Role"].rpartition("/")[2]
        policies = list(self.resources[role]["Properties"]["Policies"])
        policies += [policy for policy in self.of_type("AWS::IAM::Policy").values() if role in policy["Roles"]]
        assert not self.resources[role]["Properties"].get("ManagedPolicyArns"), "policies of others are not read here"
        for policy in policies:
            for statement in policy["PolicyDocument"]["Statement"]:
                yield statement | {key: as_list(statement[key]) for key in ("Action", "Resource")}

    def grants(self, function: str) -> set[tuple[str, str]]:
        """Every pair of action and resource that a function's role is allowed."""
        return {
            (action, resource)
            for statement in self.statements(function)
            for action in statement["Action"]
            for resource in statement["Resource"]
        }


def as_list(value: Any) -> list[Any]:
    """What may stand alone in a policy, as a list."""
    return value if isinstance(value, list) else [value]
