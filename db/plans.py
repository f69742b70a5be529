"""How PostgreSQL plans: for the values at hand, or once for all values."""

from sqlalchemy import text
from sqlalchemy.orm import Session


def plan_for_values(session: Session) -> None:
    """Until the transaction ends, every statement is planned for its own values.

    For statements whose best plan depends on them: what is rare comes from an index of its own, what is common from
    the order that is wanted. A plan for all values, to which PostgreSQL changes after some times, knows neither.
    """
    session.execute(text("SET LOCAL plan_cache_mode = force_custom_plan"))
