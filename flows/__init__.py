"""Runs: what a worker machine executes, and the work-pool worker that executes it."""
