"""The report of a tile and of a production of imperviousness."""
