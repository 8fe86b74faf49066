"""AWS's failures in the domain's words, whichever transport reports them. Imports neither before one fails."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from agent_sessions.errors import ServiceUnavailable

_BUSY: Final = frozenset(
    {
        # This process's credentials or clock are not accepted for now; others' may be.
        "ExpiredToken",
        "ExpiredTokenException",
        "InvalidSignatureException",
        "RequestTimeTooSkewed",
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

_UNDONE: Final = frozenset({"None", "ThrottlingError", "ProvisionedThroughputExceeded", "TransactionConflict"})
"""Why a transaction was cancelled that may succeed later: the codes of its reasons."""


class FailedCondition(Exception):
    """A conditional write was refused by its condition; `item` is what it met, where the call asked for that."""

    def __init__(self, item: dict[str, Any] | None) -> None:
        """Carry the item; None where there was none, or the call did not ask for it."""
        self.item = item
        super().__init__("The condition of a write does not hold.")


class FailedTransaction(Exception):
    """A transaction was refused by a condition: `items` is what each of its writes met, None where that was nothing."""

    def __init__(self, items: list[dict[str, Any] | None]) -> None:
        """Carry the items, in the order of the writes."""
        self.items = items
        super().__init__("The condition of a transaction's write does not hold.")


def error_code(error: Exception) -> str:
    """Return AWS's code of a failed call."""
    response: dict[str, Any] = getattr(error, "response", {})
    return str(response.get("Error", {}).get("Code", ""))


def is_busy(code: str) -> bool:
    """Return whether the code says to come back later."""
    return code in _BUSY


@contextmanager
def translated() -> Iterator[None]:
    """Run an AWS call.

    Raises:
        FailedCondition: a write's condition does not hold.
        FailedTransaction: a condition of a transaction does not hold.
        ServiceUnavailable: AWS throttles, fails or cannot be reached.

    """
    try:
        yield
    except OSError as error:  # how the lean transport reports that there was no answer
        raise ServiceUnavailable from error
    except Exception as error:
        response = getattr(error, "response", None)
        if not isinstance(response, dict):
            if _is_lost_to_botocore(error):
                raise ServiceUnavailable from error
            raise
        code = error_code(error)
        if code == "ConditionalCheckFailedException":
            raise FailedCondition(response.get("Item")) from error
        if code == "TransactionCanceledException":
            reasons = response.get("CancellationReasons", [])
            codes = {reason.get("Code") for reason in reasons}
            if "ConditionalCheckFailed" in codes:
                raise FailedTransaction([reason.get("Item") for reason in reasons]) from error
            if codes <= _UNDONE:
                raise ServiceUnavailable from error
        status = response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        if is_busy(code) or status >= 500:  # noqa: PLR2004 - HTTP's server errors
            raise ServiceUnavailable from error
        raise


def _is_lost_to_botocore(error: Exception) -> bool:
    """Return whether botocore reports with `error` that there was no answer, or that nothing could be signed."""
    from botocore.exceptions import (  # noqa: PLC0415 - 20 Mi of a cold start, and hardly ever needed
        ConnectionError,  # noqa: A004 - botocore's name
        CredentialRetrievalError,
        HTTPClientError,
    )

    return isinstance(error, ConnectionError | CredentialRetrievalError | HTTPClientError)
