"""The reconciler's clock, by which every pass is made."""

from db.clock import Clock

CLOCK = Clock()
now = CLOCK.now
