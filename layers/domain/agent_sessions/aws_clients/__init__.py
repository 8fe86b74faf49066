"""What every adapter to AWS shares: clients, how long they wait, and AWS's failures translated."""

from typing import Final

CONNECT_TIMEOUT_SECONDS: Final = 0.8
"""For a new connection. The lean transport counts TLS and every address of the host into it, botocore each alone."""
READ_TIMEOUT_SECONDS: Final = 1.0
"""For an answer. The lean transport's bound is for the whole of it, botocore's for each piece."""
TOTAL_ATTEMPTS: Final = 2
"""A call of the lean transport takes at most 2 * (0.8 + 1.0) s, a pause of at most 1 s between the two, and what the
system takes to resolve a host's name twice: 4.6 s without that. With botocore this is usual and no bound. No promise of
the service rests on it."""
