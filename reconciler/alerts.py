"""Alerts: what of all that happened somebody wants to be told of, gathered by cause, in words. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from db.channels import About
from db.happenings import FAILURES, Happening
from db.states import RunState, Trigger
from db.tables import Channel
from db.zones import zone_or_utc

NAMED = 10
MESSAGES_AT_ONCE = 5
"""More causes than these become one message."""
VERBS = {
    RunState.FAILED: "failed",
    RunState.CRASHED: "crashed",
    RunState.TIMED_OUT: "took too long",
}


@dataclass(frozen=True, slots=True)
class Alert:
    """Something that a channel is about. Those with the same cause are told together."""

    about: About
    happening: Happening
    what: str
    cause: str

    @property
    def group(self) -> tuple[About, str]:
        return self.about, self.cause


@dataclass(frozen=True, slots=True)
class Message:
    """What goes out at once."""

    title: str
    body: str


def alerts(channel: Channel, happened: Sequence[Happening]) -> list[Alert]:
    """What of it the channel is about, in the order in which it happened."""
    found = (_alert(channel, one) for one in happened if _is_for(channel, one))
    return [alert for alert in found if alert is not None and alert.about in channel.about]


def _is_for(channel: Channel, happening: Happening) -> bool:
    is_test = happening.run is not None and happening.run.trigger == Trigger.TEST
    return (
        not happening.muted
        and not is_test
        and (channel.tags is None or not set(channel.tags).isdisjoint(happening.tags))
    )


def _alert(channel: Channel, one: Happening) -> Alert | None:
    kind, _, word = one.event.type.partition(".")
    if kind == "due_time":
        what = "was missed" if word == "missed" else "may have run or not"
        cause = "it was too late to run" if word == "missed" else "its worker was lost"
        return Alert(About.MISSED, one, what, cause)
    if word == RunState.RUNNING:
        return _late(channel, one)
    return _ended(channel, one, RunState(word))


def _late(channel: Channel, one: Happening) -> Alert | None:
    if one.run is None or one.run.attempt > 1 or (one.run.lateness_seconds or 0) < channel.late_seconds:
        return None
    return Alert(About.LATE, one, f"started {one.run.lateness_seconds:.0f} s late", "no worker had it in time")


def _ended(channel: Channel, one: Happening, state: RunState) -> Alert | None:
    if state in FAILURES:
        if one.failures_before + 1 != channel.after_failures:
            return None  # told before, or not often enough yet
        times = f" {channel.after_failures} times in a row" if channel.after_failures > 1 else ""
        return Alert(About.FAILED, one, f"{VERBS[state]}{times}", (one.run.error if one.run else None) or VERBS[state])
    if one.failures_before < channel.after_failures:
        return None
    times = "1 failure" if one.failures_before == 1 else f"{one.failures_before} failures"
    return Alert(About.RECOVERED, one, f"is well again after {times}", "a run completed")


def messages(
    found: Sequence[Alert], *, lines: Mapping[UUID, Sequence[str]], base_url: str, timezone: str
) -> list[Message]:
    """One for each cause; one for all of them where there are many. `lines`: the last ones of each run."""
    groups: dict[tuple[About, str], list[Alert]] = {}
    for alert in found:
        groups.setdefault(alert.group, []).append(alert)
    if len(groups) > MESSAGES_AT_ONCE:
        return [_digest(groups, base_url)]
    return [
        _one(group[0], lines, base_url, timezone) if len(group) == 1 else _several(group, base_url)
        for group in groups.values()
    ]


def _one(alert: Alert, lines: Mapping[UUID, Sequence[str]], base_url: str, timezone: str) -> Message:
    one, run = alert.happening, alert.happening.run
    zone = one.timezone or timezone
    facts = [f"When: {_when(one, zone)}", f"Why: {_sentence(alert.cause)}"]
    if run is not None and alert.about is About.FAILED:
        facts.insert(0, f"Attempt: {run.attempt}, on {run.worker or 'an unknown worker'}")
    last = lines.get(run.id, ()) if run is not None else ()
    log = ["", "Last lines:", *last] if last and alert.about is About.FAILED else []
    return Message(f"{one.task_name} {alert.what}", "\n".join([*facts, *log, "", _link(one, base_url)]).strip())


def _several(group: Sequence[Alert], base_url: str) -> Message:
    first, names = group[0], [alert.happening.task_name for alert in group]
    tasks = list(dict.fromkeys(names))
    subject = f"{len(tasks)} tasks" if len(tasks) > 1 else f"{tasks[0]}, {len(group)} times:"
    more = [f"and {len(tasks) - NAMED} more"] if len(tasks) > NAMED else []
    listed = [f"- {name}" for name in tasks[:NAMED]] + more
    body = [f"Why: {_sentence(first.cause)}", "", *listed, "", _page(first.about, base_url)]
    return Message(f"{subject} {_plural(first, len(tasks))}", "\n".join(body).strip())


def _digest(groups: Mapping[tuple[About, str], Sequence[Alert]], base_url: str) -> Message:
    lines = []
    for (_, cause), group in list(groups.items())[: 2 * NAMED]:
        names = ", ".join(list(dict.fromkeys(alert.happening.task_name for alert in group))[:3])
        lines.append(f"- {names}{' and others' if len(group) > 3 else ''} {group[0].what}: {_sentence(cause)}")
    count = sum(len(group) for group in groups.values())
    page = f"{base_url}/problems" if base_url else ""
    return Message(f"{count} things need you, for {len(groups)} reasons", "\n".join([*lines, "", page]).strip())


def _plural(alert: Alert, tasks: int) -> str:
    return alert.what if tasks == 1 else alert.what.replace("was ", "were ").replace("is well", "are well")


def _when(one: Happening, zone: str) -> str:
    run = one.run
    due = one.event.due_at
    parts = [f"due {_clock(due, zone)}"] if due is not None else []
    if run is not None and run.ended_at is not None:
        parts.append(f"ended {_clock(run.ended_at, zone)}")
    return f"{', '.join(parts)}, {zone}"


def _clock(at: datetime, zone: str) -> str:
    return f"{at.astimezone(zone_or_utc(zone)):%a %d %b %H:%M:%S}"


def _sentence(text: str) -> str:
    first = text.strip().splitlines()[0] if text.strip() else "unknown"
    return f"{first[:1].upper()}{first[1:500]}{'' if first.endswith(('.', '!', '?')) else '.'}"


def _link(one: Happening, base_url: str) -> str:
    if not base_url:
        return ""
    if one.run is not None:
        return f"{base_url}/run?id={one.run.id}"
    return f"{base_url}/task?id={one.event.task_id}"


def _page(about: About, base_url: str) -> str:
    if not base_url:
        return ""
    return f"{base_url}/{'tasks' if about is About.RECOVERED else 'problems'}"
