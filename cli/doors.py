"""What `duetime up` has to know of accounts: whether there is an admin, and the link by which the first one is made.

By psycopg alone: the supervisor, which lives long, is not to hold SQLAlchemy in memory for this.
"""

from datetime import UTC, datetime, timedelta

from db.connections import connect
from db.tokens import new_token, token_hash

LASTS = timedelta(hours=24)


def there_is_an_admin(url: str) -> bool:
    """Whether somebody could sign in and let others in."""
    with connect(url, application_name="duetime-up") as connection:
        row = connection.execute(
            "SELECT EXISTS (SELECT FROM accounts WHERE role = 'admin' AND NOT disabled)"
        ).fetchone()
    return bool(row and row[0])


def invitation(url: str) -> str | None:
    """The token of a link that lets somebody make the first account, once; those before it are void.

    None where there are accounts: nobody is to come in without one.
    """
    token = new_token()
    with connect(url, application_name="duetime-up") as connection:
        connection.execute("DELETE FROM invitations")
        if connection.execute("SELECT FROM accounts LIMIT 1").fetchone() is not None:
            return None
        connection.execute("INSERT INTO invitations VALUES (%s, %s)", [token_hash(token), datetime.now(UTC) + LASTS])
    return token
