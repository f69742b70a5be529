"""What an address answers to a GET, with the standard library: a client would take more memory than all of this."""

import http.client
from dataclasses import dataclass
from urllib.parse import urlsplit

TIMEOUT_SECONDS = 2.0
MOST_BYTES = 100_000


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back."""

    status: int
    text: str


def get(url: str) -> Answer | None:
    """None when there is no answer within 2 s."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=TIMEOUT_SECONDS)
    try:
        connection.request("GET", parts.path)
        answer = connection.getresponse()
        return Answer(answer.status, answer.read(MOST_BYTES).decode(errors="replace"))
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()


def is_well(url: str) -> bool:
    """Whether it answers 200."""
    answer = get(url)
    return answer is not None and answer.status == 200
