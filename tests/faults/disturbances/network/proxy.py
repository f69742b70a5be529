"""TCP proxies on loopback that can be told to delay, hold, lose, reset or refuse connections, or to answer them."""

import asyncio
import random
import socket
import struct
import threading
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any, TypeVar

from tests.faults.disturbances.network.manners import Answer, Delay, Hold, Lose, LoseFrom, Manner, Pass, Refuse, Reset

T = TypeVar("T")
Address = tuple[str, int]

HOST = "127.0.0.1"
PIECE_BYTES = 65_536
PATIENCE_SECONDS = 10.0
RESET_ON_CLOSE = struct.pack("ii", 1, 0)


class Network:
    """The thread in which all proxies work."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxies", daemon=True)
        self._thread.start()
        self._proxies: list[Proxy] = []

    def proxy(self, upstream: Callable[[], Address]) -> "Proxy":
        """One that listens; `upstream` is asked for each new connection."""
        proxy = Proxy(self, upstream)
        self.run(proxy.listen())
        self._proxies.append(proxy)
        return proxy

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(PATIENCE_SECONDS)

    def close(self) -> None:
        for proxy in self._proxies:
            self.run(proxy.close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(PATIENCE_SECONDS)
        self._loop.close()


class Proxy:
    """A port whose connections lead to another one. Public methods but the coroutines are for any thread."""

    def __init__(self, network: Network, upstream: Callable[[], Address]) -> None:
        self._network, self._upstream = network, upstream
        self._server: asyncio.Server | None = None
        self._connections: set[_Connection] = set()
        self.manner: Manner = Pass()
        self.changed = asyncio.Event()
        self.port = 0
        self.accepted = 0
        """How many connections there have been."""

    def treat(self, manner: Manner) -> None:
        """From now on, existing connections and new ones alike."""
        self._network.run(self.change(manner))

    def treat_some(self, manner: Manner, luck: random.Random, *, share: float) -> int:
        """Existing connections alone, a random part of them, at least one; returns how many."""
        return self._network.run(self._change_some(manner, luck, share))

    def forget_lost(self) -> int:
        """Closes what was lost, as a machine that is gone would after hours; returns how many there were."""
        return self._network.run(self._forget_lost())

    async def listen(self) -> None:
        self._server = await asyncio.start_server(self._accept, HOST, self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def close(self) -> None:
        await self._stop_listening()
        for connection in list(self._connections):
            connection.abort()
        await asyncio.sleep(0)

    async def change(self, manner: Manner) -> None:
        self.manner = manner
        self._wake()
        if isinstance(manner, Reset | Refuse):
            for connection in list(self._connections):
                connection.abort()
        if isinstance(manner, Refuse):
            await self._stop_listening()
        elif self._server is None:
            await self.listen()

    async def _change_some(self, manner: Manner, luck: random.Random, share: float) -> int:
        there = [one for one in self._connections if not one.is_lost]
        chosen = luck.sample(there, min(len(there), max(1, round(share * len(there)))))
        for connection in chosen:
            connection.own_manner = manner
            if isinstance(manner, Reset):
                connection.abort()
        self._wake()
        return len(chosen)

    async def _forget_lost(self) -> int:
        lost = [one for one in self._connections if one.is_lost]
        for connection in lost:
            connection.abort()
        return len(lost)

    def _wake(self) -> None:
        self.changed.set()
        self.changed = asyncio.Event()

    async def _stop_listening(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.accepted += 1
        connection = _Connection(self, reader, writer)
        self._connections.add(connection)
        try:
            await connection.carry(self._upstream)
        except OSError:
            connection.abort()
        finally:
            if not connection.is_lost or connection.is_aborted:
                self._connections.discard(connection)


class _Connection:
    """One client, and the connection that was made for it."""

    def __init__(self, proxy: Proxy, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._proxy, self._reader, self._writer = proxy, reader, writer
        self._far_writer: asyncio.StreamWriter | None = None
        self.own_manner: Manner | None = None
        self.is_lost = self.is_aborted = False

    async def carry(self, upstream: Callable[[], Address]) -> None:
        """Returns when it is over."""
        if not await self._may_pass(b"", from_client=False):
            return await self._drop_everything()
        reader, self._far_writer = await asyncio.open_connection(*upstream())
        try:
            await asyncio.gather(
                self._pump(self._reader, self._far_writer, from_client=True),
                self._pump(reader, self._writer, from_client=False),
            )
        finally:
            if not self.is_lost:
                self.close()

    def close(self) -> None:
        for writer in filter(None, (self._writer, self._far_writer)):
            writer.close()

    def abort(self) -> None:
        """Resets both sides."""
        self.is_aborted = True
        for writer in filter(None, (self._writer, self._far_writer)):
            end = writer.get_extra_info("socket")
            with suppress(OSError):
                end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
            writer.transport.abort()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, from_client: bool) -> None:
        """What comes from one side goes to the other, if it may; so does its end."""
        data = b"the first piece"
        while data and not self.is_aborted:
            data = await _piece(reader)
            if await self._may_pass(data, from_client=from_client):
                writer.write(data)
                with suppress(OSError):
                    await writer.drain()
                if not data:
                    writer.close()

    async def _drop_everything(self) -> None:
        while not self.is_aborted and await _piece(self._reader):
            pass

    async def _may_pass(self, data: bytes, *, from_client: bool) -> bool:
        """False where these bytes were lost or answered; an end of the connection counts as bytes, too."""
        while isinstance(manner := self._manner(data, from_client=from_client), Hold):
            await self._proxy.changed.wait()
        match manner:
            case Delay(seconds):
                await asyncio.sleep(seconds)
            case Lose():
                self.is_lost = True
                return False
            case Reset() | Refuse():
                self.abort()
                return False
            case Answer(content) if from_client and data:
                await self._answer(content)
                return False
        return not self.is_aborted

    def _manner(self, data: bytes, *, from_client: bool) -> Manner:
        if self.is_lost:
            return Lose()
        manner = self.own_manner or self._proxy.manner
        if isinstance(manner, LoseFrom):
            if not (from_client and manner.pattern in data):
                return Pass()
            self._proxy.manner = Lose()
            return Lose()
        return manner

    async def _answer(self, content: bytes) -> None:
        with suppress(OSError):
            self._writer.write(content)
            await self._writer.drain()
        self.close()


async def _piece(reader: asyncio.StreamReader) -> bytes:
    """Nothing is the end, however it came."""
    with suppress(OSError):
        return await reader.read(PIECE_BYTES)
    return b""
