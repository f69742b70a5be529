"""Measurements. Not part of the test suite: they print figures and judge nothing."""
