"""The schema, step by step: numbered, readable in order."""
