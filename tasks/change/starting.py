"""The production file of change to begin with (`imperv init --product change`)."""

STARTING_FILE = """\
# Change of tile $tile ($countries) between two dates, begun by `imperv init --product change`.
#
# Edit the lines marked EDIT. Relative paths start from the folder of this file.
#
#     imperv plan -c $name          shows what would run, and its cost
#     imperv run -c $name           makes the maps; may be stopped and run again at any time
#
# For two scenes and one folder, `imperv s2 change` needs no production file.

product = "change"
tiles = ["$tile"]
store = "store"             # folder of layers and products, or s3://bucket/prefix

[periods]
first = "2018-06-28"        # EDIT: two dates with a clear look, best of one season
second = "2021-06-27"       # EDIT

# A window for a first trial: $edge km of the tile.
[area]
bbox = [$bbox]     # left, bottom, right, top in metres of EPSG:3035

[scenes]                    # Sentinel-2 Level-2A
catalogue = "https://earth-search.aws.element84.com/v1"     # a STAC API, item files, or a folder of SAFE products
collection = "sentinel-2-l2a"

[engine]
memory = "8 GiB"            # limit

[parameters.vectors]
bands = ["B02", "B03", "B04", "B08"]

[parameters.threshold]
confidence = 99.99          # percent; the rest is the nominal share of false alarms
#method = "student"         # without quiet pairs of dates

[parameters.classes]
number = 4
"""
