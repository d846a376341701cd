// The map: EPSG:3035 as the pixels are, so that nothing is warped and every pixel has the colour of its code.

/* global ol, proj4 */

import { BASE } from "./server.js";

export const CRS = "EPSG:3035";
const WHOLE = [2_400_000, 1_300_000, 7_500_000, 5_500_000];

export function makeMap(site, target) {
  proj4.defs(CRS, "+proj=laea +lat_0=52 +lon_0=10 +x_0=4321000 +y_0=3210000 +ellps=GRS80 +units=m +no_defs +type=crs");
  ol.proj.proj4.register(proj4);
  ol.proj.get(CRS).setExtent([-2_000_000, -1_000_000, 10_500_000, 7_000_000]);
  ol.proj.get(CRS).setWorldExtent([-35, 22, 75, 76]); // of the graticule
  const { coarsest, deepest } = site.pyramid;
  const resolutions = [];
  // Two levels beyond the deepest: pixels as squares.
  for (let z = 2; z <= deepest + 2; z += 1) resolutions.push(coarsest / 2 ** z);
  const place = new ol.control.MousePosition({
    className: "place", placeholder: "",
    coordinateFormat: ([x, y]) => {
      const [longitude, latitude] = ol.proj.toLonLat([x, y], CRS);
      return `${Math.round(x)} ${Math.round(y)} · ${latitude.toFixed(5)} ${longitude.toFixed(5)}`;
    },
  });
  return new ol.Map({
    target,
    keyboardEventTarget: target,
    pixelRatio: Math.max(1, Math.round(window.devicePixelRatio)),
    layers: background(),
    controls: [new ol.control.Zoom(), new ol.control.ScaleLine({ minWidth: 80 }), place],
    interactions: ol.interaction.defaults.defaults({ altShiftDragRotate: false, pinchRotate: false }),
    view: new ol.View({
      projection: CRS, resolutions, constrainResolution: true, enableRotation: false, center: [4_321_000, 3_210_000],
      resolution: 5120, extent: [-500_000, 0, 8_500_000, 6_500_000], constrainOnlyCenter: true, showFullExtent: true,
    }),
  });
}

/** Move the view by less than a pixel, so that pixels of the screen and of the layers are the same. */
export function align(map) {
  const view = map.getView();
  const size = map.getSize();
  const resolution = view.getResolution();
  if (!size || view.getAnimating() || view.getInteracting()) return;
  const center = view.getCenter().map((value, axis) => {
    const half = (size[axis] % 2) / 2;
    return (Math.round(value / resolution - half) + half) * resolution;
  });
  if (center.some((value, axis) => Math.abs(value - view.getCenter()[axis]) > 1e-6)) view.setCenter(center);
}

function background() {
  const land = new ol.layer.Vector({
    source: new ol.source.Vector({ url: "/static/data/europe.json", format: new ol.format.GeoJSON({ dataProjection: CRS, featureProjection: CRS }) }),
    style: { "fill-color": "#f7f6f2", "stroke-color": "#a9b2b8", "stroke-width": 1 },
    zIndex: -3,
  });
  const lines = new ol.layer.Graticule({
    strokeStyle: new ol.style.Stroke({ color: "rgba(70,90,105,0.35)", width: 1, lineDash: [2, 4] }),
    showLabels: true, wrapX: false, zIndex: -2, targetSize: 190,
    lonLabelPosition: 0.03, latLabelPosition: 0.99,
    lonLabelStyle: label("bottom"), latLabelStyle: label("middle", "end"),
  });
  return [land, lines];
}

function label(textBaseline, textAlign = "center") {
  return new ol.style.Text({
    font: "11px system-ui, sans-serif", textBaseline, textAlign,
    fill: new ol.style.Fill({ color: "#45525b" }), stroke: new ol.style.Stroke({ color: "rgba(255,255,255,0.9)", width: 3 }),
  });
}

export function wholeOf(bounds) {
  return bounds.length ? bounds.reduce((a, b) => ol.extent.extend(a, b), ol.extent.createEmpty()) : WHOLE;
}

/** Outlines of the EEA tiles: those with layers strong, in the colour of their state. */
export class Outlines {
  constructor(map, every) {
    this.source = new ol.source.Vector();
    this.rows = new Map();
    for (const { tile, bounds } of every) {
      this.source.addFeature(new ol.Feature({ geometry: ol.geom.Polygon.fromExtent(bounds), tile }));
    }
    map.addLayer(new ol.layer.Vector({ source: this.source, style: (f, r) => this.style(f.get("tile"), r), zIndex: 900 }));
  }

  set(rows) {
    this.rows = new Map(rows.map((row) => [row.tile, row]));
    this.source.changed();
  }

  style(tile, resolution) {
    const row = this.rows.get(tile);
    const colour = { done: "#17692f", failed: "#a11616", running: "#b07800", incomplete: "#b07800", "out of date": "#a11616" }[row?.state] || "#333f47";
    const far = resolution > 640;
    return new ol.style.Style({
      stroke: new ol.style.Stroke({ color: row ? colour : "rgba(60,75,85,0.25)", width: row ? 2 : 0.5 }),
      fill: row && far ? new ol.style.Fill({ color: `${colour}55` }) : undefined,
      text: (row && resolution <= 2560) || resolution <= 640
        ? new ol.style.Text({ text: tile, font: "12px system-ui, sans-serif", overflow: false, fill: new ol.style.Fill({ color: row ? colour : "#5d6a72" }),
          stroke: new ol.style.Stroke({ color: "rgba(255,255,255,0.85)", width: 3 }) })
        : undefined,
      zIndex: row ? 1 : 0,
    });
  }
}

/** A raster layer of the map. `gone` is called where the server has a newer one. */
export function rasterLayer(site, layer, gone) {
  const { origin, coarsest, deepest, edge, drawn } = site.pyramid;
  const resolutions = Array.from({ length: deepest + 1 }, (_, z) => coarsest / 2 ** z);
  const tileGrid = new ol.tilegrid.TileGrid({ origin, resolutions, tileSize: edge });
  const source = new ol.source.TileImage({
    projection: CRS, tileGrid, interpolate: false, transition: 0, wrapX: false,
    tileUrlFunction: ([z, x, y]) => `${BASE}/map/${layer.id}/${layer.key}/${z}/${x}/${y}.png`,
    tileLoadFunction: (tile, url) => load(tile, url, gone),
  });
  return new ol.layer.Tile({ source, extent: layer.bounds, maxResolution: drawn * 1.01 });
}

/** Fetch a tile: 204 is an empty one, and a layer that was made again is told. */
async function load(tile, url, gone) {
  try {
    let response = await fetch(url, { credentials: "same-origin" });
    for (let wait = 500; response.status === 503 && wait <= 4000; wait *= 2) { // the server is busy with other tiles
      await new Promise((resolve) => { setTimeout(resolve, wait); });
      response = await fetch(url, { credentials: "same-origin" });
    }
    if (response.status === 410 || response.status === 404) gone();
    if (response.status === 204) {
      tile.setState(4); // EMPTY
      return;
    }
    if (!response.ok) throw new Error(String(response.status));
    const bitmap = await createImageBitmap(await response.blob(), { premultiplyAlpha: "default", colorSpaceConversion: "none" });
    const canvas = document.createElement("canvas");
    [canvas.width, canvas.height] = [bitmap.width, bitmap.height];
    canvas.getContext("2d").drawImage(bitmap, 0, 0);
    tile.setImage(canvas);
  } catch {
    tile.setState(3); // ERROR
  }
}
