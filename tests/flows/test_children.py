"""What a zygote says of its children, however much of it is heard at once."""

import asyncio
import socket
import subprocess
import sys
from collections.abc import Mapping

from flows.children import Child, Zygote
from flows.roster import Roster


def nothing() -> Mapping[str, str]:
    return {}


def test_a_child_that_ended_before_its_birth_was_looked_at_is_known_all_the_same() -> None:
    async def hear() -> int:
        zygote = Zygote("flows.forks", nothing)
        zygote._answer = born = asyncio.get_running_loop().create_future()
        zygote._take(b"P", 0, 400)
        zygote._take(b"X", 400, 3)
        child: Child = await born
        return await child.wait()

    assert asyncio.run(hear()) == 3


def test_a_worker_that_dies_with_answers_unread_takes_with_it_what_it_had_started() -> None:
    ours, theirs = socket.socketpair()
    roster = Roster()
    handed_over = (theirs.fileno(), roster.descriptor)
    zygote = subprocess.Popen(
        [sys.executable, "-P", "-m", "flows.zygote", *map(str, handed_over), "flows.calls"], pass_fds=handed_over
    )
    theirs.close()
    over = subprocess.Popen(["sleep", "60"], start_new_session=True)
    command = subprocess.Popen(["sleep", "60"], start_new_session=True)
    with roster.holding(over.pid):
        pass
    with roster.holding(command.pid):
        assert ours.recv(1, socket.MSG_PEEK) == b"R"
        ours.close()
        assert zygote.wait(10) == 0
    assert command.wait(10) == -9
    assert over.poll() is None, "it is not on the roster any more"
    over.kill()
    over.wait(10)
