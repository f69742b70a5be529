"""What keeps an event loop from its next callback is measured, and named."""

import asyncio
import logging
import time
from time import thread_time

import pytest

from db import loop_lag


def busy(seconds: float) -> None:
    until = thread_time() + seconds
    while thread_time() < until:
        pass


async def computes() -> None:
    busy(0.08)
    await asyncio.sleep(0)


async def waits() -> None:
    await asyncio.to_thread(busy, 0.08)
    time.sleep(0.08)


def test_what_uses_the_processor_for_long_is_named_and_what_waits_is_not() -> None:
    with loop_lag.measured() as slow:
        asyncio.run(computes())
        asyncio.run(waits())
    assert [each.name.split(" ")[0] for each in slow] == ["computes"]
    assert 0.08 <= slow[0].seconds < 5
    assert not hasattr(asyncio.Handle._run, "unmeasured")


def test_the_lag_is_the_longest_of_the_last_minute() -> None:
    async def work() -> float:
        lag = loop_lag.watch(asyncio.get_running_loop())
        await asyncio.sleep(0.15)
        time.sleep(0.4)
        await asyncio.sleep(0.25)
        seen = loop_lag.worst_seconds()
        lag.stop()
        return seen

    assert asyncio.run(work()) >= 0.25
    assert loop_lag.worst_seconds() == 0.0


def test_a_variable_of_the_environment_has_it_logged(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv(loop_lag.DEBUG, "1")
    monkeypatch.setattr(asyncio.Handle, "_run", asyncio.Handle._run)  # put back afterwards

    async def work() -> None:
        lag = loop_lag.watch(asyncio.get_running_loop())
        again = loop_lag.watch(asyncio.get_running_loop())
        asyncio.get_running_loop().call_soon(busy, 0.08)
        await asyncio.sleep(0.01)
        lag.stop()
        again.stop()

    with caplog.at_level(logging.WARNING):
        asyncio.run(work())
    assert len([line for line in caplog.messages if line.startswith("busy kept the event loop busy for 0.")]) == 1
