"""What would run, and what it takes."""
