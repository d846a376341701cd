"""The science: one module an ATBD section, pure functions on arrays; and the catalogue of layers, which is the graph."""
