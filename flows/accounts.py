"""Whether people have accounts, as Prefect's server has to know: it asks for its auth string from the first one on."""

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from time import monotonic

from db import accounts
from db.engine import Catalogue

log = logging.getLogger(__name__)

REMEMBERED_SECONDS = 1.0
DEADLINE_SECONDS = 2.0


class Accounts:
    """What somebody who can be asked says, remembered for a second.

    What is not answered is as it was; at first, there are some. Where nobody can be asked, there always are.
    """

    def __init__(
        self,
        ask: Callable[[], bool] | None,
        *,
        deadline_seconds: float = DEADLINE_SECONDS,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self._ask, self._deadline_seconds, self._clock = ask, deadline_seconds, clock
        # A question without an answer holds this one thread, and nobody asks again meanwhile.
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="accounts")
        self._asked: asyncio.Future[bool] | None = None
        self._one_at_a_time = asyncio.Lock()
        self._known, self._known_until, self._is_deaf = True, -1.0, False

    async def there_are_any(self) -> bool:
        """Whether people have to say who they are."""
        if self._ask is None:
            return True
        async with self._one_at_a_time:
            if self._clock() >= self._known_until:
                await self._look(self._ask)
                self._known_until = self._clock() + REMEMBERED_SECONDS
            return self._known

    async def _look(self, ask: Callable[[], bool]) -> None:
        self._asked = self._asked or asyncio.get_running_loop().run_in_executor(self._thread, ask)
        await asyncio.wait([self._asked], timeout=self._deadline_seconds)
        if not self._asked.done():
            self._warn("no answer")
            return
        asked, self._asked = self._asked, None
        try:
            self._known, self._is_deaf = asked.result(), False
        except Exception as error:  # noqa: BLE001 - whatever it is, nobody comes in by it who did not before
            self._warn(str(error))

    def _warn(self, why: str) -> None:
        if not self._is_deaf:
            log.warning("The catalogue does not say whether there are accounts: %s", why)
        self._is_deaf = True


def asking(catalogue: Catalogue) -> Callable[[], bool]:
    """The question to a catalogue."""

    def there_are_any() -> bool:
        with catalogue.transaction() as session:
            return accounts.there_are_any(session)

    return there_are_any
