"""Loops that never end silently: whatever runs for long in a process of this system is run from here.

What a step raises is logged, counted and tried again after a growing pause, whatever it is: somebody always raises what
nobody thought of, and a process whose loop has ended looks alive. A loop that cannot be revived ends its process, which
is then started again by whoever keeps it: a supervisor, systemd, a container's runtime.

A step does one round of the work and returns; it keeps what it did not get done, for the next one. `pause_seconds` pass
between two steps, unless `wake` is set meanwhile. How many failures there were is told by `failures()`.
"""

from db.loops.event_loop import awaited, beside, insist, start
from db.loops.records import end_process, failures, record_of, take_unreported
from db.loops.threads import ThreadLoop, thread

__all__ = [
    "ThreadLoop",
    "awaited",
    "beside",
    "end_process",
    "failures",
    "insist",
    "record_of",
    "start",
    "take_unreported",
    "thread",
]
