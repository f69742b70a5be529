"""Tasks to begin with. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Template:
    """A task that works as it is. Its `document` lacks the time zone, which is the reader's."""

    icon: str
    title: str
    text: str
    cron: str
    document: Mapping[str, Any]

    def in_zone(self, zone: str) -> dict[str, Any]:
        """The members of a task's document that it fills."""
        return {**self.document, "schedule": {"kind": "cron", "cron": self.cron, "timezone": zone}}


TEMPLATES: Mapping[str, Template] = {
    "shell": Template(
        "terminal",
        "Run a command",
        "A backup, a clean-up, a report: anything that a shell can start. This one says hello every minute.",
        "* * * * *",
        {
            "name": "Say hello",
            "kind": "shell",
            "action": {"command": 'echo "Hello. This was due at $DUETIME_DUE_AT, and it is now:"\ndate'},
        },
    ),
    "http": Template(
        "public",
        "Call an address",
        "Ping a service or trigger a webhook, and see what it answered. This one asks example.org every five minutes.",
        "*/5 * * * *",
        {
            "name": "Ask example.org",
            "kind": "http",
            "action": {"method": "GET", "url": "https://example.org/"},
        },
    ),
    "python": Template(
        "code",
        "Call a Python function",
        "A function of any installed package, with keyword arguments. This one looks every hour how full the disk is.",
        "0 * * * *",
        {
            "name": "Disk space",
            "kind": "python",
            "action": {"callable": "shutil:disk_usage", "kwargs": {"path": "/"}},
        },
    ),
}
