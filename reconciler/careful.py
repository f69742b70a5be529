"""An HTTP client that posts to allowed addresses alone."""

import httpx

from db.addresses import Rules
from reconciler.transport import with_deadlines

TIMEOUT_SECONDS = 10.0


def careful_client() -> httpx.Client:
    """It follows no redirect: what is signed is for whom it was signed. Nor does it use a proxy."""
    client = httpx.Client(transport=httpx.HTTPTransport(), timeout=TIMEOUT_SECONDS, follow_redirects=False)
    return with_deadlines(client, refusal=lambda address: Rules.from_environment().refusal(address))
