"""The server's application: Prefect's own, but for how often it looks for time zones."""

import subprocess
import sys

PROGRAM = """
import zoneinfo
names = set(zoneinfo.available_timezones())
from flows.prefect_app import create_app
from prefect.server.schemas.schedules import CronSchedule
for zone in ("Europe/Berlin", "America/New_York") * 5:
    assert CronSchedule(cron="0 2 * * *", timezone=zone).timezone == zone
try:
    CronSchedule(cron="0 2 * * *", timezone="Europe/Atlantis")
except ValueError as error:
    assert "Invalid timezone" in str(error), error
else:
    raise AssertionError("it takes any name")
assert set(zoneinfo.available_timezones()) == names
assert zoneinfo.available_timezones.cache_info().misses == 1, zoneinfo.available_timezones.cache_info()
assert zoneinfo.available_timezones.cache_info().hits > 10
assert create_app().title == "Prefect Server"
"""


def test_it_looks_for_time_zones_once_and_refuses_what_is_none() -> None:
    subprocess.run([sys.executable, "-c", PROGRAM], check=True, timeout=120)
