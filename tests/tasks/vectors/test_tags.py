"""What attributes tell of shapes, whatever form they come in: OpenStreetMap, Geofabrik, Overture, cadastres."""

from __future__ import annotations

import json

import numpy as np
import pyarrow as pa
import pytest

from imperv.tasks.vectors.tags import NO_BUILDING, UNDER_GROUND, known, of_columns, of_texts

OSM = {
    "osm_id": ["1", "2", "3", "4", "5", "6", "7", "8", "9"],
    "building": ["yes", "no", None, "house", "yes", "yes", "yes", None, "yes"],
    "building:part": [None, None, None, None, None, None, None, "yes", None],
    "layer": ["0", None, None, "-1", "1", None, "-1.0", None, "minus"],
    "level": [None, None, None, None, "-1;0", "-2;-1", None, None, None],
    "location": [None, None, None, None, None, "roof", None, None, "Underground "],
    "landuse": [None, None, "residential", None, None, None, None, None, None],
    "name": ["-1"] * 9,
}
TOLD = [0, NO_BUILDING, NO_BUILDING, UNDER_GROUND, 0, UNDER_GROUND, UNDER_GROUND, 0, UNDER_GROUND]


def told(table: dict) -> list[int]:
    batch = pa.RecordBatch.from_pydict(table)
    return of_columns(batch, known(batch.schema.names)).tolist()


def test_tags_of_openstreetmap_as_columns():
    assert told(OSM) == TOLD
    assert "name" not in known(OSM) and known(["geometry", "height"]) == []


def test_the_same_as_properties_of_geojson():
    rows = [{key: values[k] for key, values in OSM.items() if values[k] is not None} for k in range(9)]
    texts = [json.dumps({"type": "Feature", "properties": row, "geometry": None}).encode() for row in rows]
    found = of_texts(np.array(texts, object)).tolist()
    assert found[:8] == TOLD[:8]
    assert of_texts(np.array([text.replace(b" ", b"") for text in texts], object)).tolist()[:8] == TOLD[:8]
    assert of_texts(np.array([b'{"properties": {"height": -1.0, "confidence": -1.0}}'] * 3, object)).tolist() == [0, 0, 0]


def test_the_same_as_maps_and_as_text_of_tags():
    """Extracts of QuackOSM have maps, those of GDAL hstore, others JSON."""
    rows = [
        {"building": "yes", "layer": "-1"},
        {"building": "yes", "location": "underground"},
        {"building": "yes"},
        {"building": "no"},
    ]
    maps = pa.array([list(row.items()) for row in rows], pa.map_(pa.string(), pa.string()))
    batch = pa.RecordBatch.from_arrays([maps], ["tags"])
    assert of_columns(batch, ["tags"]).tolist() == [UNDER_GROUND, UNDER_GROUND, 0, NO_BUILDING]
    hstore = ['"height"=>"3","layer"=>"-1"', '"location"=>"underground"', '"layer"=>"1","level"=>"0"', None]
    assert told({"building": ["yes"] * 4, "other_tags": hstore}) == [UNDER_GROUND, UNDER_GROUND, 0, 0]
    assert told({"tags": [json.dumps(row) for row in rows[:3]]}) == [UNDER_GROUND, UNDER_GROUND, 0]


@pytest.mark.parametrize(
    ("column", "values"),
    [
        ("is_underground", [True, False, None]),
        ("level", pa.array([-1, 0, None], pa.int32())),
        ("level", pa.array([-1.0, -0.0, np.nan])),
        ("relatieveHoogteligging", pa.array([-1, 0, 1], pa.int16())),
        ("hoogtelig", ["-1", "0", None]),
        ("lage_zur_erdoberflaeche", pa.array([1200, 1400, None], pa.int32())),
        ("lageZurErdoberflaeche", ["1200", "1400", None]),
        ("ofl__bez", ["Unter der Erdoberfläche", "Aufgeständert", None]),
        ("location", pa.array(["underground", "overground", None]).dictionary_encode()),
    ],
)
def test_other_names_of_under_ground(column, values):
    assert told({column: values}) == [UNDER_GROUND, 0, 0]


def test_classes_of_geofabrik():
    assert told({"fclass": ["building", "residential", None]}) == [0, NO_BUILDING, NO_BUILDING]


def test_what_means_something_else_is_let_be():
    """A layer of a drawing, a structure named like a tag, a name of the building where there is nothing of OpenStreetMap."""
    assert told({"layer": ["walls", "", None], "location": ["Gent", "-1", None], "building": ["Town hall", None, ""]}) == [
        0,
        0,
        0,
    ]
    assert told({"level": [{"a": -1}, None, None]}) == [0, 0, 0]
