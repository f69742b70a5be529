"""The REST API: what programs do with tasks, runs and the ledger."""
