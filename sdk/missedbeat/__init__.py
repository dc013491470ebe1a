"""Missedbeat tells you when a scheduled job does not run. `missedbeat.celery.instrument(app)` is the one line for Celery."""

from __future__ import annotations

from missedbeat.monitor import Monitor

__all__ = ["Monitor", "__version__"]

__version__ = "0.1.0"
