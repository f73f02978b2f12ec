"""Counters, statistics of a session, reports of the page, and the event log."""
