"""INSPIRE metadata of a product: ISO 19139 XML with all elements of the EEA's sample, lineage from the records."""

from __future__ import annotations

from dataclasses import dataclass

from imperv.layers.palette import OUTSIDE, Palette
from imperv.tasks.delivery.templating import fill
from imperv.tasks.imperviousness.products.facts import NAMES, EEAProduct


@dataclass(frozen=True)
class Keywords:
    """Keywords of one thesaurus; the free ones have none."""

    words: tuple[tuple[str, str], ...]
    """(word, address); an empty address where it has none."""
    type: str = "theme"
    title: str = ""
    href: str = ""
    day: str = ""
    """Day of its publication."""


THEME = Keywords(
    (("Land cover", "http://inspire.ec.europa.eu/theme/lc"),),
    "theme", "GEMET - INSPIRE themes, version 1.0", "http://www.eionet.europa.eu/gemet/inspire_themes", "2008-06-01",
)  # fmt: skip
SCOPE = Keywords(
    (("European", "http://inspire.ec.europa.eu/metadata-codelist/SpatialScope/european"),),
    "theme", "Spatial scope", "http://inspire.ec.europa.eu/metadata-codelist/SpatialScope", "2019-05-22",
)  # fmt: skip

WORDS = ("imperviousness", "soil sealing", "built-up", "Copernicus Land Monitoring Service")
"""Free keywords of every product."""


@dataclass(frozen=True)
class Conformance:
    """Result of a conformance test."""

    title: str
    href: str
    day: str
    kind: str
    """Type of the date: publication or creation."""
    explanation: str
    ok: bool | None
    """None where it was not evaluated."""


def metadata_xml(product: EEAProduct, checks: tuple[str, ...]) -> str:
    """``gmd:MD_Metadata`` of a product that passes `checks`, ISO 19139 (GML 3.2); without a contact its fields say "missing"."""
    words = (*WORDS, *product.seen_by.split(" and "), NAMES[product.part], product.part, str(product.tile))
    conformance = (
        # Products are delivered in the EEA's form and not in that of INSPIRE's data specification.
        Conformance(
            "Commission Regulation (EU) No 1089/2010 of 23 November 2010 implementing Directive 2007/2/EC of the European "
            "Parliament and of the Council as regards interoperability of spatial data sets and services",
            "http://data.europa.eu/eli/reg/2010/1089", "2010-12-08", "publication", "not evaluated", None,
        ),
        Conformance(
            "EEA delivery check of HRL Imperviousness tiles", "", product.created[:10], "creation",
            f"passed: {', '.join(checks)}", True,
        ),
    )  # fmt: skip
    return fill(
        "metadata.xml",
        product=product,
        contact=product.settings.contact,
        keywords=(THEME, SCOPE, Keywords(tuple((word, "") for word in words))),
        codes=_codes(product.palette),
        conformance=conformance,
    )


def _codes(palette: Palette) -> str:
    """The codes of a layer in one line: anchors of quantities, all codes of classes."""
    shown = palette.anchors or tuple(code for code in palette.codes if code != OUTSIDE)
    return "; ".join(f"{code} {palette.meaning(code)}" for code in (*shown, OUTSIDE))
