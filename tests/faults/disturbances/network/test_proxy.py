"""What each manner of a proxy does to a client and to the server behind it."""

import random
import socket
import socketserver
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from tests.faults.disturbances.network.manners import Answer, Delay, Hold, Lose, LoseFrom, Manner, Pass, Refuse, Reset
from tests.faults.disturbances.network.proxy import Network, Proxy
from tests.waiting import wait_until

AWHILE = 0.3
"""What did not come within this does not come."""


class _Echo(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        try:
            while data := self.request.recv(1000):
                self.request.sendall(data.upper())
        except OSError:
            return


class _Server(socketserver.ThreadingTCPServer):
    daemon_threads = allow_reuse_address = True


@pytest.fixture(scope="module")
def upstream() -> Iterator[tuple[str, int]]:
    with _Server(("127.0.0.1", 0), _Echo) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield ("127.0.0.1", server.server_address[1])
        server.shutdown()


@pytest.fixture
def proxy(upstream: tuple[str, int]) -> Iterator[Proxy]:
    network = Network()
    yield network.proxy(lambda: upstream)
    network.close()


@contextmanager
def client(proxy: Proxy) -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", proxy.port), timeout=10) as connection:
        yield connection


def says(connection: socket.socket, words: bytes = b"hello") -> bytes:
    connection.sendall(words)
    return connection.recv(1000)


def is_silent(connection: socket.socket) -> bool:
    connection.settimeout(AWHILE)
    try:
        connection.recv(1000)
    except TimeoutError:
        return True
    finally:
        connection.settimeout(10)
    return False


def test_it_carries_what_both_sides_say(proxy: Proxy) -> None:
    with client(proxy) as one, client(proxy) as other:
        assert (says(one), says(other, b"you")) == (b"HELLO", b"YOU")


def test_what_is_held_arrives_in_the_end_on_new_connections_too(proxy: Proxy) -> None:
    with client(proxy) as old:
        assert says(old) == b"HELLO"
        proxy.treat(Hold())
        with client(proxy) as new:
            for connection in (old, new):
                connection.sendall(b"late")
                assert is_silent(connection)
            proxy.treat(Pass())
            assert [connection.recv(1000) for connection in (old, new)] == [b"LATE", b"LATE"]


def test_what_is_lost_stays_silent_for_ever_and_new_connections_go_on(proxy: Proxy) -> None:
    with client(proxy) as old:
        assert says(old) == b"HELLO"
        proxy.treat(Lose())
        with client(proxy) as met_it:
            for connection in (old, met_it):
                connection.sendall(b"lost")
                assert is_silent(connection)
            proxy.treat(Pass())
            old.sendall(b"and now?")
            assert is_silent(old)
        with client(proxy) as new:
            assert says(new) == b"HELLO"


def test_everything_is_lost_from_the_words_on_that_somebody_says(proxy: Proxy) -> None:
    proxy.treat(LoseFrom(b"COMMIT"))
    with client(proxy) as one, client(proxy) as other:
        assert (says(one), says(other)) == (b"HELLO", b"HELLO")
        one.sendall(b"COMMIT")
        assert is_silent(one)
        other.sendall(b"hello?")
        assert is_silent(other)


def test_the_server_is_not_told_that_a_lost_client_has_gone_until_it_is_forgotten(proxy: Proxy) -> None:
    with client(proxy) as old:
        assert says(old) == b"HELLO"
        proxy.treat(Lose())
        old.sendall(b"lost")
        assert is_silent(old)
    proxy.treat(Pass())
    assert proxy.forget_lost() == 1
    assert wait_until(lambda: proxy.forget_lost() == 0, "the lost connection to be forgotten", seconds=5)


def refuses(proxy: Proxy) -> bool:
    try:
        with client(proxy) as connection:
            return says(connection) == b""
    except ConnectionError:
        return True


@pytest.mark.parametrize("manner", [Reset(), Refuse()])
def test_connections_end_and_come_back_on_the_same_port(proxy: Proxy, manner: Manner) -> None:
    port = proxy.port
    with client(proxy) as old:
        assert says(old) == b"HELLO"
        proxy.treat(manner)
        with pytest.raises(ConnectionResetError):
            old.recv(1000)
    assert refuses(proxy)
    proxy.treat(Pass())
    with client(proxy) as new:
        assert says(new) == b"HELLO"
    assert proxy.port == port


def test_an_answer_takes_the_place_of_the_servers_also_where_it_answered_before(proxy: Proxy) -> None:
    with client(proxy) as old:
        assert says(old) == b"HELLO"
        proxy.treat(Answer(b"503"))
        assert (says(old), old.recv(1000)) == (b"503", b"")
    with client(proxy) as new:
        assert says(new) == b"503"


def test_a_delay_delays(proxy: Proxy) -> None:
    proxy.treat(Delay(AWHILE * 1.5))
    with client(proxy) as connection:
        connection.sendall(b"hello")
        assert is_silent(connection)
        assert connection.recv(1000) == b"HELLO"


@pytest.mark.parametrize(("share", "lost"), [(0.0, 1), (0.5, 2), (1.0, 4)])
def test_some_connections_are_lost_and_the_others_go_on(proxy: Proxy, share: float, lost: int) -> None:
    connections = [socket.create_connection(("127.0.0.1", proxy.port), timeout=10) for _ in range(4)]
    assert all(says(one) == b"HELLO" for one in connections)
    assert proxy.treat_some(Lose(), random.Random(1), share=share) == lost
    for connection in connections:
        connection.sendall(b"hello")
    silent: Callable[[socket.socket], bool] = is_silent
    assert sum(map(silent, connections)) == lost
    for connection in connections:
        connection.close()
