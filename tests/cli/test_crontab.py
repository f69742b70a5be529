"""Crontabs are read as cron reads them, and what has no equal is said line by line."""

import os
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cli.crontab import Finding, Reading, read
from db import task_views
from db.engine import Catalogue
from db.specs import parse_task
from tests.system import DUETIME


def one(line: str, **reading: Any) -> Finding:
    [found] = read(line, Reading(**reading))
    return found


def document(line: str, **reading: Any) -> dict[str, Any]:
    found = one(line, **reading)
    assert found.document is not None, found.problem
    return found.document


@pytest.mark.parametrize(
    ("line", "cron"),
    [
        ("17 * * * * run-parts /etc/cron.hourly", "17 * * * *"),
        ("25 6\t* * 7  /usr/bin/weekly", "25 6 * * 7"),
        ("*/10 8-18 * * mon-fri /opt/x", "*/10 8-18 * * 1-5"),
        ("0 0 1 JAN,jul * /opt/x", "0 0 1 1,7 * "),
        ("@daily /opt/x", "@daily"),
        ("@Weekly\t/opt/x", "@weekly"),
        ("0 0 * * sun /opt/x", "0 0 * * 0"),
    ],
)
def test_schedules_are_read(line: str, cron: str) -> None:
    assert document(line)["schedule"]["cron"] == cron.strip()


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("@reboot /opt/x", "@reboot is not supported"),
        ("@sometimes /opt/x", "unknown schedule"),
        ("0 0 * * *", "five fields and a command"),
        ("0~30 * * * * /opt/x", "by chance"),
        ("61 * * * * /opt/x", "Not a valid cron"),
        ("0 0 30 2 * /opt/x", "never fires"),
        ("RANDOM_DELAY=30", "by chance"),
        ("CRON_TZ=Mars/Olympus", "Unknown time zone"),
        ("* * * * * %only input", "no command"),
    ],
)
def test_what_has_no_equal_says_why(line: str, why: str) -> None:
    found = one(line)
    assert found.document is None
    assert why in found.problem


def test_comments_and_blanks_are_no_findings() -> None:
    assert read("# a comment\n\n   \n  # another\n", Reading()) == []


def test_settings_hold_for_the_lines_below_them() -> None:
    table = """
    0 1 * * * /opt/first
    CRON_TZ=Europe/Berlin
    PATH = "/usr/local/bin:/bin"
    HOME=/srv/shop
    SHELL=/bin/bash
    MAILTO=ops@example.org
    0 2 * * * /opt/second --now
    CRON_TZ=UTC
    PATH=/bin
    0 3 * * * /opt/third
    """
    first, second, third = (each.document for each in read(table, Reading()) if each.document)
    assert first["schedule"]["timezone"] == "UTC"
    assert first["action"] == {"command": "/opt/first", "env": {}}
    assert second["schedule"]["timezone"] == "Europe/Berlin"
    assert second["action"]["env"] == {"PATH": "/usr/local/bin:/bin"}
    assert second["action"]["cwd"] == "/srv/shop"
    assert second["action"]["command"] == "/bin/bash -c '/opt/second --now'"
    assert (third["schedule"]["timezone"], third["action"]["env"]) == ("UTC", {"PATH": "/bin"})


def test_a_table_of_the_system_names_a_user_before_the_command() -> None:
    found = one("17 *\t* * *\troot\tcd / && run-parts --report /etc/cron.hourly", with_users=True)
    assert found.document is not None
    assert found.document["action"]["command"] == "cd / && run-parts --report /etc/cron.hourly"
    assert found.document["name"] == "run-parts"
    assert "will run as the worker's user" in found.notes[-1]


def test_percents_end_the_command_and_begin_its_input() -> None:
    command = document(r"0 0 * * * cat | tr a-z A-Z; date +\%Y%first line%100\% sure")["action"]["command"]
    printed = subprocess.run(["/bin/sh", "-c", command], capture_output=True, text=True, check=True).stdout
    assert printed.splitlines()[:2] == ["FIRST LINE", "100% SURE"]
    assert printed.splitlines()[2].isdecimal()


def test_tasks_behave_as_cron_did() -> None:
    task = parse_task(document("* * * * * /opt/x", tags=["cron"], paused=True))
    assert (task.overlap, task.misfire, task.timeout_seconds, task.retries) == ("allow", "skip", None, 0)
    assert (task.paused, task.tags) == (True, ["cron"])


def test_names_are_the_programs_and_never_taken_twice() -> None:
    table = "* * * * * /opt/backup.sh a\n* * * * * FOO=1 nice -n 10 /opt/backup.sh b\n* * * * * (cd /x; true)\n"
    names = [each.document["name"] for each in read(table, Reading(taken=frozenset({"backup.sh"}))) if each.document]
    assert names[:2] == ["backup.sh-2", "backup.sh-3"]
    assert len(set(names)) == 3


@given(st.text(max_size=200))
def test_any_text_is_read_without_an_error_and_every_task_is_valid(text: str) -> None:
    for found in read(text, Reading()):
        assert bool(found.document) + bool(found.problem) + found.is_setting == 1
        if found.document:
            parse_task(found.document)


def test_a_long_table_of_every_form_is_reported_line_by_line() -> None:
    """The report was read beside crontab(5), line by line, before it was kept."""
    table, report = (Path(__file__).with_name("crontabs") / name for name in ("shop.crontab", "shop.report"))
    said = []
    for found in read(table.read_text(), Reading()):
        if found.document is not None:
            schedule = found.document["schedule"]
            said.append(f"{found.line} {found.document['name']}: {schedule['cron']} {schedule['timezone']}")
        if found.problem:
            said.append(f"{found.line} not imported: {found.problem}")
        said += [f"{found.line} note: {note}" for note in found.notes]
    assert said == report.read_text().splitlines()


def test_a_range_that_runs_backwards_is_refused_as_by_cron() -> None:
    assert "ends before it begins" in one("5-1 * * * * /opt/x").problem
    assert "ends before it begins" in one("0 0 * * sat-sun /opt/x").problem
    assert document("0 0 * * 5-7 /opt/x")["schedule"]["cron"] == "0 0 * * 5-7"


def test_below_an_unknown_zone_nothing_is_made_at_another_time() -> None:
    table = "CRON_TZ=Mars/Olympus\n0 0 * * * /opt/x\nCRON_TZ=UTC\n0 0 * * * /opt/y\n"
    problems = [found.problem for found in read(table, Reading(timezone="Europe/Berlin"))]
    assert [bool(problem) for problem in problems] == [True, True, False, False]


TABLE = """
# m h dom mon dow command
MAILTO=root
CRON_TZ=Europe/Berlin
0 2 * * * /opt/backup.sh --full
*/5 * * * * /opt/backup.sh --changes
@reboot /opt/start.sh
"""


def called(*words: str, table: str = TABLE, **environ: str) -> "subprocess.CompletedProcess[str]":
    plain = {name: value for name, value in os.environ.items() if not name.startswith("DUETIME_")}
    command = [str(DUETIME), "import-crontab", *words]
    return subprocess.run(
        command, env=plain | environ, input=table, capture_output=True, text=True, timeout=60, check=False
    )


def test_a_dry_run_reports_each_line_and_makes_nothing(tmp_path: Path) -> None:
    file = tmp_path / "crontab"
    file.write_text(TABLE)
    answer = called(str(file), "--dry-run")
    assert answer.returncode == 1
    assert answer.stdout.splitlines() == [
        "line 3: note: output is kept as the run's log and not mailed",
        "line 5: would be made: backup.sh: Every day at 02:00, Europe/Berlin",
        "line 6: would be made: backup.sh-2: Every 5 minutes, Europe/Berlin",
        "2 tasks would be made, 1 line not imported",
    ]
    assert answer.stderr.startswith("line 7: not imported: @reboot is not supported")


def test_tasks_are_made_and_a_second_import_takes_no_name_twice(catalogue: Catalogue) -> None:
    table = TABLE.replace("@reboot /opt/start.sh", "")
    for _ in range(2):
        assert called("-", "--tag", "cron", table=table, DUETIME_DATABASE_URL=catalogue.url).returncode == 0
    with catalogue.transaction() as session:
        found = [task.spec for task in task_views.list_tasks(session, now=datetime.now(UTC)).items]
    assert [spec.name for spec in found] == ["backup.sh", "backup.sh-2", "backup.sh-3", "backup.sh-4"]
    assert {tuple(spec.tags) for spec in found} == {("cron",)}


def test_what_cannot_be_read_is_refused_with_the_cure(tmp_path: Path) -> None:
    assert "cannot be read: No such file" in called(str(tmp_path / "none"), "--dry-run").stderr
    assert "Unknown time zone" in called("-", "--dry-run", "--timezone", "Mars/Olympus").stderr
    assert "no `duetime up`" in called("-", "--data-dir", str(tmp_path)).stderr
