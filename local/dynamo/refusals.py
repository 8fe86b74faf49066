"""AWS's refusals as botocore raises them: the real exception classes, made from botocore's own service models."""

from collections.abc import Mapping
from functools import cache
from typing import Any, Final

import botocore.session
from botocore.errorfactory import ClientExceptionsFactory
from botocore.exceptions import ClientError
from botocore.model import ServiceModel

_SERVER_ERRORS: Final = {
    "InternalError": 500,
    "InternalFailure": 500,
    "InternalServerError": 500,
    "ServiceUnavailable": 503,
}


@cache
def service_model(service: str) -> ServiceModel:
    """Botocore's own description of a service's calls."""
    return botocore.session.Session().get_service_model(service)


@cache
def exceptions(service: str) -> Any:
    """What a client of the service has as `exceptions`."""
    return ClientExceptionsFactory().create_client_exceptions(service_model(service))


def refusal(service: str, call: str, code: str, message: str, *, facts: Mapping[str, Any] | None = None) -> ClientError:
    """The exception that a client raises when AWS answers with `code`; `facts` are the answer's other members."""
    response: Any = {
        "Error": {"Message": message, "Code": code},
        "ResponseMetadata": {
            "HTTPStatusCode": _SERVER_ERRORS.get(code, 400),
            "RetryAttempts": 0,
            "RequestId": "fake",
            "HTTPHeaders": {},
        },
        **(facts or {}),
    }
    kind: type[ClientError] = exceptions(service).from_code(code)
    return kind(response, _operation(service, call))


@cache
def _operation(service: str, call: str) -> str:
    """The API's name of a client's method: `PutItem` for `put_item`."""
    wanted = call.replace("_", "")
    return next(
        (name for name in service_model(service).operation_names if name.lower() == wanted),
        call,
    )


class Refused(Exception):
    """A call must be answered with this code and message, whichever call it is."""

    def __init__(self, code: str, message: str, facts: Mapping[str, Any] | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.facts = facts or {}


def validation(message: str) -> Refused:
    """DynamoDB's ValidationException."""
    return Refused("ValidationException", message)


@cache
def members(service: str, call: str) -> frozenset[str]:
    """The parameters that AWS knows of a call."""
    return frozenset(_input(service, call).members)


@cache
def required(service: str, call: str) -> frozenset[str]:
    """The parameters that a call cannot do without."""
    return frozenset(_input(service, call).required_members)


def _input(service: str, call: str) -> Any:
    return service_model(service).operation_model(_operation(service, call)).input_shape
