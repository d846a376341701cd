"""The production file of composites to begin with (`imperv init --product composites`)."""

STARTING_FILE = """\
# Composites of tile $tile ($countries), begun by `imperv init --product composites`.
#
# Edit the lines marked EDIT. Relative paths start from the folder of this file.
#
#     imperv plan -c $name          shows what would run, and its cost
#     imperv run -c $name           makes the composites; may be stopped and run again at any time

product = "composites"
tiles = ["$tile"]
store = "store"             # folder of layers and products, or s3://bucket/prefix

[periods]
span = "2020-09-01/2021-08-31"      # EDIT: months A to L begin on its first day; or any other span, such as "2021-06"

# A window for a first trial: $edge km of the tile.
[area]
bbox = [$bbox]     # left, bottom, right, top in metres of EPSG:3035

[scenes]                    # Sentinel-2 Level-2A
catalogue = "https://earth-search.aws.element84.com/v1"     # a STAC API, item files, or a folder of SAFE products
collection = "sentinel-2-l2a"

[engine]
memory = "8 GiB"            # limit

[parameters.composites]
monthly = true              # the median of the clear looks of each month
metrics = true              # minimum, quartiles and maximum of the clear looks of the span
fill = false                # fill gaps of a month from the months around, and mark them
"""
