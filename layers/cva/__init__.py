"""Change vector analysis of two dates: noise of unchanged ground, change vectors, thresholds, classes in the polar plane."""
