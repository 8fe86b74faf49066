"""The calls to AWS that stand in the package's code, read from its syntax."""

import ast
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

import botocore.session

from tests.template_reader import PATH

PACKAGE: Final = PATH.parent / "layers" / "domain" / "agent_sessions"
SERVICES: Final = ("dynamodb", "lambda", "sns", "sqs")


def operations_in_the_code() -> Mapping[str, set[str]]:
    """Methods of clients that the code calls, by service: `{"sns": {"publish_batch"}}`."""
    called = {name for module in PACKAGE.rglob("*.py") for name in _methods_called(module)}
    return {service: called & operations_of(service).keys() for service in SERVICES}


def operations_of(service: str) -> Mapping[str, str]:
    """All that botocore knows of a service: the method's name -> the operation's."""
    names = botocore.session.get_session().get_service_model(service).operation_names
    return {re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower(): name for name in names}


def _methods_called(module: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(module.read_text(encoding="utf-8"))):
        if (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and re.search(r"client", ast.unparse(node.func.value))
        ):
            yield node.func.attr
