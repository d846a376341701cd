"""Commands of super-resolution alone."""
