// Values of all layers at a point: a click on the map, or Enter for the place in its middle.

/* global ol */

import { byId, element, short } from "./dom.js";
import { CRS } from "./map.js";
import { own } from "./server.js";

export class Values {
  constructor(map, layers, show) {
    Object.assign(this, { map, layers, show, asked: 0, place: null, paused: false });
    this.mark = new ol.source.Vector();
    const style = new ol.style.Style({ image: new ol.style.Circle({ radius: 7, stroke: new ol.style.Stroke({ color: "#fff", width: 4 }) }) });
    const inner = new ol.style.Style({ image: new ol.style.Circle({ radius: 7, stroke: new ol.style.Stroke({ color: "#0b57d0", width: 2 }) }) });
    map.addLayer(new ol.layer.Vector({ source: this.mark, style: [style, inner], zIndex: 1000 }));
    map.on("singleclick", (event) => { if (!this.paused) this.at(event.coordinate); });
    byId("map").addEventListener("keydown", (event) => {
      if (event.key === "Enter" && event.target === byId("map") && !this.paused) this.at(map.getView().getCenter());
    });
  }

  async at([x, y], quiet = false) {
    const number = (this.asked += 1);
    this.place = [x, y];
    this.mark.clear();
    this.mark.addFeature(new ol.Feature(new ol.geom.Point([x, y])));
    const [longitude, latitude] = ol.proj.toLonLat([x, y], CRS);
    const where = `${x.toFixed(1)}, ${y.toFixed(1)} in EPSG:3035; latitude ${latitude.toFixed(6)}, longitude ${longitude.toFixed(6)}`;
    if (!quiet) this.show("values");
    let found;
    try {
      found = await own(`/api/value?x=${x}&y=${y}`);
    } catch (error) {
      byId("where").textContent = `${where}. ${error.message}`;
      return;
    }
    if (number !== this.asked) return; // another place was asked for meanwhile
    byId("where").textContent = found.layers.length ? where : `${where}. No layer has a pixel there.`;
    const on = new Set(this.layers.shown.map((entry) => entry.id));
    const rows = found.layers.filter(({ id }) => this.layers.known.has(id));
    rows.sort((a, b) => on.has(b.id) - on.has(a.id));
    byId("point").hidden = !rows.length;
    byId("point").tBodies[0].replaceChildren(...rows.map((row) => {
      const layer = this.layers.known.get(row.id);
      return element("tr", { className: on.has(row.id) ? "on" : "" },
        element("td", {}, this.layers.name(layer), element("div", { className: "detail" }, `${layer.symbol} · ${layer.period}`)),
        element("td", {}, ...textOf(row)));
    }));
  }
}

/** Lines of a value. */
function textOf({ values, units, trouble }) {
  if (trouble) return [trouble];
  const [{ meaning, stored }] = values;
  if (values.length === 1 && meaning) return [meaning, element("div", { className: "detail" }, `code ${stored}`)];
  const said = ({ value, meaning: own }) => (value === null ? "no data" : own || `${short(value)}${units ? ` ${units}` : ""}`);
  const lines = values.map((one) => `${one.label ? `${one.label} ` : ""}${said(one)}`);
  return lines.map((line) => element("div", {}, line));
}
