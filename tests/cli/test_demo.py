"""The demonstration: a shop with a past that agrees with itself, and a present that goes on."""

import random
import signal
import subprocess
from datetime import UTC, datetime, timedelta

import httpx
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from cli.demo_life import Life
from cli.demo_past import make_up
from cli.demo_tasks import STORIES
from db import overview, problems
from db.engine import Catalogue
from db.states import Outcome, ProblemKind
from db.tables import DueTime, Run
from tests.system import DUETIME, free_port
from tests.waiting import wait_until


def test_what_is_made_up_agrees_with_itself_and_goes_on(catalogue: Catalogue) -> None:
    now, chance = datetime.now(UTC), random.Random(1)

    def counted(session: Session) -> tuple[int, int]:
        ran = select(func.count()).where(DueTime.outcome.in_([Outcome.RAN, Outcome.RUNNING]))
        return session.scalar(ran) or 0, session.scalar(select(func.count()).select_from(Run)) or 0

    with catalogue.transaction() as session:
        cast = make_up(session, now=now, chance=chance)
        assert len(cast.stories) == len(STORIES)
        ran, runs = counted(session)
        assert ran == runs > 3000
        assert overview.coming(session, after=now)
        assert {each.kind for each in problems.open_problems(session, now=now)} >= {ProblemKind.FAILING}
    life = Life(cast, chance)
    for second in range(0, 180, 10):
        with catalogue.transaction() as session:
            life.step(session, now=now + timedelta(seconds=second))
    with catalogue.transaction() as session:
        more, more_runs = counted(session)
        assert more == more_runs > ran


def test_it_is_started_by_one_command_and_ends_with_ctrl_c() -> None:
    port = free_port()
    with subprocess.Popen([DUETIME, "demo", "--port", str(port)], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert f"http://127.0.0.1:{port}" in process.stdout.readline()

        def shown() -> bool:
            try:
                return len(httpx.get(f"http://127.0.0.1:{port}/api/tasks").json()["items"]) == len(STORIES)
            except httpx.TransportError:
                return False

        wait_until(shown, "the shop's tasks", seconds=60)
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 0
