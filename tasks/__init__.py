"""One task a node of the graph: opens the inputs, calls the science block by block, writes the layer and its record."""

from imperv.tasks.settings.surroundings import put_right

put_right()  # before anything imports rasterio, Numba or matplotlib
