"""Every question that a page, a route, the worker or the reconciler asks the catalogue, measured on a full one.

    python -m bench.queries --database-url postgresql://... [--times 20] [--only runs] [--json figures.json]

Asked with ordinary and with nasty arguments of a catalogue that `bench.fill` made, at the instant at which it was made.
What changes something is taken back, so that the catalogue stays as it is. A line shows the whole function, the Python
in it too, and the slowest of its statements. The exit code is 0 if no statement, and no function that a person waits
for, took longer than 50 ms at the 95th percentile.
"""

import argparse
import gc
import json
import statistics
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import event

from bench.questions import Question, learn, questions
from db.connections import PATIENT
from db.engine import Catalogue

LIMIT_MS = 50.0
WARM_UP = 2
FEW = 2


@dataclass(frozen=True, slots=True)
class Figures:
    """Milliseconds of one question."""

    name: str
    rows: int
    times: int
    min: float
    p50: float
    p95: float
    max: float
    statements: int
    slowest_p95: float
    """Of the statements, the one with the highest 95th percentile, and its text."""
    slowest: str
    limited: bool

    @property
    def is_over(self) -> bool:
        return self.slowest_p95 > LIMIT_MS or (self.limited and self.p95 > LIMIT_MS)


class Watch:
    """Takes the time of every statement of one connection pool."""

    def __init__(self, catalogue: Catalogue) -> None:
        self._begun = 0.0
        self.taken: dict[str, list[float]] = defaultdict(list)
        event.listen(catalogue.engine, "before_cursor_execute", self._begin)
        event.listen(catalogue.engine, "after_cursor_execute", self._end)

    def _begin(self, *_: Any) -> None:
        self._begun = time.perf_counter()

    def _end(self, _connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        self.taken[statement].append(1000 * (time.perf_counter() - self._begun))


def measure(catalogue: Catalogue, watch: Watch, question: Question, *, times: int) -> Figures:
    """Asks it so many times, after some to warm up; what nobody waits for only a few times."""
    times = times if question.limited else min(times, FEW)
    taken: list[float] = []
    rows = statements = 0
    for number in range(-WARM_UP, times):
        if number == 0:
            watch.taken.clear()
        milliseconds, rows = _ask(catalogue, question)
        if number >= 0:
            taken.append(milliseconds)
    statements = round(sum(map(len, watch.taken.values())) / times)
    slowest = max(watch.taken, key=lambda each: p95(watch.taken[each]), default="")
    return Figures(
        name=question.name,
        rows=rows,
        times=times,
        min=min(taken),
        p50=statistics.median(taken),
        p95=p95(taken),
        max=max(taken),
        statements=statements,
        slowest_p95=p95(watch.taken[slowest]) if slowest else 0.0,
        slowest=" ".join(slowest.split()),
        limited=question.limited,
    )


def _ask(catalogue: Catalogue, question: Question) -> tuple[float, int]:
    with catalogue.transaction() as session:
        session.connection()  # to take one from the pool is not the question
        began = time.perf_counter()
        found = question.ask(session)
        session.flush()
        taken = 1000 * (time.perf_counter() - began)
        if question.changes:
            session.rollback()
    return taken, _rows(found)


def _rows(found: Any) -> int:
    if isinstance(found, int) and not isinstance(found, bool):
        return found
    items = getattr(found, "items", found)
    return len(items) if hasattr(items, "__len__") else int(found is not None)


def p95(values: Sequence[float]) -> float:
    """The 95th percentile: of twenty, all but one are at most that."""
    return sorted(values)[max(0, -(-len(values) * 95 // 100) - 1)]


def line(figures: Figures) -> str:
    mark = "  OVER" if figures.is_over else "" if figures.limited else "  (not limited)"
    return (
        f"{figures.name:58} {figures.rows:>7,} {figures.min:>8.1f} {figures.p50:>8.1f}"
        f" {figures.p95:>9.1f} {figures.max:>9.1f} {figures.statements:>5} {figures.slowest_p95:>9.1f}{mark}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--database-url", required=True, help="a catalogue that bench.fill made")
    parser.add_argument("--times", type=int, default=20)
    parser.add_argument("--only", default="", help="only the questions with this in their name")
    parser.add_argument("--json", type=Path, help="a file for all figures")
    chosen = parser.parse_args()
    catalogue = Catalogue(chosen.database_url, application_name="duetime-bench", pool_size=1, limits=PATIENT)
    with catalogue.transaction() as session:
        known = learn(session)
    watch, found = Watch(catalogue), []
    # What was imported is not looked through again and again by the garbage collector, as if it were the questions'.
    gc.collect()
    gc.freeze()
    print(f"{'':58} {'rows':>7} {'min ms':>8} {'p50 ms':>8} {'p95 ms':>9} {'max ms':>9} {'SQL':>5} {'its p95':>9}")
    for question in questions(known):
        if chosen.only in question.name:
            found.append(measure(catalogue, watch, question, times=chosen.times))
            print(line(found[-1]), flush=True)
    catalogue.close()
    if chosen.json:
        chosen.json.write_text(json.dumps([asdict(each) for each in found], indent=1))
    over = [each.name for each in found if each.is_over]
    print(
        f"{len(found)} questions, {len(over)} over {LIMIT_MS:.0f} ms at p95" + (f": {', '.join(over)}" if over else "")
    )
    raise SystemExit(1 if over else 0)


if __name__ == "__main__":
    main()
