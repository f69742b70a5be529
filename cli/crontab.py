"""Crontabs as tasks. Pure: text in, a finding for each line out.

After crontab(5) of Debian's cron and of cronie: settings hold for the lines below them, `%` ends the command and begins
its input, a table of the system names a user before the command.
"""

import re
import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any

from db.schedules import ALIASES, ScheduleError, check_cron, check_zone
from db.specs import InvalidTask, parse_task

SHELL = "/bin/sh"
WITHOUT_EQUAL = {
    "@reboot": "tasks are due at instants, and a start of the machine is none: make it a service of systemd"
}
LONGEST_NAME = 60
NAMES = {
    "month": ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"),
    "weekday": ("sun", "mon", "tue", "wed", "thu", "fri", "sat"),
}
_SETTING = re.compile(r"""\s*(?:"([^"]*)"|'([^']*)'|([A-Za-z_][A-Za-z0-9_]*))\s*=\s*(.*?)\s*\Z""")
_PERCENT = re.compile(r"(?<!\\)%")
_RANGE = re.compile(r"(\d+)-(\d+)")
_WORD = re.compile(r"[A-Za-z0-9][\w.-]*")


@dataclass(frozen=True, slots=True)
class Finding:
    """What became of a line that is more than a comment: a task, a setting, or the reason why it is neither."""

    line: int
    text: str
    document: dict[str, Any] | None = None
    notes: tuple[str, ...] = ()
    problem: str = ""
    is_setting: bool = False


@dataclass
class _Settings:
    """What holds from some line on."""

    timezone: str | None
    """None below a line that names an unknown one."""
    shell: str = SHELL
    home: str | None = None
    env: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Reading:
    """How a table is to be read. `taken` are names that tasks have already."""

    timezone: str = "UTC"
    with_users: bool = False
    tags: Sequence[str] = ()
    paused: bool = False
    taken: frozenset[str] = frozenset()


def read(text: str, reading: Reading) -> list[Finding]:
    """A finding for each line that is neither blank nor a comment."""
    settings, taken = _Settings(reading.timezone), set(reading.taken)
    found: list[Finding] = []
    for number, line in enumerate(text.splitlines(), 1):
        stripped = line.strip()
        if not stripped or stripped.startswith("#"):
            continue
        setting = _setting(stripped)
        if setting is not None:
            found.append(_set(settings, number, stripped, *setting))
            continue
        finding = _task(number, stripped, settings, reading, taken)
        if finding.document is not None:
            taken.add(finding.document["name"])
        found.append(finding)
    return found


def _setting(line: str) -> tuple[str, str] | None:
    match = _SETTING.match(line)
    if match is None:
        return None
    value = match[4]
    if len(value) >= 2 and value[0] == value[-1] and value[0] in "\"'":
        value = value[1:-1]
    return match[1] or match[2] or match[3], value


def _set(settings: _Settings, number: int, line: str, name: str, value: str) -> Finding:
    match name:
        case "CRON_TZ" | "TZ":
            try:
                settings.timezone = check_zone(value)
            except ScheduleError as error:
                settings.timezone = None
                return Finding(number, line, problem=str(error))
        case "SHELL":
            settings.shell = value
        case "HOME":
            settings.home = value
        case "MAILTO" | "MAILFROM":
            return Finding(number, line, is_setting=True, notes=("output is kept as the run's log and not mailed",))
        case "RANDOM_DELAY" | "CRON_WITHIN":
            return Finding(number, line, problem="a delay by chance is not supported: Calendar spreads busy minutes")
        case _:
            settings.env[name] = value
    return Finding(number, line, is_setting=True)


def _task(number: int, line: str, settings: _Settings, reading: Reading, taken: set[str]) -> Finding:
    try:
        cron, rest = _schedule(line)
        user, rest = _user(rest) if reading.with_users else ("", rest)
        command, notes = _command(rest, settings)
        document = _document(cron, command, rest, settings, reading, taken)
        parse_task(document)
    except _Unfit as error:
        return Finding(number, line, problem=str(error))
    except InvalidTask as error:
        return Finding(number, line, problem="; ".join(f"{each.field}: {each.message}" for each in error.errors))
    if user and user != "root":
        notes = (*notes, f"it ran as {user}, and will run as the worker's user")
    elif user:
        notes = (*notes, "it ran as root, and will run as the worker's user")
    return Finding(number, line, document, notes)


class _Unfit(Exception):
    """Why a line makes no task."""


def _schedule(line: str) -> tuple[str, str]:
    """The expression and what follows it."""
    if line.startswith("@"):
        word, _, rest = line.partition(" ") if " " in line else line.partition("\t")
        if word.lower() in WITHOUT_EQUAL:
            raise _Unfit(f"{word} is not supported: {WITHOUT_EQUAL[word.lower()]}")
        if word.lower() not in ALIASES:
            raise _Unfit(f"unknown schedule {word}")
        return word.lower(), rest.strip()
    fields = line.split(None, 5)
    if len(fields) < 6:
        raise _Unfit("five fields and a command are expected")
    if any(int(low) > int(high) for each in _numbered(fields[:5]) for low, high in _RANGE.findall(each)):
        raise _Unfit("a range ends before it begins, which cron does not take")
    if any("~" in each for each in fields[:5]):
        raise _Unfit("a minute by chance (~) is not supported: write one, or spread the busy minutes in Calendar")
    try:
        return check_cron(" ".join(_numbered(fields[:5]))), fields[5]
    except ScheduleError as error:
        raise _Unfit(str(error)) from None


def _numbered(fields: Sequence[str]) -> list[str]:
    """Names of months and weekdays as numbers, which every reader of the expression knows."""
    months = {name: str(number) for number, name in enumerate(NAMES["month"], 1)}
    weekdays = {name: str(number) for number, name in enumerate(NAMES["weekday"])}
    return [*fields[:3], _replaced(fields[3], months), _replaced(fields[4], weekdays)]


def _replaced(text: str, numbers: Mapping[str, str]) -> str:
    return re.sub(r"[A-Za-z]{3}", lambda found: numbers.get(found[0].lower(), found[0]), text)


def _user(rest: str) -> tuple[str, str]:
    user, _, command = rest.replace("\t", " ").partition(" ")
    if not command.strip():
        raise _Unfit("a user and a command are expected")
    return user, command.strip()


def _command(rest: str, settings: _Settings) -> tuple[str, tuple[str, ...]]:
    """What is given to /bin/sh, and what is to be said of it."""
    command, *given = _PERCENT.split(rest)
    command = command.replace(r"\%", "%").strip()
    if not command:
        raise _Unfit("there is no command")
    notes: tuple[str, ...] = ()
    if settings.shell != SHELL:
        command = f"{shlex.quote(settings.shell)} -c {shlex.quote(command)}"
    if given:
        stdin = "\n".join(part.replace(r"\%", "%") for part in given)
        command = f"printf '%s\\n' {shlex.quote(stdin)} | {{ {command}\n}}"
        notes = ("what follows % is given to the command as its input",)
    return command, notes


def _document(
    cron: str, command: str, words: str, settings: _Settings, reading: Reading, taken: Iterable[str]
) -> dict[str, Any]:
    """A task that behaves as cron did: it never catches up, never waits, and has no time limit."""
    if settings.timezone is None:
        raise _Unfit("the time zone that is named above is unknown")
    action: dict[str, Any] = {"command": command, "env": dict(settings.env)}
    if settings.home is not None:
        action["cwd"] = settings.home
    return {
        "name": _name(words, set(taken)),
        "kind": "shell",
        "action": action,
        "schedule": {"kind": "cron", "cron": cron, "timezone": settings.timezone},
        "tags": sorted(set(reading.tags)),
        "overlap": "allow",
        "misfire": "skip",
        "timeout_seconds": None,
        "paused": reading.paused,
    }


def _name(command: str, taken: set[str]) -> str:
    """The program that is called, with a number where that is taken."""
    words = [word for word in command.split() if "=" not in word]
    programs = (PurePosixPath(word).name for word in words if _is_program(word))
    plain = next(filter(None, programs), "cron-task")
    found = _WORD.search(plain)
    base = (found[0] if found else "cron-task")[:LONGEST_NAME]
    names = (base if number == 1 else f"{base}-{number}" for number in range(1, len(taken) + 2))
    return next(name for name in names if name not in taken)


def _is_program(word: str) -> bool:
    """Not what stands before the program itself."""
    known = {
        "cd",
        "test",
        "[",
        "&&",
        "||",
        ";",
        "if",
        "then",
        "sudo",
        "nice",
        "ionice",
        "nohup",
        "env",
        "exec",
        "flock",
    }
    return (
        word not in known
        and not word.startswith(("-", "(", "{", "!", "$", ">", "<", "|", "&"))
        and not word.isdecimal()
    )
