"""Template of a first production file of imperviousness (`imperv init`), with fields such as ``$tile``."""

STARTING_FILE = """\
# Production of tile $tile ($countries), begun by `imperv init`.
#
# Edit the lines marked EDIT; the others are right for most productions. Lines such as #workers = 4 are suggestions: remove
# the # to use one. Relative paths start from the folder of this file.
#
#     imperv config check $name     shows what is still wrong
#     imperv plan -c $name          shows what would run, and its cost
#     imperv run -c $name           makes the maps; may be stopped and run again at any time
#
# `imperv config settings` prints all settings.

tiles = ["$tile"]          # more tiles: ["$tile", "$other"]; a whole list: "eea38-2024"; or the tiles of countries:
#countries = ["$country"]         # (then remove the line above)
store = "store"             # folder of layers and products, or s3://bucket/prefix

[periods]                   # calendar years, or any twelve months such as "2017-08-01/2018-07-31"
then = "2018"               # EDIT: the year that the maps under [references] show
now = "2021"                # EDIT: the year to map

# A window for a first trial: $edge km of the tile. Choose a place with a town.
#[area]
#bbox = [$bbox]     # left, bottom, right, top in metres of EPSG:3035

[scenes]                    # Sentinel-2 Level-2A
catalogue = "https://earth-search.aws.element84.com/v1"     # a STAC API, item files, or a folder of SAFE products
collection = "sentinel-2-l2a"

#[scenes.access]            # only for object stores that need keys
#profile = "cdse"           # AWS profile; keys in the environment work too
#endpoint_url = "https://eodata.dataspace.copernicus.eu"

[references]                # maps of earlier productions (https://land.copernicus.eu); {tile} in a path is the name of the tile
imd_then = "reference/imd_then.tif"             # EDIT: HRL Imperviousness Density of `then`, 0 to 100 %, 10 m
ibu_then = "reference/ibu_then.tif"             # EDIT: HRL Impervious Built-up of `then`, 0 and 1, 10 m
clcplus_then = "reference/clcplus_then.tif"     # EDIT: CLCplus Backbone of `then`, 10 m
clcplus_now = "reference/clcplus_now.tif"       # EDIT: CLCplus Backbone of `now`; without it remove the line, and name
#roads = ["reference/roads.gpkg"]               #       roads of OpenStreetMap
footprints = ["reference/footprints.gpkg"]      # EDIT: building footprints of `then`: files, folders, "osm/*.gpkg"

[engine]
memory = "8 GiB"            # limit
#workers = 4                # blocks at once; default: one a processor

#[delivery.contact]         # EDIT before a delivery: contact of the metadata
#organisation = "Example Agency"
#email = "maps@example.org"

#[parameters.unet]          # parameters of an algorithm; the defaults are those of the method
#epochs = 8                 # for a quick trial; default 20
"""
