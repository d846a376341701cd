"""Reference maps, footprints and roads: read, fingerprinted, drawn."""
