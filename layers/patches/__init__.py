"""Classes of the pixels of patches of Sentinel-2: network, pretraining on dates, labels, split by ground, maps of windows."""
