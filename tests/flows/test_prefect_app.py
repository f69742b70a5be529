"""The server's application: Prefect's own, but for how often it looks for time zones."""

import os
import subprocess
import sys

AUTH = "PREFECT_SERVER_API_AUTH_STRING"
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
assert callable(create_app())
"""


def test_it_looks_for_time_zones_once_and_refuses_what_is_none() -> None:
    subprocess.run([sys.executable, "-c", PROGRAM], check=True, timeout=120, env=os.environ | {AUTH: "duetime:string"})


def test_it_does_not_start_without_a_string_to_ask_for() -> None:
    program = "from flows.prefect_app import create_app; create_app()"
    environ = {name: value for name, value in os.environ.items() if name != AUTH}
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120, env=environ)
    assert ended.returncode == 1
    assert ended.stderr.startswith(f"{AUTH} is not set.")
