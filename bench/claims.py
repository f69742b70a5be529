"""What a claim and an end take, alone and together, in a migrated catalogue that may be filled with tasks.

python -m bench.claims --database-url postgresql://... [--count 200]
"""

import argparse
import statistics
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from time import perf_counter
from typing import TypeVar
from uuid import UUID, uuid4

from sqlalchemy.orm import Session

from db import claims, finishes, sync, tasks
from db.claims import Answer, Claimant, Claimed, Offer, Wanted
from db.engine import Catalogue
from db.finishes import Finish
from db.runs import Ending
from db.specs import parse_task
from db.states import RunState, Trigger

TOGETHER = 100
T = TypeVar("T")


def offers(session: Session, count: int, *, due_at: datetime) -> list[Offer]:
    """Runs of so many new tasks, all due at one instant."""
    found = []
    for _ in range(count):
        document = {"name": f"bench {uuid4()}", "kind": "shell", "action": {"command": "true"}}
        task = parse_task({**document, "schedule": {"kind": "once", "at": due_at.isoformat()}})
        task_id, deployment_id = tasks.create_task(session, task, actor="bench", now=datetime.now(UTC)), uuid4()
        sync.record_synced(session, task_id, version=1, deployment_id=deployment_id, applied=None)
        found.append(Offer(uuid4(), deployment_id, due_at, Trigger.SCHEDULE))
    return found


def timed(catalogue: Catalogue, work: Callable[[Session], T]) -> tuple[T, float]:
    """What a transaction answers, and its milliseconds."""
    began = perf_counter()
    with catalogue.transaction() as session:
        answer = work(session)
    return answer, (perf_counter() - began) * 1000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--database-url", required=True)
    parser.add_argument("--count", type=int, default=200)
    options = parser.parse_args()
    catalogue = Catalogue(options.database_url, pool_size=1, application_name="duetime-bench", same_statements=True)
    worker, due_at = Claimant(uuid4(), "bench"), datetime.now(UTC) + timedelta(minutes=5)
    with catalogue.transaction() as session:
        offered = offers(session, options.count + TOGETHER, due_at=due_at)
    alone = [Wanted(offer, due_at) for offer in offered]

    def claim(wanted: list[Wanted]) -> tuple[dict[UUID, Answer], float]:
        return timed(catalogue, lambda session: claims.claim_many(session, wanted, worker, clock=lambda: due_at))

    def end(answers: dict[UUID, Answer]) -> float:
        taken = [one for one in answers.values() if isinstance(one, Claimed)]
        ends = [Finish(one.key, one.task_id, worker.id, Ending(RunState.COMPLETED, due_at)) for one in taken]
        ended, took = timed(catalogue, lambda session: finishes.finish_many(session, ends, clock=lambda: due_at))
        assert all(ended)
        assert len(ended) == len(answers)
        return took

    claimed = [claim([one]) for one in alone[: options.count]]
    ended = [end(answers) for answers, _ in claimed]
    answers, together = claim(alone[options.count :])
    print(f"a claim alone: median {statistics.median(took for _, took in claimed):.1f} ms")
    print(f"an end alone: median {statistics.median(ended):.1f} ms")
    print(f"{TOGETHER} claims together: {together:.1f} ms, their ends {end(answers):.1f} ms")
    catalogue.close()


if __name__ == "__main__":
    main()
