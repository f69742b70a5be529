"""Agrees: intent goes down to Prefect, facts come up to the catalogue, every due time is accounted for."""
