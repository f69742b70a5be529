"""What a zygote says of its children, however much of it is heard at once."""

import asyncio
from collections.abc import Mapping

from flows.children import Child, Zygote


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
