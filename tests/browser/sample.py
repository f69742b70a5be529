"""The made-up shop of the demonstration, with a run that goes on, for pictures and for looking at whole pages."""

import random
from dataclasses import dataclass
from datetime import time, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy.orm import Session

from cli.demo_past import make_up
from cli.demo_tasks import LINES
from db import channels, keys, secrets, tasks, webhooks
from db.access import Role, Visitor
from db.sealing import Sealer, new_key
from tests.browser.world import World, now

SHOWN = "import-orders"
"""The task whose page is pictured."""


@dataclass(frozen=True, slots=True)
class Sample:
    """What is worth a look: a task that runs, and its run."""

    task: UUID
    run: UUID


def fill(world: World) -> Sample:
    """Writes it into an empty catalogue."""
    world.do(lambda session: make_up(session, now=now(), chance=random.Random(7)))
    task_id = world.do(lambda session: tasks.task_by_name(session, SHOWN))
    assert task_id is not None
    run = world.start(task_id, due_at=now() - timedelta(seconds=20), late=timedelta(milliseconds=9))
    world.say(run, *LINES)
    world.do(_connect)
    return Sample(task_id, run.id)


def _connect(session: Session) -> None:
    """Who is told of what happens there, and what programs come in with."""
    at, sealer = now(), Sealer([new_key()])
    given: Any = {"sealer": sealer, "actor": "dashboard:anna", "now": at}
    secrets.put(session, "SHOP_API_TOKEN", "correct horse", **given)
    quiet: Any = {"quiet_from": time(22), "quiet_to": time(7), "timezone": "Europe/Berlin", "after_failures": 2}
    channels.add(session, channels.Wish("Night watch", "json://127.0.0.1/", **quiet), **given)
    webhooks.add(
        session, webhooks.Wish("Chat", "https://chat.example.org/hook", ("run.failed", "run.crashed")), **given
    )
    maker = Visitor("", Role.ADMIN)
    keys.make(session, "Deploy pipeline", role=Role.EDITOR, tags=["ops"], maker=maker, actor="dashboard:anna", now=at)
