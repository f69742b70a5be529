"""What has to hold for the victims of a disturbance, and for those who look at them."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import httpx

from tests.faults.disturbances.disturbance import World

ANSWER_SECONDS = 10.0
ENDED_WITHIN = timedelta(seconds=10)
"""A victim does next to nothing, so that a run of it which was due before has ended."""
MOST_NAMED = 3


def is_listed(world: World) -> Iterator[str]:
    """The list of tasks and the pages of victims answer, whatever is in them."""
    paths = ["/tasks?limit=500", *(f"/tasks/{victim}" for victim in world.victim_ids)]
    for path in paths:
        try:
            status = httpx.get(f"{world.stage.system.url}/api{path}", timeout=ANSWER_SECONDS).status_code
        except httpx.TransportError as error:
            yield f"GET {path}: {error!r}"
            continue
        if status != httpx.codes.OK:
            yield f"GET {path} was answered {status}"


def runs_end(world: World, *states: str) -> Iterator[str]:
    """The victims' runs have ended in one of these states, and there are some."""
    before = (datetime.now(UTC) - ENDED_WITHIN).isoformat()
    for victim in world.victim_ids:
        runs = world.stage.insist("GET", f"/runs?task_id={victim}&limit=500&to={before.replace('+', '%2B')}")["items"]
        if not runs:
            yield f"a victim has no run that was due before {before}"
        for run in [run for run in runs if run["state"] not in states][:MOST_NAMED]:
            yield f"a victim's run that was due at {run['due_at']} is {run['state']}: {run['error']}"
