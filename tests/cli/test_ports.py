"""What is said of a port that can't be had."""

import os
import socket

from cli.ports import port_problem
from tests.system import free_port


def test_a_free_port_is_no_problem() -> None:
    assert port_problem("127.0.0.1", free_port(), "--port") is None


def test_a_port_in_use_is_named_with_its_user_and_the_option_that_chooses_another() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        said = port_problem("127.0.0.1", port, "--prefect-port")
    assert said is not None
    assert f"Port {port} on 127.0.0.1 is in use by " in said
    assert f"(pid {os.getpid()})" in said
    assert "--prefect-port" in said


def test_a_port_that_somebody_has_on_every_address_is_in_use() -> None:
    with socket.create_server(("", 0)) as server:
        assert "in use" in (port_problem("127.0.0.1", server.getsockname()[1], "--port") or "")


def test_a_connection_that_was_closed_a_moment_ago_is_in_nobodys_way() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)) as caller:
            server.accept()[0].close()  # the side that closes first keeps the port for a minute
            assert caller.recv(1) == b""
    assert port_problem("127.0.0.1", port, "--port") is None


def test_an_address_of_another_machine_is_refused() -> None:
    assert "choose another --host" in (port_problem("192.0.2.1", free_port(), "--port") or "")
    assert "is no address" in (port_problem("no.such.host.invalid", free_port(), "--port") or "")
