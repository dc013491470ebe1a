"""Hears check-ins: the hot path from a ping URL to a committed row."""
