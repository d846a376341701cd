"""The production file of crops to begin with (`imperv init --product crops`)."""

STARTING_FILE = """\
# Crop types of tile $tile ($countries), begun by `imperv init --product crops`.
#
# Edit the lines marked EDIT. Relative paths start from the folder of this file.
#
#     imperv crops train DATA --monthly -o crops.keras      learns a model from samples of yours
#     imperv plan -c $name          shows what would run, and its cost
#     imperv run -c $name           makes months and map; may be stopped and run again at any time

product = "crops"
tiles = ["$tile"]
store = "store"             # folder of layers and products, or s3://bucket/prefix

[periods]
span = "2020-09-01/2021-08-31"      # EDIT: twelve months that begin as the model's season does

# A window for a first trial: $edge km of the tile.
[area]
bbox = [$bbox]     # left, bottom, right, top in metres of EPSG:3035

[scenes]                    # Sentinel-2 Level-2A
catalogue = "https://earth-search.aws.element84.com/v1"     # a STAC API, item files, or a folder of SAFE products
collection = "sentinel-2-l2a"

[references]
model = "crops.keras"       # EDIT: model with its record, crops.keras.json
#mask = "fields.tif"        # 0 is classified, all other ground is not

[engine]
memory = "8 GiB"            # limit

[parameters.map]
majority = 0                # edge of the majority filter, pixels, such as 3; 0 for none
"""
