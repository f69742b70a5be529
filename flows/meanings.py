"""What an error of PostgreSQL or Prefect means for a worker: wait, leave one item out, or mend the code."""

from db import sqlstates
from db.errors import Unavailable
from db.prefect_answers import PrefectRefused
from db.sqlstates import Meaning


def meaning_of(error: BaseException) -> Meaning:
    """What an error means for whoever made the call. Pure."""
    if isinstance(error, Unavailable):
        return Meaning.AWAY
    return Meaning.REFUSED if isinstance(error, PrefectRefused) else sqlstates.meaning_of(error)
