"""Why a due time went as it did: the sentence for every outcome, and the evidence as the catalogue has it."""

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import event, update
from sqlalchemy.orm import Session

from db import due_times, runs, tasks, workers
from db import ledger as ledger_pages
from db.claims import Answer, Claimant, Claimed, StandDown, claim
from db.due_times import cancel_pending, put_in_line
from db.engine import Catalogue
from db.evidence import explain
from db.runs import Ending, RunKey
from db.specs import as_document
from db.states import Missed, Outcome, Reason, RunState, Trigger
from db.tables import DueTime, Run, Task, TaskStatus, Worker
from db.why import Evidence, length, why
from tests.conftest import FreshDatabase
from tests.db.conftest import (
    DAILY,
    NOW,
    a_run,
    a_task,
    a_worker,
    an_offer,
    deployed,
    edit,
    ledger,
    minutes,
    once,
    seconds,
)
from tests.db.test_plans import scanned

DUE = NOW + minutes(1)
"""The first due time of a task that is due every minute: 12:01 UTC."""
LATER = NOW + timedelta(hours=1)
TASK = UUID(int=77)
FILL = f"""
    INSERT INTO task_status (task_id, wanted_version) VALUES ('{TASK}', 1);
    INSERT INTO due_times (task_id, due_at, task_version, outcome, reason, decided_at, run_id, started_at)
    SELECT CASE WHEN i % 4 = 0 THEN '{TASK}'::uuid ELSE md5('t' || i % 99)::uuid END,
           TIMESTAMPTZ '{NOW}' - i * interval '1 second', 1,
           CASE i / 4 % 4 WHEN 0 THEN 'ran' WHEN 3 THEN 'pending' ELSE 'skipped' END,
           CASE i / 4 % 4 WHEN 1 THEN 'overlap' WHEN 2 THEN 'superseded' END,
           CASE WHEN i / 4 % 4 < 3 THEN TIMESTAMPTZ '{NOW}' END,
           CASE WHEN i / 4 % 4 = 0 THEN md5('r' || i)::uuid END,
           CASE WHEN i / 4 % 4 = 0 THEN TIMESTAMPTZ '{NOW}' - (i - 9) * interval '1 second' END
    FROM generate_series(1, 40000) i;
    INSERT INTO runs (id, due_at, task_id, task_name, task_version, trigger, state, started_at, ended_at)
    SELECT md5('r' || i)::uuid, TIMESTAMPTZ '{NOW}' - i * interval '1 second',
           CASE WHEN i % 4 = 0 THEN '{TASK}'::uuid ELSE md5('t' || i % 99)::uuid END, 'x', 1, 'schedule',
           'completed', TIMESTAMPTZ '{NOW}' - (i - 9) * interval '1 second', '{LATER}'
    FROM generate_series(1, 40000) i;
    ANALYZE;
"""  # noqa: S608 - constants


def said(session: Session, task_id: UUID, *, due_at: datetime = DUE, now: datetime = LATER, zone: str = "UTC") -> Any:
    rows = ledger(session, task_id)
    return explain(session, task_id, rows, now=now, zone=zone)[[row.due_at for row in rows].index(due_at)]


def settled(session: Session, task_id: UUID, outcome: Outcome, reason: Reason, *, at: datetime) -> None:
    assert due_times.settle(session, task_id, DUE, outcome=outcome, reason=reason, now=at)


def claimed(
    session: Session, task_id: UUID, due_at: datetime, *, at: datetime, held_at: datetime | None = None
) -> tuple[Answer, Claimant]:
    """A worker that has been there since an hour before takes the due time."""
    worker = a_worker(session, now=NOW - timedelta(hours=1))
    stay(session, worker.id, until=LATER)
    return claim(session, an_offer(session, task_id, due_at), worker, now=at, held_at=held_at), worker


def stay(session: Session, worker_id: UUID, *, until: datetime, stopped_at: datetime | None = None) -> None:
    session.execute(update(Worker).where(Worker.id == worker_id).values(heartbeat_at=until, stopped_at=stopped_at))


def ran(session: Session, task_id: UUID, *, at: datetime, held_at: datetime | None = None) -> RunKey:
    answer, worker = claimed(session, task_id, DUE, at=at, held_at=held_at)
    assert isinstance(answer, Claimed)
    assert runs.finish(session, answer.key, Ending(RunState.COMPLETED, at + seconds(5)), worker_id=worker.id)
    return answer.key


def test_nothing_is_said_of_what_ran_on_time_or_is_to_come(session: Session) -> None:
    task_id = deployed(session)
    ran(session, task_id, at=DUE + seconds(0.999))
    assert explain(session, task_id, ledger(session, task_id), now=DUE + seconds(30)) == [None] * 10


def test_due_for_less_than_a_second_is_not_waiting_yet(session: Session) -> None:
    task_id = deployed(session)
    assert said(session, task_id, now=DUE + seconds(0.9)) is None
    assert said(session, task_id, now=DUE + seconds(1)) is not None


def test_a_pause_says_who_since_when_until_when_and_what_for(session: Session) -> None:
    task_id = deployed(session, schedule=DAILY)
    tasks.pause_task(session, task_id, actor="anna", now=NOW + minutes(5))
    tasks.pause_task(session, task_id, reason="disk", until=NOW + timedelta(days=2), actor="ben", now=NOW + minutes(6))
    tomorrow = NOW + timedelta(days=1, hours=1)
    due_times.settle(session, task_id, tomorrow, outcome=Outcome.SKIPPED, reason=Reason.PAUSED, now=tomorrow)
    days = f"{NOW:%d %b}", f"{NOW + timedelta(days=2):%d %b}"
    expected = f"Skipped: paused by anna since {days[0]} 12:05 UTC until {days[1]} 12:00 UTC (“disk”)."
    assert said(session, task_id, due_at=tomorrow, now=tomorrow + minutes(1)) == expected


def test_a_pause_that_is_over_still_explains_what_it_skipped_and_another_one_does_not(session: Session) -> None:
    task_id = deployed(session)
    tasks.pause_task(session, task_id, reason="first", actor="anna", now=NOW)
    tasks.resume_task(session, task_id, actor="ben", now=DUE + seconds(30))
    tasks.pause_task(session, task_id, reason="second", actor="carl", now=DUE + seconds(40))
    assert said(session, task_id) == "Skipped: paused by anna since 12:00 UTC (“first”)."


def test_an_edit_that_pauses_is_a_pause(session: Session) -> None:
    task_id = deployed(session)
    edit(session, task_id, paused=True)
    settled(session, task_id, Outcome.SKIPPED, Reason.PAUSED, at=DUE)
    assert said(session, task_id) == "Skipped: paused by ben since 12:00 UTC."


@pytest.mark.parametrize(
    ("actor", "words"),
    [
        ("api:anna", "by anna over the API"),
        ("api", "over the API"),
        ("dashboard", "on the dashboard"),
        ("prefect", "in Prefect"),
        ("duetime", "by Duetime itself"),
    ],
)
def test_an_actor_is_told_by_the_door_that_was_used(session: Session, actor: str, words: str) -> None:
    task_id = deployed(session)
    tasks.pause_task(session, task_id, actor=actor, now=NOW)
    settled(session, task_id, Outcome.SKIPPED, Reason.PAUSED, at=DUE)
    assert said(session, task_id) == f"Skipped: paused {words} since 12:00 UTC."


def test_an_overlap_names_the_run_that_was_still_going_on_and_when_it_ended(session: Session) -> None:
    task_id = deployed(session)
    answer, worker = claimed(session, task_id, DUE, at=DUE)
    assert isinstance(answer, Claimed)
    second = DUE + minutes(1)
    assert isinstance(claimed(session, task_id, second, at=second)[0], StandDown)
    expected = "Skipped: the run that was due at 12:01 UTC was still going on ({})."
    assert said(session, task_id, due_at=second) == expected.format("it still is")
    ending = Ending(RunState.COMPLETED, second + seconds(12))
    runs.finish(session, answer.key, ending, worker_id=worker.id)
    assert said(session, task_id, due_at=second) == expected.format("it ended at 12:02:12 UTC")


def test_an_overlap_finds_its_run_though_newer_and_older_ones_ended(session: Session) -> None:
    task_id = deployed(session)
    for start, end in ((-600, -540), (-400, 90), (-300, -290), (70, 80), (120, 130)):
        values = {"started_at": NOW + seconds(start), "ended_at": NOW + seconds(end), "state": RunState.COMPLETED}
        a_run(session, task_id, NOW + seconds(start), **values)
    settled(session, task_id, Outcome.SKIPPED, Reason.OVERLAP, at=DUE)
    expected = "a run that was started in Prefect at 11:53:20 UTC was still going on (it ended at 12:01:30 UTC)."
    assert said(session, task_id) == f"Skipped: {expected}"


def test_an_overlap_with_a_run_whose_end_was_not_known_yet_says_so(session: Session) -> None:
    task_id = deployed(session)
    ended = {"started_at": NOW, "ended_at": DUE - seconds(2), "state": RunState.COMPLETED, "trigger": Trigger.MANUAL}
    key = a_run(session, task_id, NOW, **ended)
    settled(session, task_id, Outcome.SKIPPED, Reason.OVERLAP, at=DUE)
    expected = "a run that was started by hand at 12:00 UTC had not been reported as ended (it ended at 12:00:58 UTC)."
    assert said(session, task_id) == f"Skipped: {expected}"
    session.execute(update(Run).where(Run.id == key.id).values(state=RunState.CRASHED, trigger=Trigger.SCHEDULE))
    session.expire_all()
    lost = "Skipped: the run that was due at 12:00 UTC had lost its worker and was to go on elsewhere."
    assert said(session, task_id) == lost
    session.execute(update(Run).where(Run.id == key.id).values(ended_at=DUE - minutes(0.9)))
    session.expire_all()
    assert said(session, task_id) == "Skipped: another run of the task was still going on (overlap: skip)."


def test_what_was_superseded_names_what_came_after_it_and_who_was_not_there(session: Session) -> None:
    task_id = deployed(session)
    first, second = a_worker(session, now=NOW - minutes(60)), a_worker(session, now=DUE + seconds(125))
    stay(session, first.id, until=NOW - seconds(70), stopped_at=NOW - seconds(68))
    stay(session, second.id, until=LATER)
    settled(session, task_id, Outcome.SKIPPED, Reason.SUPERSEDED, at=DUE + seconds(130))
    assert said(session, task_id) == (
        "Skipped: the due time at 12:03 UTC came while nobody could run this one, and only the newest is run "
        "(misfire: latest). No worker was there from 11:58:52 to 12:03:05 UTC."
    )


def test_what_was_missed_says_how_late_it_would_have_been_and_what_is_allowed(session: Session) -> None:
    task_id = deployed(session, max_lateness_seconds=60)
    worker = a_worker(session, now=NOW - minutes(60))
    stay(session, worker.id, until=LATER)
    settled(session, task_id, Outcome.MISSED, Reason.LATE, at=DUE + minutes(12))
    expected = "Missed: it could only have started 12 min late; at most 60 s are allowed (max_lateness_seconds)."
    assert said(session, task_id) == expected
    edit(session, task_id, max_lateness_seconds=None, misfire="skip", now=DUE + minutes(20))
    assert said(session, task_id) == expected, "the policies are those of the moment when it was decided"


def test_what_was_missed_by_the_misfire_policy_says_so(session: Session) -> None:
    task_id = deployed(session, misfire="skip", max_lateness_seconds=3600)
    settled(session, task_id, Outcome.MISSED, Reason.LATE, at=DUE + seconds(61))
    assert said(session, task_id) == (
        "Missed: it could only have started 1 min 1 s late, and what was missed is not run later (misfire: skip). "
        "No worker was ever there."
    )


def test_what_was_missed_in_a_queue_names_the_run_that_it_waited_for(session: Session) -> None:
    task_id = deployed(session, overlap="queue", max_lateness_seconds=30)
    values = {"started_at": NOW, "ended_at": DUE + seconds(90), "state": RunState.COMPLETED}
    a_run(session, task_id, NOW, **values, trigger=Trigger.SCHEDULE)
    settled(session, task_id, Outcome.MISSED, Reason.LATE, at=DUE + seconds(31))
    assert said(session, task_id) == (
        "Missed: it could only have started 31.0 s late; at most 30 s are allowed (max_lateness_seconds). "
        "It waited for the run that was due at 12:00 UTC, which ended at 12:02:30 UTC."
    )


def lost(session: Session, task_id: UUID, *, heard_at: datetime, known_at: datetime) -> RunKey:
    """A worker claims the due time, falls silent, and is declared lost."""
    answer, worker = claimed(session, task_id, DUE, at=DUE)
    assert isinstance(answer, Claimed)
    stay(session, worker.id, until=heard_at, stopped_at=known_at)
    ending = Ending(RunState.CRASHED, known_at, error="Worker w1 was last heard of, while it ran this.")
    assert runs.end_unclaimed(session, answer.key, ending, held_by=worker.id)
    return answer.key


def test_what_is_unknown_says_when_its_worker_was_last_heard_of(session: Session) -> None:
    task_id = deployed(session)
    lost(session, task_id, heard_at=DUE + seconds(3), known_at=DUE + seconds(40))
    assert said(session, task_id) == (
        "Unknown: worker w1 was last heard of at 12:01:03 UTC while it ran this; what became of it nobody knows."
    )


def test_what_is_unknown_because_its_worker_was_stopped_says_what_the_worker_said(session: Session) -> None:
    task_id = deployed(session)
    lost(session, task_id, heard_at=DUE + seconds(38), known_at=DUE + seconds(40))
    assert said(session, task_id) == "Unknown: Worker w1 was last heard of, while it ran this."


def test_a_deletion_says_who_and_when(session: Session) -> None:
    task_id = deployed(session)
    tasks.delete_task(session, task_id, actor="ben", now=DUE + seconds(12))
    assert said(session, task_id) == (
        "Cancelled: the task was deleted by ben at 12:01:12 UTC, before anybody had run this."
    )


def test_a_cancellation_before_the_start_says_where_it_happened(session: Session) -> None:
    task_id = deployed(session)
    cancel_pending(session, task_id, DUE, now=DUE + seconds(2))
    assert said(session, task_id) == (
        "Cancelled: its run was cancelled in Prefect before it began (noticed at 12:01:02 UTC)."
    )
    a_run(session, task_id, DUE, state=RunState.CANCELLED, ended_at=DUE, cancel_requested_at=DUE - seconds(9))
    assert said(session, task_id) == "Cancelled: somebody cancelled its run at 12:00:51 UTC, before it began."


def test_lateness_is_split_into_waiting_and_starting(session: Session) -> None:
    task_id = deployed(session)
    ran(session, task_id, at=DUE + seconds(42.3), held_at=DUE + seconds(42.1))
    assert said(session, task_id) == "Late by 42.3 s: 42.1 s until a worker had it, 0.2 s to start."


def test_a_run_that_was_in_hand_in_time_was_only_slow_to_start(session: Session) -> None:
    task_id = deployed(session)
    ran(session, task_id, at=DUE + seconds(2.5), held_at=DUE - seconds(20))
    assert said(session, task_id) == "Late by 2.5 s: 2.5 s to start."


def test_lateness_names_the_time_in_which_no_worker_was_there(session: Session) -> None:
    task_id = deployed(session)
    gone, other = a_worker(session, "w0", now=NOW - minutes(30)), Claimant(uuid4(), "w2")
    stay(session, gone.id, until=NOW, stopped_at=NOW + seconds(45))
    back = DUE + seconds(40)
    workers.register(session, worker_id=other.id, name="w2", work_pool="default", host="h", pid=1, now=back)
    stay(session, other.id, until=LATER)
    held, at = DUE + seconds(42), DUE + seconds(42.2)
    assert isinstance(claim(session, an_offer(session, task_id, DUE), other, now=at, held_at=held), Claimed)
    assert said(session, task_id) == (
        "Late by 42.2 s: 42.0 s until a worker had it (no worker was there from 12:00 to 12:01:40 UTC), 0.2 s to start."
    )


def test_workers_of_another_pool_are_no_workers_for_it(session: Session) -> None:
    task_id = deployed(session, work_pool="gpu", max_lateness_seconds=60)
    stay(session, a_worker(session, now=NOW - minutes(60)).id, until=LATER)
    settled(session, task_id, Outcome.MISSED, Reason.LATE, at=DUE + minutes(2))
    assert said(session, task_id).endswith("(max_lateness_seconds). No worker of pool gpu was ever there.")


def test_a_run_in_line_says_how_long_it_waited_for_the_one_before(session: Session) -> None:
    task_id = deployed(session, overlap="queue")
    first, worker = claimed(session, task_id, DUE, at=DUE)
    assert isinstance(first, Claimed)
    second = DUE + minutes(1)
    put_in_line(session, task_id, second)
    waiting = "Waits: the run that was due at 12:01 UTC has to end first."
    assert said(session, task_id, due_at=second, now=second + seconds(20)) == waiting
    runs.finish(session, first.key, Ending(RunState.COMPLETED, second + seconds(30)), worker_id=worker.id)
    answer, _ = claimed(session, task_id, second, at=second + seconds(30.4), held_at=second - seconds(5))
    assert isinstance(answer, Claimed)
    assert said(session, task_id, due_at=second) == (
        "Late by 30.4 s: 30.0 s until the run that was due at 12:01 UTC had ended, 0.4 s to start."
    )


def test_what_is_caught_up_with_after_a_pause_says_whose_pause_it_was(session: Session) -> None:
    task_id = deployed(session)
    tasks.pause_task(session, task_id, reason="move", actor="anna", now=NOW)
    tasks.resume_task(session, task_id, missed=Missed.ALL, actor="ben", now=DUE + seconds(30))
    waiting = "Waits: it came in a pause that was ended by ben at 12:01:30 UTC, and is to be caught up with."
    assert said(session, task_id, now=DUE + seconds(31)) == waiting
    ran(session, task_id, at=DUE + seconds(32))
    assert said(session, task_id) == (
        "Late by 32.0 s: it came in a pause (paused by anna since 12:00 UTC (“move”)), and was run when that was over."
    )


def test_a_pause_that_was_over_before_explains_no_lateness(session: Session) -> None:
    task_id = deployed(session)
    tasks.pause_task(session, task_id, actor="anna", now=NOW)
    tasks.resume_task(session, task_id, actor="ben", now=NOW + seconds(30))
    ran(session, task_id, at=DUE + seconds(3), held_at=DUE)
    assert said(session, task_id) == "Late by 3.0 s: 3.0 s to start."


def test_a_run_in_line_waited_for_the_one_that_ended_last(session: Session) -> None:
    task_id = deployed(session, overlap="queue")
    for earlier, ended in ((30, 12), (20, 25), (10, 3)):
        values = {"started_at": NOW, "ended_at": DUE + seconds(ended), "state": RunState.COMPLETED}
        a_run(session, task_id, NOW - seconds(earlier), trigger=Trigger.SCHEDULE, **values)
    ran(session, task_id, at=DUE + seconds(26), held_at=DUE)
    expected = "25.0 s until the run that was due at 11:59:40 UTC had ended, 1.0 s to start."
    assert said(session, task_id) == f"Late by 26.0 s: {expected}"


def test_a_page_on_which_the_pool_was_changed_looks_for_the_workers_of_each(session: Session) -> None:
    task_id = deployed(session, misfire="skip")
    stay(session, a_worker(session, now=NOW - minutes(60)).id, until=LATER)
    settled(session, task_id, Outcome.MISSED, Reason.LATE, at=DUE + seconds(61))
    edit(session, task_id, work_pool="gpu", now=DUE + seconds(70))
    second = DUE + minutes(1)
    due_times.settle(session, task_id, second, outcome=Outcome.MISSED, reason=Reason.LATE, now=second + seconds(61))
    assert said(session, task_id).endswith("(misfire: skip).")
    assert said(session, task_id, due_at=second).endswith("No worker of pool gpu was ever there.")


def test_a_moment_that_was_still_to_come_when_it_was_asked_for_was_simply_late(session: Session) -> None:
    task_id = deployed(session, schedule=once(DUE))
    ran(session, task_id, at=DUE + seconds(3), held_at=DUE)
    assert said(session, task_id) == "Late by 3.0 s: 3.0 s to start."


def test_a_moment_that_had_passed_says_who_asked_for_it(session: Session) -> None:
    at = NOW - minutes(30)
    task_id = deployed(session, schedule=once(at, run_if_past=True))
    answer, _ = claimed(session, task_id, at, at=NOW + seconds(3))
    assert isinstance(answer, Claimed)
    assert said(session, task_id, due_at=at) == (
        "Late by 30 min 3 s: the moment had passed already when it was asked for by anna at 12:00 UTC (run_if_past)."
    )


def test_what_waits_says_what_for(session: Session) -> None:
    task_id = deployed(session)

    def waits(seconds_late: float = 20, due_at: datetime = DUE) -> str:
        session.expire_all()
        return said(session, task_id, due_at=due_at, now=due_at + seconds(seconds_late))  # type: ignore[no-any-return]

    assert waits() == "Waits: no worker was ever there."
    worker = a_worker(session, now=NOW - minutes(9))
    assert waits() == "Waits: no worker has been there since 11:51 UTC."
    stay(session, worker.id, until=DUE + seconds(20))
    assert waits() == "Waits: no worker has it yet."
    workers.drain(session, worker.id, on=True, actor="anna", now=DUE)
    assert waits() == "Waits: nothing takes runs of pool default: its only worker is drained."
    workers.drain(session, worker.id, on=False, actor="anna", now=DUE)
    session.execute(update(TaskStatus).where(TaskStatus.task_id == task_id).values(deployment_id=None))
    assert waits() == "Waits: Prefect has not been told of the task yet."
    session.execute(update(TaskStatus).where(TaskStatus.task_id == task_id).values(sync_error="no pool\nnamed gpu"))
    assert waits() == "Waits: Prefect does not have the task: no pool named gpu."
    edit(session, task_id, misfire="all")
    assert waits(due_at=DUE + minutes(1)) == (
        "Waits: its turn comes when the task's due times before it have been run."
    )


def test_times_are_told_in_the_zone_that_is_asked_for_with_the_day_where_it_is_another(session: Session) -> None:
    task_id = deployed(session)
    tasks.delete_task(session, task_id, actor="ben", now=DUE + timedelta(hours=4))
    tomorrow = f"{NOW + timedelta(days=1):%d %b}"
    later = NOW + timedelta(days=1)
    assert "deleted by ben at 16:01 UTC," in said(session, task_id, now=later)
    assert f"deleted by ben at {tomorrow} 01:01 JST," in said(session, task_id, now=later, zone="Asia/Tokyo")


def test_text_of_people_is_one_line_of_bearable_length(session: Session) -> None:
    task_id = deployed(session)
    tasks.pause_task(session, task_id, reason="why\n\n\tnot? " * 100, actor="anna", now=NOW)
    settled(session, task_id, Outcome.SKIPPED, Reason.PAUSED, at=DUE)
    sentence = said(session, task_id)
    assert "why not? why not?" in sentence
    assert len(sentence) < 300
    assert "\n" not in sentence


@pytest.mark.parametrize("outcome", [Outcome.SKIPPED, Outcome.MISSED, Outcome.UNKNOWN, Outcome.CANCELLED, Outcome.RAN])
@pytest.mark.parametrize("reason", [*Reason, None])
def test_without_any_evidence_there_is_a_sentence_all_the_same(outcome: Outcome, reason: Reason | None) -> None:
    has_run = outcome in (Outcome.RAN, Outcome.UNKNOWN)
    row = DueTime(due_at=DUE, outcome=outcome, reason=reason, started_at=DUE + minutes(2) if has_run else None)
    sentence = why(row, Evidence(), now=LATER)
    assert sentence is not None
    assert sentence.endswith(".")
    assert sentence.startswith("Late by" if outcome is Outcome.RAN else outcome.capitalize())


@pytest.mark.parametrize(
    ("span", "words"),
    [
        (0.24, "0.2 s"),
        (59.94, "59.9 s"),
        (59.96, "1 min"),
        (61, "1 min 1 s"),
        (720, "12 min"),
        (7500, "2 h 5 min"),
        (3 * 86400 + 4 * 3600 + 5, "3 d 4 h"),
    ],
)
def test_a_length_is_told_as_exactly_as_it_matters(span: float, words: str) -> None:
    assert length(timedelta(seconds=span)) == words


def test_a_page_of_the_ledger_is_explained_with_a_handful_of_queries(
    shared_catalogue: Catalogue, session: Session
) -> None:
    task_id = deployed(session, overlap="queue")
    tasks.pause_task(session, task_id, actor="anna", now=NOW)
    due_times.extend(session, now=NOW + timedelta(hours=5))
    tasks.resume_task(session, task_id, missed=Missed.LAST, actor="ben", now=NOW + timedelta(hours=5))
    rows = ledger(session, task_id)
    assert len(rows) > 250
    statements: list[str] = []
    listener = lambda *told: statements.append(told[2])  # noqa: E731
    event.listen(shared_catalogue.engine, "before_cursor_execute", listener)
    try:
        found = explain(session, task_id, rows, now=NOW + timedelta(hours=5))
    finally:
        event.remove(shared_catalogue.engine, "before_cursor_execute", listener)
    assert sum(sentence is not None for sentence in found) > 250
    assert 0 < len(statements) <= 9


def test_the_policies_of_a_moment_before_the_first_version_are_those_of_that_version(session: Session) -> None:
    at = NOW - minutes(30)
    task_id = deployed(session, schedule=once(at, run_if_past=True), max_lateness_seconds=60)
    due_times.settle(session, task_id, at, outcome=Outcome.MISSED, reason=Reason.LATE, now=NOW - seconds(1))
    assert "at most 60 s are allowed" in said(session, task_id, due_at=at)


@pytest.fixture(scope="module")
def filled(fresh_database: FreshDatabase, migrated: str) -> Iterator[Catalogue]:
    """A task with a long past, among the due times and runs of others."""
    with fresh_database(template=migrated) as url:
        catalogue = Catalogue(url, application_name="duetime-test")
        with catalogue.transaction() as session:
            spec = as_document(a_task(misfire="all"))
            session.add(Task(id=TASK, spec=spec, version=1, created_at=NOW, updated_at=NOW))
            session.flush()
            session.connection().connection.driver_connection.execute(FILL)  # type: ignore[union-attr]
            tasks.pause_task(session, TASK, actor="anna", now=NOW)
        yield catalogue
        catalogue.close()


def page_of(session: Session, outcome: Outcome | None = None) -> Sequence[DueTime]:
    if outcome is None:
        return ledger_pages.newest(session, TASK, now=NOW, limit=40).items
    return due_times.list_due_times(session, TASK, outcome=outcome, limit=40).items


@pytest.mark.parametrize("outcome", [None, Outcome.SKIPPED, Outcome.RAN, Outcome.PENDING])
def test_no_big_table_is_read_from_end_to_end_to_explain_a_page(filled: Catalogue, outcome: Outcome | None) -> None:
    with filled.transaction() as session:
        assert any(explain(session, TASK, page_of(session, outcome), now=NOW + minutes(1)))
    explaining = scanned(filled, lambda s: explain(s, TASK, page_of(s, outcome), now=NOW + minutes(1)))
    assert explaining - {"workers", "task_status"} == set()


def test_the_card_of_the_ledger_reads_no_big_table_from_end_to_end(filled: Catalogue) -> None:
    def read(session: Session) -> None:
        first = ledger_pages.newest(session, TASK, now=NOW)
        ledger_pages.newest(session, TASK, now=NOW, cursor=first.next_cursor)
        ledger_pages.upcoming(session, TASK, after=NOW)
        ledger_pages.count_outcomes(session, TASK, since=NOW - minutes(9), until=NOW)

    assert scanned(filled, read) == set()
