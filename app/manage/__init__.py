"""People and programs in charge of monitors and channels."""
