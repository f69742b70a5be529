"""Time zones by name, also by names that the tz database of this machine does not have, or not any more. Pure."""

from datetime import UTC, tzinfo
from zoneinfo import ZoneInfo


def zone_or_utc(name: str) -> tzinfo:
    """For showing instants: in a zone that is not known they are shown in UTC."""
    try:
        return ZoneInfo(name)
    except (ValueError, OSError, KeyError):  # not a name at all, a folder, not there
        return UTC
