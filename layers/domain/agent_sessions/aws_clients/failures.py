"""AWS's failures in the domain's words."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from botocore.exceptions import ClientError, HTTPClientError
from botocore.exceptions import ConnectionError as BotoConnectionError

from agent_sessions.errors import ServiceUnavailable

_BUSY: Final = frozenset(
    {
        "InternalFailure",
        "InternalServerError",
        "InternalError",
        "KMSThrottling",
        "KMSThrottlingException",
        "LimitExceededException",
        "ProvisionedThroughputExceededException",
        "RequestLimitExceeded",
        "RequestTimeout",
        "ServiceUnavailable",
        "ServiceUnavailableException",
        "Throttled",
        "ThrottledException",
        "Throttling",
        "ThrottlingException",
        "TooManyRequestsException",
        "TransactionConflictException",
        "TransactionInProgressException",
    }
)


def error_code(error: ClientError) -> str:
    """Return AWS's code of a failed call."""
    return str(error.response.get("Error", {}).get("Code", ""))


def is_busy(code: str) -> bool:
    """Tell whether the code says to come back later."""
    return code in _BUSY


def is_failed_condition(error: ClientError) -> bool:
    """Tell whether a conditional write was refused by its condition."""
    return error_code(error) == "ConditionalCheckFailedException"


@contextmanager
def translated() -> Iterator[None]:
    """Run an AWS call; raise `ServiceUnavailable` where it throttles, fails or cannot be reached."""
    try:
        yield
    except ClientError as error:
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        if is_busy(error_code(error)) or status >= 500:  # noqa: PLR2004 - HTTP's server errors
            raise ServiceUnavailable from error
        raise
    except (BotoConnectionError, HTTPClientError) as error:
        raise ServiceUnavailable from error
