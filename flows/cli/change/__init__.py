"""Commands of change alone."""
