"""The results of trials as a table for people."""

from collections import Counter
from collections.abc import Iterator, Sequence

from db.loop_lag import LIMIT_SECONDS
from tests.faults.disturbances.measuring.results import Result
from tests.faults.verdict import Fault

HEAD = (
    "| disturbance | trials | due times | unaccounted for | doubled | other findings | first start on time: median "
    "| worst | every start on time: worst | ready again: worst | all decided: worst | longest callback |"
)
RULE = "|---|---|---|---|---|---|---|---|---|---|---|---|"


def table(results: Sequence[Result]) -> str:
    """Markdown, a line for each kind; seconds count from the end of the disturbance, callbacks by processor time."""
    lines = [HEAD, RULE]
    for kind in sorted({result.trial.kind for result in results}):
        lines.append(_row(kind, [result for result in results if result.trial.kind == kind]))
    made = [result for result in results if not result.left_out]
    return "\n".join([*lines, _row("**all**", made)])


def _row(kind: str, results: Sequence[Result]) -> str:
    made = [result for result in results if not result.left_out]
    if not made:
        return f"| {kind} | 0: {results[0].left_out if results else 'none'} |" + " |" * 10
    return "| " + " | ".join([kind, *_cells(made)]) + " |"


def _cells(made: Sequence[Result]) -> Iterator[str]:
    faults = sum((Counter(result.faults) for result in made), Counter[str]())
    complaints = sum(len(result.complaints) for result in made)
    firsts = [result.healing.first for result in made]
    yield str(len(made))
    yield str(sum(result.due_times for result in made))
    yield str(faults.pop(Fault.UNACCOUNTED, 0))
    yield str(faults.pop(Fault.TWICE, 0))
    yield str(faults.total() + complaints)
    yield _seconds(sorted(firsts, key=_or_never)[(len(firsts) - 1) // 2])
    yield _worst(firsts)
    yield _worst([result.healing.steady for result in made])
    yield _worst([result.healing.ready for result in made])
    yield _worst([result.decided_seconds for result in made])
    busy = [seconds for result in made for seconds in result.busy_loops.values()]
    yield f"{max(busy) * 1000:.0f} ms" if busy else f"< {LIMIT_SECONDS * 1000:.0f} ms"


def _worst(found: Sequence[float | None]) -> str:
    return _seconds(max(found, key=_or_never))


def _or_never(seconds: float | None) -> float:
    return float("inf") if seconds is None else seconds


def _seconds(seconds: float | None) -> str:
    return "never" if seconds is None else f"{seconds:.1f} s"
