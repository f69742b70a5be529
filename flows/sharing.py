"""Sharing: which of the workers of a pool tries first, so that many of them don't all claim everything. Pure.

By rendezvous: every worker comes to the same answer by itself, and who comes or goes changes its own share only.
"""

from collections.abc import Collection
from datetime import timedelta
from hashlib import blake2b
from uuid import UUID

TURN = timedelta(seconds=0.25)
"""For so long after the due time only the first in line claims; then whoever is there."""


def goes_first(worker_id: UUID, run_id: UUID, workers: Collection[UUID]) -> bool:
    """Whether this worker is the first in line for a run, among these and itself."""
    own = _weight(worker_id, run_id)
    return all(_weight(other, run_id) <= own for other in workers)


def _weight(worker_id: UUID, run_id: UUID) -> bytes:
    return blake2b(worker_id.bytes + run_id.bytes, digest_size=8).digest()
