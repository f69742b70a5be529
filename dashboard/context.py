"""What every door of this process shares: the catalogue, and the clock."""

from datetime import UTC, datetime
from functools import lru_cache

from db.engine import Catalogue, database_url_from_environment


@lru_cache(maxsize=1)
def catalogue() -> Catalogue:
    """The catalogue that the environment names, with one pool of connections for the whole process."""
    return Catalogue(database_url_from_environment(), pool_size=20, application_name="duetime-dashboard")


def now() -> datetime:
    """The present instant. Doors read it once a request and pass it on."""
    return datetime.now(UTC)
