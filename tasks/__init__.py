"""One task a node of the graph: opens the inputs, calls the science block by block, writes the layer and its record."""
