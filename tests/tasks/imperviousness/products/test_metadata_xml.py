"""INSPIRE metadata held against the ISO 19139 schemas, and read by a reader of others."""

from importlib.util import find_spec
from pathlib import Path

import pytest
from lxml import etree
from owslib.iso import MD_Metadata

from imperv.tasks.delivery.delivery import delivered_symbols
from imperv.tasks.imperviousness.products.metadata_xml import metadata_xml
from tests.support.delivered import CONTACT, product

NS = {
    "gmd": "http://www.isotc211.org/2005/gmd",
    "gco": "http://www.isotc211.org/2005/gco",
    "gmx": "http://www.isotc211.org/2005/gmx",
    "gml": "http://www.opengis.net/gml/3.2",
}
CHECKS = ("naming", "epsg", "value")


@pytest.fixture(scope="module")
def schema():
    """The schemas of ISO 19139 of 2007, with GML 3.2.1."""
    # Found and not imported: pycsw asks for packages that are nothing to its schemas.
    folder = Path(find_spec("pycsw").submodule_search_locations[0]) / "plugins/profiles/apiso/schemas/ogc/iso/19139/20070417"
    imports = "".join(
        f'<xs:import namespace="{NS[n]}" schemaLocation="{(folder / n / n).as_uri()}.xsd"/>' for n in ("gmd", "gmx")
    )
    text = f'<xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema">{imports}</xs:schema>'
    return etree.XMLSchema(etree.fromstring(text, base_url=folder.as_uri()))


def tree(text):
    return etree.fromstring(text.encode())


def read(text):
    return MD_Metadata(tree(text))


@pytest.mark.parametrize("settings", [{}, {"contact": CONTACT, "licence": "CC-BY-4.0", "conditions": "Free & open"}])
@pytest.mark.parametrize("symbol", ["IMD_now", "IMDC", "SBCC"])
def test_valid_by_the_schemas(schema, symbol, settings):
    schema.assertValid(tree(metadata_xml(product(symbol, **settings), CHECKS)))


def test_the_schemas_see_mistakes(schema):
    """The test above is worth nothing if they let everything by."""
    text = metadata_xml(product(), CHECKS)
    for wrong in (
        text.replace("gmd:abstract", "gmd:abstrakt"),
        text.replace("<gco:Date>2026-01-02<", "<gco:Date>yesterday<"),
        text.replace("<gco:Integer>200<", "<gco:Integer>many<"),
    ):
        assert wrong != text
        assert not schema.validate(tree(wrong))


def test_what_the_good_sample_has():
    found = read(metadata_xml(product("IMDC", contact=CONTACT, conditions="Free & open"), CHECKS))
    name = "CLMS_HRLNVLCC_IMDC_C2018-2021_R20m_E43N32_03035_V01_R00"
    assert (found.identifier, found.hierarchy, found.languagecode, found.charset) == (name, "dataset", "eng", "utf8")
    assert (found.parentidentifier, found.datestamp, found.stdname) == (
        "CLMS_HRLNVLCC_2018-2021_V01_R00",
        "2026-01-02",
        "ISO 19115",
    )
    assert found.referencesystem.code == "EPSG:3035"
    for contact in (found.contact[0], found.identificationinfo[0].contact[0]):
        assert (contact.organization, contact.email) == (CONTACT["organisation"], CONTACT["email"])
        assert (contact.onlineresource.url, contact.role) == (CONTACT["website"], "pointOfContact")
    about = found.identificationinfo[0]
    assert about.title == "High Resolution Layer Imperviousness Change 2018-2021, raster 20 m, tile E43N32"
    assert about.abstract.startswith("Change of the imperviousness density between the two years")
    assert (about.uricode, about.edition) == ([name], "V01_R00")
    assert [(d.date, d.type) for d in about.date] == [("2026-01-02", "creation")]
    assert (about.topiccategory, about.resourcelanguagecode) == (["imageryBaseMapsEarthCover", "environment"], ["eng"])
    assert (about.distance, about.uom) == (["20"], ["m"])
    assert about.accessconstraints == ["otherRestrictions"]
    assert about.otherconstraints == ["Free & open"]
    assert (about.temporalextent_start, about.temporalextent_end) == ("2018-01-01", "2021-12-31")
    box = about.extent.boundingBox
    assert 9.6 < float(box.minx) < float(box.maxx) < 9.8
    assert 52.7 < float(box.miny) < float(box.maxy) < 52.9
    thesauri = {k.thesaurus["title"]: k.keywords for k in about.keywords2 if k.thesaurus}
    assert thesauri["GEMET - INSPIRE themes, version 1.0"] == ["Land cover"]
    assert thesauri["Spatial scope"] == ["European"]
    assert found.dataquality.conformancetitle == ["EEA delivery check of HRL Imperviousness tiles"]
    assert found.dataquality.lineage == "Made from <many> scenes & maps."


def test_lineage_is_told_step_by_step():
    root = tree(metadata_xml(product(), CHECKS))
    steps = root.findall(".//gmd:LI_ProcessStep", NS)
    assert [s.findtext("gmd:description/gco:CharacterString", namespaces=NS) for s in steps] == [
        "RMSD: deviation of the curves; a < b"
    ]
    assert steps[0].findtext("gmd:dateTime/gco:DateTime", namespaces=NS) == "2026-01-02T03:04:05Z"
    sources = root.findall(".//gmd:LI_Source/gmd:description/gco:CharacterString", NS)
    assert [s.text for s in sources] == ["Sentinel-2 L2A of now: 12 scenes", "CLCplus Backbone, now"]


def test_conformance_with_inspire_is_not_claimed():
    results = tree(metadata_xml(product(), CHECKS)).findall(".//gmd:DQ_ConformanceResult", NS)
    passed = [r.findtext("gmd:pass/gco:Boolean", namespaces=NS) for r in results]
    assert passed == [None, "true"]
    assert "1089/2010" in results[0].findtext(".//gmx:Anchor", namespaces=NS)
    assert results[1].findtext("gmd:explanation/gco:CharacterString", namespaces=NS) == "passed: naming, epsg, value"


def test_nobody_is_made_up_where_the_production_names_nobody():
    text = metadata_xml(product(), CHECKS)
    assert text.count('<gmd:organisationName gco:nilReason="missing"/>') == 2
    assert "@" not in text
    assert "conditionsUnknown" in text


@pytest.mark.parametrize("symbol", delivered_symbols())
def test_every_layer_has_words(symbol):
    found = read(metadata_xml(product(symbol), CHECKS)).identificationinfo[0]
    assert str(product(symbol).layer.resolution) in found.title
    assert len(found.abstract) > 100
    assert found.abstract.count("technical part") == product(symbol).part.endswith("S")
