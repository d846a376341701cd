"""Writes Sentinel-2 products in the layout and with the metadata of the provider's SAFE format, for tests."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import rasterio
from affine import Affine

BAND_IDS = ("B1", "B2", "B3", "B4", "B5", "B6", "B7", "B8", "B8A", "B9", "B10", "B11", "B12")

MAIN = """<?xml version="1.0" encoding="UTF-8" standalone="no"?>
<n1:Level-{level}_User_Product xmlns:n1="https://psd-14.sentinel2.eo.esa.int/PSD/User_Product_Level-{level}.xsd">
  <n1:General_Info>
    <Product_Info>
      <PRODUCT_START_TIME>{start}</PRODUCT_START_TIME>
      <PRODUCT_STOP_TIME>{start}</PRODUCT_STOP_TIME>
      <PRODUCT_URI>{name}.SAFE</PRODUCT_URI>
      <PROCESSING_LEVEL>Level-{level}</PROCESSING_LEVEL>
      <PRODUCT_TYPE>S2MSI{level}</PRODUCT_TYPE>
      <PROCESSING_BASELINE>{baseline}</PROCESSING_BASELINE>
      <GENERATION_TIME>{generation}</GENERATION_TIME>
      <Datatake datatakeIdentifier="{datatake}">
        <SPACECRAFT_NAME>{spacecraft}</SPACECRAFT_NAME>
        <DATATAKE_TYPE>INS-NOBS</DATATAKE_TYPE>
        <DATATAKE_SENSING_START>{start}</DATATAKE_SENSING_START>
        <SENSING_ORBIT_NUMBER>51</SENSING_ORBIT_NUMBER>
      </Datatake>
      <Product_Organisation><Granule_List><Granule imageFormat="JPEG2000">
{files}
      </Granule></Granule_List></Product_Organisation>
    </Product_Info>
    <Product_Image_Characteristics>
      <QUANTIFICATION_VALUES_LIST>
        <{boa}QUANTIFICATION_VALUE unit="none">{quantification}</{boa}QUANTIFICATION_VALUE>
        <AOT_QUANTIFICATION_VALUE unit="none">1000.0</AOT_QUANTIFICATION_VALUE>
      </QUANTIFICATION_VALUES_LIST>
{offsets}
    </Product_Image_Characteristics>
  </n1:General_Info>
  <n1:Geometric_Info>{footprint}</n1:Geometric_Info>
  <n1:Quality_Indicators_Info><Cloud_Coverage_Assessment>33.0</Cloud_Coverage_Assessment></n1:Quality_Indicators_Info>
</n1:Level-{level}_User_Product>
"""

TILE = """<?xml version="1.0" encoding="UTF-8" standalone="no"?>
<n1:Level-{level}_Tile_ID xmlns:n1="https://psd-14.sentinel2.eo.esa.int/PSD/S2_PDI_Level-{level}_Tile_Metadata.xsd">
  <n1:General_Info>
    <TILE_ID metadataLevel="Brief">S2A_OPER_MSI_L{level}_TL_2APS_{stamp}_A011057_T{mgrs}_N{baseline}</TILE_ID>
    <DATASTRIP_ID metadataLevel="Standard">{datastrip}</DATASTRIP_ID>
    <SENSING_TIME metadataLevel="Standard">{start}</SENSING_TIME>
  </n1:General_Info>
  <n1:Geometric_Info>
    <Tile_Geocoding metadataLevel="Brief">
      <HORIZONTAL_CS_NAME>WGS84 / UTM zone 31N</HORIZONTAL_CS_NAME>
      <HORIZONTAL_CS_CODE>{crs}</HORIZONTAL_CS_CODE>
      <Size resolution="10"><NROWS>{rows}</NROWS><NCOLS>{columns}</NCOLS></Size>
      <Size resolution="20"><NROWS>{rows20}</NROWS><NCOLS>{columns20}</NCOLS></Size>
      <Geoposition resolution="10"><ULX>{left}</ULX><ULY>{top}</ULY><XDIM>10</XDIM><YDIM>-10</YDIM></Geoposition>
      <Geoposition resolution="20"><ULX>{left}</ULX><ULY>{top}</ULY><XDIM>20</XDIM><YDIM>-20</YDIM></Geoposition>
    </Tile_Geocoding>
  </n1:Geometric_Info>
  <n1:Quality_Indicators_Info metadataLevel="Standard">
    <Image_Content_QI><CLOUDY_PIXEL_PERCENTAGE>{cloud}</CLOUDY_PIXEL_PERCENTAGE></Image_Content_QI>
  </n1:Quality_Indicators_Info>
</n1:Level-{level}_Tile_ID>
"""


@dataclass(frozen=True)
class Product:
    """What a product says of itself."""

    when: str = "2018-05-06T10:50:29.027Z"
    mgrs: str = "31UDS"
    baseline: str = "05.00"
    level: str = "2A"
    spacecraft: str = "Sentinel-2A"
    crs: str = "EPSG:32631"
    left: int = 501360
    top: int = 5629660
    shape: tuple[int, int] = (62, 64)
    """Rows and columns at 10 m."""
    cloud: float = 12.5
    offset: int | None = -1000
    """Offset of every band in digital numbers; None for no list of offsets."""
    quantification: int = 10_000
    footprint: tuple[tuple[float, float], ...] = ()
    """Longitude, latitude; empty for none."""
    generation: str = "2023-03-01T04:05:06.000000Z"
    texts: Mapping[str, str] = field(default_factory=dict)
    """Further changes of what the templates ask for; ``strip`` is the start of the datastrip."""

    @property
    def stamp(self) -> str:
        return self.when[:19].replace("-", "").replace(":", "")

    @property
    def name(self) -> str:
        made = self.generation[:19].replace("-", "").replace(":", "")
        orbit = f"N{self.baseline.replace('.', '')}_R051_T{self.mgrs}"
        return f"S2{self.spacecraft[-1]}_MSIL{self.level}_{self.stamp}_{orbit}_{made}"

    @property
    def granule(self) -> str:
        return f"GRANULE/L{self.level}_T{self.mgrs}_A011057_{self.stamp}"

    def path(self, band: str, size: int) -> str:
        """File of a band in the product."""
        if self.level == "1C":
            return f"{self.granule}/IMG_DATA/T{self.mgrs}_{self.stamp}_{band}.jp2"
        return f"{self.granule}/IMG_DATA/R{size}m/T{self.mgrs}_{self.stamp}_{band}_{size}m.jp2"


def write_product(folder: Path, product: Product, bands: Mapping[str, np.ndarray]) -> Path:
    """A product with these bands, each at 10, 20 or 60 m by its shape, lossless; the path of its ``.SAFE`` folder.

    ``MASK`` (3, y, x) is the mask of Level-1C: opaque cloud, cirrus, snow.
    """
    place = folder / f"{product.name}.SAFE"
    files = []
    for band, values in bands.items():
        size = 10 * product.shape[0] // values.shape[-2]
        if band == "MASK":
            mask = place / product.granule / "QI_DATA" / "MSK_CLASSI_B00.jp2"
            write_jp2(mask, values, Affine(size, 0, product.left, 0, -size, product.top), product.crs)
            continue
        path = place / product.path(band, size)
        write_jp2(path, values, Affine(size, 0, product.left, 0, -size, product.top), product.crs)
        files.append(f"        <IMAGE_FILE>{product.path(band, size).removesuffix('.jp2')}</IMAGE_FILE>")
    offsets = ""
    if product.offset is not None:
        tag = "BOA_ADD_OFFSET" if product.level == "2A" else "RADIO_ADD_OFFSET"
        table = "BOA_ADD_OFFSET_VALUES_LIST" if product.level == "2A" else "Radiometric_Offset_List"
        lines = (f'        <{tag} band_id="{k}">{product.offset}</{tag}>' for k in range(len(BAND_IDS)))
        offsets = "\n".join([f"      <{table}>", *lines, f"      </{table}>"])
    footprint = ""
    if product.footprint:
        numbers = " ".join(f"{latitude} {longitude}" for longitude, latitude in product.footprint)
        footprint = f"<Product_Footprint><EXT_POS_LIST>{numbers}</EXT_POS_LIST></Product_Footprint>"
    texts = {
        "level": product.level, "start": product.when, "stamp": product.stamp, "name": product.name, "mgrs": product.mgrs,
        "baseline": product.baseline, "generation": product.generation, "spacecraft": product.spacecraft,
        "datatake": f"GS2{product.spacecraft[-1]}_{product.stamp}_011057_N{product.baseline}", "files": "\n".join(files),
        "boa": "BOA_" if product.level == "2A" else "",
        "quantification": product.quantification, "offsets": offsets, "footprint": footprint, "crs": product.crs,
        "rows": product.shape[0], "columns": product.shape[1], "rows20": product.shape[0] // 2,
        "columns20": product.shape[1] // 2, "left": product.left, "top": product.top, "cloud": product.cloud, **product.texts,
    }  # fmt: skip
    strip = product.texts.get("strip")
    made = product.generation[:19].replace("-", "").replace(":", "")
    texts["datastrip"] = f"S2A_OPER_MSI_L2A_DS_2APS_{made}_S{strip}_N{product.baseline}" if strip else ""
    (place / product.granule).mkdir(parents=True, exist_ok=True)
    (place / f"MTD_MSIL{product.level}.xml").write_text(MAIN.format(**texts))
    (place / product.granule / "MTD_TL.xml").write_text(TILE.format(**texts))
    (place / "manifest.safe").write_text("<xfdu/>")
    return place


def write_jp2(path: Path, values: np.ndarray, transform: Affine, crs: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    layers = values.reshape(-1, *values.shape[-2:])
    kind = {"height": layers.shape[1], "width": layers.shape[2], "count": len(layers), "dtype": values.dtype}
    lossless = {"QUALITY": "100", "REVERSIBLE": "YES"}
    with rasterio.open(path, "w", driver="JP2OpenJPEG", crs=crs, transform=transform, **kind, **lossless) as target:
        target.write(layers)


def zipped(place: Path, folder: Path) -> Path:
    """The product as the provider packs it: its folder at the root of the archive, not compressed."""
    path = folder / f"{place.stem}.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for file in sorted(place.rglob("*")):
            archive.write(file, file.relative_to(place.parent))
    return path
