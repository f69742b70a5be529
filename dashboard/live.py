"""Carries hints from the catalogue to the open pages: one listener for the process, one socket for a page.

The listener's thread wakes the sockets that wait for a topic. A socket only says that something changed; the page
then asks Streamlit to draw its part again. However many hints come, a socket has at most one waiting.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from functools import lru_cache
from itertools import count

from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect, WebSocketState

from dashboard.context import catalogue
from db import loops
from db.notifications import Listener, Topic

LOOK_SECONDS = 1.0
"""How soon a page learns that the catalogue is away."""
HELLO_SECONDS = 10
MAX_TOPICS = 20
POLICY_VIOLATION = 1008
Token = tuple[int, int, int]


class Subscription:
    """Waits for hints about some topics, within one event loop."""

    def __init__(self, topics: Iterable[str]) -> None:
        self.topics = frozenset(topics)
        self._heard: set[str] = set()
        self._woken = asyncio.Event()
        self._loop = asyncio.get_running_loop()

    async def changes(self, *, within_seconds: float) -> frozenset[str]:
        """The topics that changed since the last time; none when nothing did within the time."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self._woken.wait(), within_seconds)
        self._woken.clear()
        heard, self._heard = frozenset(self._heard), set()
        return heard

    def wake(self, topics: frozenset[str]) -> None:
        """Called in the listener's thread."""
        mine = topics & self.topics | topics & {Topic.EVERYTHING}
        if mine:
            with suppress(RuntimeError):  # the loop is closed: the process ends
                self._loop.call_soon_threadsafe(self._hear, mine)

    def _hear(self, topics: frozenset[str]) -> None:
        self._heard |= topics
        self._woken.set()


_numbers = count(1)
_own_changes = deque([0], maxlen=1)


def note_own_change() -> None:
    """A reader of this process changed something, and looks at it before the hint about it has come back."""
    _own_changes.append(next(_numbers))


class Hub:
    """Who waits for what in this process, and how often each topic changed."""

    def __init__(self, url: str) -> None:
        self._listener = Listener(url, self._publish)
        self._subscriptions: set[Subscription] = set()
        self._counts: dict[str, int] = {}

    def start(self) -> None:
        self._listener.start()

    def stop(self) -> None:
        self._listener.stop()

    @property
    def connected(self) -> bool:
        """Whether hints arrive."""
        return self._listener.connected

    def token(self, topic: Topic) -> Token:
        """A value that is another one after each change of the topic: a key for what was read before it."""
        return self._counts.get(topic, 0), self._counts.get(Topic.EVERYTHING, 0), _own_changes[-1]

    def count(self, topics: Iterable[str]) -> int:
        """How many hints came about things of these kinds, and about everything, since this process began."""
        kinds = {topic.partition(":")[0] for topic in topics} | {Topic.EVERYTHING.value}
        return sum(self._counts.get(kind, 0) for kind in kinds)

    def subscribe(self, topics: Iterable[str]) -> Subscription:
        """Hints about these topics, for good."""
        subscription = Subscription(topics)
        self._subscriptions.add(subscription)
        return subscription

    @contextmanager
    def subscription(self, topics: Iterable[str]) -> Iterator[Subscription]:
        """Hints about these topics, for as long as the block lasts."""
        subscription = self.subscribe(topics)
        try:
            yield subscription
        finally:
            self._subscriptions.discard(subscription)

    def _publish(self, topics: frozenset[str]) -> None:
        for topic in topics & set(Topic):
            self._counts[topic] = self._counts.get(topic, 0) + 1
        for subscription in tuple(self._subscriptions):
            try:
                subscription.wake(topics)
            except Exception as error:  # noqa: BLE001 - whatever it is, the others are woken
                loops.record_of("hub: a hint").failed(error)


@lru_cache(maxsize=1)
def hub() -> Hub:
    """The hub of this process."""
    return Hub(catalogue().url)


def live_route(hub: Hub) -> WebSocketRoute:
    """`/live`: a page sends its topics, and is told when one of them changed.

    It also sends how many hints it knows of from the time before it was drawn: what came since then, and before this
    socket was there, is told at once.
    """

    async def live(websocket: WebSocket) -> None:
        await websocket.accept()
        asked = await hello(websocket)
        topics = asked.get("topics") if isinstance(asked, dict) else None
        if not isinstance(asked, dict) or not isinstance(topics, list) or len(topics) > MAX_TOPICS:
            await websocket.close(POLICY_VIOLATION)
            return
        names = [str(topic) for topic in topics]
        with hub.subscription(names) as subscription:
            if asked.get("known") not in (None, hub.count(names)):
                await websocket.send_json({"changed": "change"})
            await while_connected(websocket, "live page", _Teller(websocket, hub, subscription).step)

    return WebSocketRoute("/live", live)


class _Teller:
    """Tells a page that something changed, and whether hints arrive at all."""

    def __init__(self, websocket: WebSocket, hub: Hub, subscription: Subscription) -> None:
        self._websocket, self._hub, self._subscription = websocket, hub, subscription
        self._told: bool | None = None

    async def step(self) -> None:
        if self._hub.connected != self._told:
            await self._websocket.send_json({"connected": self._hub.connected})
            self._told = self._hub.connected
        changed = await self._subscription.changes(within_seconds=LOOK_SECONDS)
        if changed:
            await self._websocket.send_json({"changed": "reload" if Topic.EVERYTHING in changed else "change"})


async def hello(websocket: WebSocket) -> object:
    """The first message of a page, as JSON; None where it is not."""
    with suppress(ValueError, KeyError, TimeoutError, WebSocketDisconnect):
        return await asyncio.wait_for(websocket.receive_json(), HELLO_SECONDS)
    return None


async def while_connected(websocket: WebSocket, name: str, step: Callable[[], Awaitable[None]]) -> None:
    """Makes steps until the page goes away: what it sends meanwhile is not read."""

    async def careful() -> None:
        try:
            await step()
        except (WebSocketDisconnect, RuntimeError):
            if WebSocketState.DISCONNECTED not in (websocket.client_state, websocket.application_state):
                raise
            await asyncio.Event().wait()  # it went away between two messages, which is noticed below

    loop = loops.start(name, careful)
    try:
        while (await websocket.receive())["type"] != "websocket.disconnect":
            pass
    finally:
        loop.cancel()
