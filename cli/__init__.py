"""Starts, stops and watches the parts of Duetime from the command line."""
