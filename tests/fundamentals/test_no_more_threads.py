"""Where there can be no more threads for a moment, nothing is held for ever by what could not begin."""

import asyncio
import threading
from collections.abc import Callable, Iterator

import pytest

from dashboard.bounded import Bounded
from db.loops import threads
from reconciler import transport
from reconciler.sending import Sends

NO_MORE = "can't start new thread"


@pytest.fixture
def no_more_threads(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], None]]:
    """Call it, and there are again."""

    def refuse(thread: threading.Thread) -> None:
        raise RuntimeError(f"{NO_MORE}: {thread.name}")

    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", refuse)
        yield patched.undo


def test_what_is_sent_to_somebody_is_sent_later(no_more_threads: Callable[[], None]) -> None:
    sends, done = Sends(), threading.Event()
    with pytest.raises(RuntimeError, match=NO_MORE):
        sends.begin("ada", done.set)
    assert not sends.goes_on("ada")
    no_more_threads()
    assert sends.begin("ada", done.set)
    assert done.wait(10)


def test_names_are_resolved_later(no_more_threads: Callable[[], None]) -> None:
    for _ in range(100):
        with pytest.raises(RuntimeError, match=NO_MORE):
            transport.addresses("localhost", 80)
    no_more_threads()
    assert transport.addresses("localhost", 80)


def test_a_look_is_made_by_the_next_who_asks(no_more_threads: Callable[[], None]) -> None:
    async def main() -> int:
        looks = Bounded(lambda: 7, lambda _seconds: -1)
        with pytest.raises(RuntimeError, match=NO_MORE):
            await looks.answer()
        no_more_threads()
        return await looks.answer()

    assert asyncio.run(main()) == 7


def test_steps_are_watched_from_the_next_one_on(no_more_threads: Callable[[], None]) -> None:
    watch = threads._Watch()
    with pytest.raises(RuntimeError, match=NO_MORE), watch.over("x"):
        pass
    no_more_threads()
    with watch.over("x"):
        assert watch._thread is not None
        assert watch._thread.is_alive()
