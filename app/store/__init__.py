"""All SQL lives here: functions, session first. Nothing here commits, and nothing here knows HTTP."""
