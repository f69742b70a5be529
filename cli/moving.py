"""`duetime export`, `duetime import FILE`, `duetime check FILE`: tasks out of a catalogue, and into one."""

import argparse
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

from sqlalchemy.orm import Session

from cli.catalogue_option import catalogue_url
from cli.console import Refused, complain, say
from cli.task_file import Entry, NotATaskFile, calendars_in, read, text_of
from db import calendars, task_views, tasks
from db.closures import Entries
from db.engine import Catalogue
from db.errors import CalendarNotFound, CatalogueError
from db.specs import FieldError, InvalidTask, OnceSchedule, as_document, as_said, parse_task
from db.stored import BROKEN
from db.task_views import TaskView

ACTOR = "import"
AT_ONCE = 500
MADE, CHANGED, SAME, OVER = "made", "changed", "as it was", "left out, its time has passed"


def export(chosen: argparse.Namespace) -> int:
    """Prints the file.

    Raises:
        Refused: the catalogue cannot be read.
    """
    catalogue = Catalogue(
        catalogue_url(chosen, failing="Nothing is exported: "), pool_size=1, application_name="duetime-export"
    )
    try:
        with catalogue.transaction() as session:
            known = {each.name: each.entries for each in calendars.list_calendars(session) if each.broken is None}
            print(text_of(((view.id, view.spec) for view in _sound(session)), known), end="")
    except CatalogueError as error:
        raise Refused(str(error)) from error
    finally:
        catalogue.close()
    return 0


def _sound(session: Session) -> Iterator[TaskView]:
    for view in _all(session):
        if view.broken is None:
            yield view
        else:
            complain(f"Left out: {view.spec.name!r}. {BROKEN.format(why=view.broken)}")


def _all(session: Session) -> Iterator[TaskView]:
    page = task_views.list_tasks(session, limit=AT_ONCE, now=datetime.now(UTC))
    yield from page.items
    while page.next_cursor is not None:
        page = task_views.list_tasks(session, limit=AT_ONCE, cursor=page.next_cursor, now=datetime.now(UTC))
        yield from page.items


def check(chosen: argparse.Namespace) -> int:
    """0 when every entry is a task, 1 when one is not.

    Raises:
        Refused: there is no such file.
    """
    entries, _ = _content(chosen.file)
    wrong = _complain_of(chosen.file, entries)
    say(f"{chosen.file}: {_counted(len(entries) - wrong)}, {wrong} wrong")
    return int(wrong > 0)


def import_tasks(chosen: argparse.Namespace) -> int:
    """0 when all of the file was taken, 1 when nothing was.

    Raises:
        Refused: there is no such file, or the catalogue does not take it.
    """
    entries, said = _content(chosen.file)
    if _complain_of(chosen.file, entries):
        complain(f"{chosen.file}: nothing is imported")
        return 1
    url = catalogue_url(chosen, failing="Nothing is imported: ")
    catalogue = Catalogue(url, pool_size=1, application_name="duetime-import")
    done: Counter[str] = Counter()
    try:
        with catalogue.transaction() as session:
            _bring_calendars(session, said)
            made = _make_missing(session, entries)
            for entry in entries:
                what, details = _bring(session, entry, made)
                done[what] += 1
                if what is not SAME:
                    say(f"{what}: {entry.name}{details}")
            if chosen.dry_run:
                session.rollback()
    except (CatalogueError, InvalidTask) as error:
        raise Refused(f"Nothing is imported: {error}") from error
    finally:
        catalogue.close()
    say(", ".join(f"{count} {what}" for what, count in done.items()) or "nothing to do")
    if chosen.dry_run:
        say("nothing was done: --dry-run")
    return 0


def _bring_calendars(session: Session, said: Mapping[str, Entries]) -> None:
    for name, entries in said.items():
        if (what := _bring_calendar(session, name, entries)) is not SAME:
            say(f"{what}: calendar {name}")


def _bring_calendar(session: Session, name: str, entries: Entries) -> str:
    """What was done with it."""
    now = datetime.now(UTC)
    try:
        current = calendars.get_calendar(session, name)
    except CalendarNotFound:
        calendars.add(session, name, entries, actor=ACTOR, now=now)
        return MADE
    if current.entries == entries:
        return SAME
    tasks.change_calendar(session, name, entries, seen_version=None, actor=ACTOR, now=now)
    return CHANGED


def _make_missing(session: Session, entries: Sequence[Entry]) -> Mapping[str, str]:
    """Makes the tasks that are not there, without those that they follow; what was done with each."""
    now, made = datetime.now(UTC), {}
    for task in (entry.task for entry in entries if entry.task is not None):
        if tasks.task_by_name(session, task.name) is not None:
            continue
        is_over = isinstance(task.schedule, OnceSchedule) and task.schedule.at <= now
        if not is_over:
            tasks.create_task(session, task, actor=ACTOR, now=now)
        made[task.name] = OVER if is_over else MADE
    return made


def _bring(session: Session, entry: Entry, made: Mapping[str, str]) -> tuple[str, str]:
    """What was done with it, and to which fields."""
    assert entry.task is not None
    now, name = datetime.now(UTC), entry.task.name
    if made.get(name) == OVER:
        return OVER, ""
    current = task_views.get_task(session, _id_of(session, name), now=now)
    after = [{"task_id": str(_id_of(session, each, after=name)), "on": on} for each, on in entry.after]
    wanted = parse_task({**as_document(entry.task), "after": after})
    before, document = as_said(current.spec), as_said(wanted)
    if before != document:
        tasks.replace_task(session, current.id, wanted, seen_version=current.version, actor=ACTOR, now=now)
    if name in made:
        return MADE, ""
    if before == document:
        return SAME, ""
    return CHANGED, f": {', '.join(field for field in document if before.get(field) != document[field])}"


def _id_of(session: Session, name: str, *, after: str = "") -> UUID:
    found = tasks.task_by_name(session, name)
    if found is None:
        raise InvalidTask([FieldError(field=f"{after}: after", message=f"There is no task {name!r}.")])
    return found


def _content(name: str) -> tuple[Sequence[Entry], Mapping[str, Entries]]:
    """The entries and the calendars of a file.

    Raises:
        Refused: there is none, or a calendar in it says something wrong.
    """
    try:
        text = sys.stdin.read() if name == "-" else Path(name).read_text(encoding="utf-8")
        return read(text), calendars_in(text)
    except InvalidTask as error:
        raise Refused(f"{name}: a calendar cannot be taken: {error}") from error
    except (OSError, UnicodeDecodeError) as error:
        raise Refused(f"{name} cannot be read: {getattr(error, 'strerror', None) or 'it is not UTF-8'}.") from error
    except NotATaskFile as error:
        raise Refused(f"{name} is no file of tasks: {error}.") from error


def _complain_of(name: str, entries: Sequence[Entry]) -> int:
    """How many entries are wrong; each is said."""
    for entry in entries:
        for error in entry.errors:
            complain(f"{name}: {entry.name}: {error.field}: {error.message}")
    return sum(bool(entry.errors) for entry in entries)


def _counted(count: int) -> str:
    return "1 task" if count == 1 else f"{count:,} tasks"
