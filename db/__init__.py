"""Remembers: the catalogue of tasks, due times, runs and logs in PostgreSQL, and the pure values it is made of."""
