"""Commands of crop types: learn a model, judge it, and classify a season of composites (docs/crops.md)."""
