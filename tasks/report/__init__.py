"""Parts of HTML reports: pages, maps and thinned pixels; self-contained, without a network."""
