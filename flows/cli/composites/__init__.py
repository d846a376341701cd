"""Commands of the product composites."""
