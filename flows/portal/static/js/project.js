// The page of a project: what it is, and what can be done with it.

/* global ol */

import { byId } from "./dom.js";
import { own } from "./server.js";

/** Parts of the page, each with a tab of its own or a place in that of the project. */
const PARTS = ["./work.js", "./draw.js", "./teach.js"];

export default class ProjectPage {
  constructor(portal) {
    this.portal = portal;
  }

  async begin() {
    const about = await own("/api/project");
    this.about = about;
    byId("about").textContent = [about.template, about.span, (about.tiles || []).join(" ")].filter(Boolean).join(" \u00b7 ");
    if (about.trouble) this.portal.say(about.trouble, true);
    const { map } = this.portal;
    if (about.bbox) {
      const source = new ol.source.Vector({ features: [new ol.Feature(ol.geom.Polygon.fromExtent(about.bbox))] });
      map.addLayer(new ol.layer.Vector({ source, zIndex: 940, style: { "stroke-color": "#0b57d0", "stroke-width": 2 } }));
      if (!this.portal.wanted.at) map.getView().fit(about.bbox, { padding: [40, 40, 40, 40] });
    }
    const parts = await Promise.all(PARTS.map((name) => import(name)));
    for (const { default: Part } of parts) await new Part(this.portal, about).begin();
  }
}
