"""What every adapter to AWS shares: clients tuned once, and botocore's failures told in the domain's words."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from botocore.config import Config
from botocore.exceptions import ClientError, HTTPClientError
from botocore.exceptions import ConnectionError as BotoConnectionError

from agent_sessions.errors import ServiceUnavailable

CONNECT_TIMEOUT_SECONDS: Final = 0.8
READ_TIMEOUT_SECONDS: Final = 1.0
TOTAL_ATTEMPTS: Final = 2
"""One call towards DynamoDB takes at most 2 * (0.8 + 1.0) s plus botocore's first pause of at most 1 s: 4.6 s. That it
stays under five seconds is what lets the sweep announce an expiry five seconds after it (DESIGN.md section 3)."""

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


def client_config(*, connections: int = 10) -> Config:
    """Return the settings of our clients, with room for `connections` calls at a time.

    What is sent is typed and tested, so botocore need not check it against its model once more; the tests' clients do.
    """
    return Config(
        connect_timeout=CONNECT_TIMEOUT_SECONDS,
        read_timeout=READ_TIMEOUT_SECONDS,
        retries={"mode": "standard", "total_max_attempts": TOTAL_ATTEMPTS},
        max_pool_connections=connections,
        parameter_validation=False,
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
