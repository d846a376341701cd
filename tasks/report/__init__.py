"""Reports for people: one HTML file a tile, and one for a whole production; self-contained, without a network.

Data are gathered from records (`facts`) and thinned pixels (`pixels`), drawn (`maps`, `charts`) and put into templates (`page`).
"""
