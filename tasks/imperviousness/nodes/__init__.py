"""How the layers of imperviousness are made, one module an algorithm of the ATBD."""
