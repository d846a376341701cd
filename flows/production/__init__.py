"""A production of many tiles: waves, outcomes, signs of life, alerts."""
