"""Somebody who asks `/readyz` twice a second, whether or not anybody answers."""

import threading
import time

import httpx

from tests.faults.disturbances.measuring.healing import Sample

EVERY_SECONDS = 0.5
ANSWER_SECONDS = 3.0


class Observer(threading.Thread):
    """Asks until it is stopped; `samples` are the answers so far."""

    def __init__(self, url: str) -> None:
        super().__init__(name="observer", daemon=True)
        self._client = httpx.Client(base_url=url, timeout=ANSWER_SECONDS)
        self._stop_asked = threading.Event()
        self.samples: list[Sample] = []

    def run(self) -> None:
        while not self._stop_asked.wait(EVERY_SECONDS):
            self.samples.append(look(self._client))

    def stop(self) -> None:
        self._stop_asked.set()
        self.join(ANSWER_SECONDS * 2)
        self._client.close()

    @property
    def is_ready(self) -> bool:
        """By the last answer."""
        return bool(self.samples) and self.samples[-1].ready


def look(client: httpx.Client) -> Sample:
    """No answer is as good as an honest no."""
    at = time.time()
    try:
        answer = client.get("/readyz")
    except httpx.TransportError as error:
        return Sample(at, ready=False, why=f"no answer: {type(error).__name__}")
    return Sample(at, ready=answer.is_success, why="" if answer.is_success else answer.text[:300])
