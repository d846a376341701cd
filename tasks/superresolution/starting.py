"""The production file of super-resolution to begin with (`imperv init --product superresolution`)."""

STARTING_FILE = """\
# Super-resolution of tile $tile ($countries), begun by `imperv init --product superresolution`.
#
# Edit the lines marked EDIT. Relative paths start from the folder of this file.
#
#     imperv plan -c $name          shows what would run, and its cost
#     imperv run -c $name           makes the maps; may be stopped and run again at any time
#
# For one scene and one file, `imperv sharpen` needs no production file.

product = "superresolution"
tiles = ["$tile"]
store = "store"             # folder of layers and products, or s3://bucket/prefix

[periods]
span = "2021-06"            # EDIT: a date, a month, or days such as "2021-05-15/2021-07-15"

# A window for a first trial: $edge km of the tile.
[area]
bbox = [$bbox]     # left, bottom, right, top in metres of EPSG:3035

[scenes]                    # Sentinel-2 Level-2A
catalogue = "https://earth-search.aws.element84.com/v1"     # a STAC API, item files, or a folder of SAFE products
collection = "sentinel-2-l2a"

[engine]
memory = "8 GiB"            # limit

[parameters.input]
kind = "clearest"           # the clearest overpass of the span; or "mosaic", the median of its clear looks

[parameters.sharpening]
to = 10                     # metres: 10, or 5
#method = "regression"      # the fast way, without networks
#tune = true                # train the networks on with the scene itself
"""
