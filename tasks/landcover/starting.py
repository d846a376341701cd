"""The production file of land cover to begin with (`imperv init --product landcover`)."""

STARTING_FILE = """\
# Urban land cover of tile $tile ($countries), begun by `imperv init --product landcover`.
#
# Edit the lines marked EDIT. Relative paths start from the folder of this file.
#
#     imperv plan -c $name                          shows what would run, and its cost
#     imperv run -c $name                           makes the base map; may be stopped and run again at any time
#     imperv landcover tune $tile -c $name -p FILE  tunes it with your polygons, round after round
#     imperv package $tile -c $name                 zips the map with style, summary and metadata

product = "landcover"
tiles = ["$tile"]
store = "store"             # folder of layers and products, or s3://bucket/prefix

[periods]
span = "2021-06"            # EDIT: a month, or days such as "2021-05-15/2021-07-15"

# A window for a first trial: $edge km of the tile.
[area]
bbox = [$bbox]     # left, bottom, right, top in metres of EPSG:3035

[scenes]                    # Sentinel-2 Level-2A
catalogue = "https://earth-search.aws.element84.com/v1"     # a STAC API, item files, or a folder of SAFE products
collection = "sentinel-2-l2a"

[references]                # what the base model learns from; without any, import a model: imperv model import
clcplus = "clcplus.tif"     # EDIT: CLC+ Backbone
#density = "imd.tif"        # imperviousness density of any production
#footprints = ["buildings.gpkg"]

[engine]
memory = "8 GiB"            # limit

[parameters.unet]
features = "urban24"        # reads the scenes of the whole year; "urban15" those of the span alone

#[parameters.sharpening]
#method = "regression"      # the fast way, without networks of super-resolution
"""
