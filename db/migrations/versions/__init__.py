"""One module a migration; the SQL stands beside it where it is long."""
