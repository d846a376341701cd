// Tools on the map: draw polygons, rectangles and points, edit, move and erase them, by mouse, finger and keys.

/* global ol */

import { byId, css } from "./dom.js";

const NEAR = matchMedia("(pointer: coarse)").matches ? 20 : 10;
const SNAP = 10;
const FINE = 8;
const MILLIMETRES = 1000;
const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] };

/** Coordinates in whole millimetres. */
const rounded = (value) => (Array.isArray(value) ? value.map(rounded) : Math.round(value * MILLIMETRES) / MILLIMETRES);

export const geometryOf = (shape) => ({ type: shape.getType(), coordinates: rounded(shape.getCoordinates()) });
export const shapeOf = ({ type, coordinates }) => new ol.geom[type](coordinates);

const HINTS = {
  polygon: "click the corners; a double click or Finish ends",
  rectangle: "click two opposite corners",
  point: "click a place",
  edit: "Click a polygon, then drag its corners, edges, or all of it",
  erase: "Click what shall go",
};

export class Tools {
  /** `tell` is called after every change of tool, sketch or choice. */
  constructor(map, samples, tell) {
    Object.assign(this, { map, samples, tell, tool: "", class: null, colours: new Map(), corners: [], sketching: false, chosen: new ol.Collection(), faulty: new Set() });
    this.source = new ol.source.Vector();
    this.layer = new ol.layer.Vector({ source: this.source, zIndex: 960, style: (feature) => this.style(feature) });
    this.preview = new ol.source.Vector();
    map.addLayer(this.layer);
    map.addLayer(new ol.layer.Vector({ source: this.preview, zIndex: 970, style: () => this.sketch() }));
    this.active = [];
    this.snapping = true;
    this.removing = false;
    map.getView().on("change:center", () => this.follow());
    byId("map").addEventListener("keydown", (event) => this.key(event));
  }

  /** Show the records; shapes that are the same stay what they are. */
  draw() {
    const known = new Set();
    for (const record of this.samples.records) {
      known.add(record.id);
      let feature = this.source.getFeatureById(record.id);
      if (!feature) {
        feature = new ol.Feature();
        feature.setId(record.id);
        feature.setGeometry(shapeOf(record.geometry));
        feature.record = record;
        this.source.addFeature(feature);
      } else if (feature.record !== record) {
        if (feature.record.geometry !== record.geometry) feature.setGeometry(shapeOf(record.geometry));
        feature.record = record;
        feature.changed();
      }
    }
    for (const feature of this.source.getFeatures()) {
      if (known.has(feature.getId())) continue;
      this.chosen.remove(feature);
      this.source.removeFeature(feature);
    }
  }

  colour(name) {
    return this.colours.get(name) || [90, 90, 90];
  }

  style(feature) {
    const { record } = feature;
    const colour = this.colour(record.class);
    const chosen = this.chosen.getArray().includes(feature);
    const width = chosen ? 4 : 2.5;
    const stroke = new ol.style.Stroke({ color: css(colour), width, lineDash: this.faulty.has(record.id) ? [7, 6] : undefined });
    const fill = new ol.style.Fill({ color: `rgba(${colour.join(",")},${chosen ? 0.4 : 0.22})` });
    const casing = new ol.style.Stroke({ color: chosen ? "#101418" : "#fff", width: width + 3 });
    const dot = (inner, outer) => new ol.style.Circle({ radius: chosen ? 8 : 6, fill: inner, stroke: outer });
    return [
      new ol.style.Style({ stroke: casing, image: dot(undefined, casing) }),
      new ol.style.Style({ stroke, fill, image: dot(new ol.style.Fill({ color: css(colour) }), new ol.style.Stroke({ color: "#fff", width: 1.5 })) }),
    ];
  }

  sketch() {
    const colour = this.colour(this.class);
    const image = new ol.style.Circle({ radius: 5, fill: new ol.style.Fill({ color: css(colour) }), stroke: new ol.style.Stroke({ color: "#fff", width: 1.5 }) });
    return [
      new ol.style.Style({ stroke: new ol.style.Stroke({ color: "#fff", width: 5 }) }),
      new ol.style.Style({ stroke: new ol.style.Stroke({ color: css(colour), width: 2.5 }), fill: new ol.style.Fill({ color: `rgba(${colour.join(",")},0.2)` }), image }),
    ];
  }

  get hint() {
    const what = HINTS[this.tool] || "";
    return ["edit", "erase", ""].includes(this.tool) ? what : `${this.class}: ${what}`;
  }

  /** Take up a tool, or lay it down with "". */
  use(tool) {
    this.stopSketch();
    for (const one of this.active) this.map.removeInteraction(one);
    this.tool = tool;
    if (tool !== "edit") this.chosen.clear();
    this.removing = false;
    this.active = this.interactions(tool);
    if (this.snapping && tool && tool !== "erase") this.active.push(new ol.interaction.Snap({ source: this.source, pixelTolerance: SNAP }));
    for (const one of this.active) this.map.addInteraction(one);
    byId("map").classList.toggle("drawing", Boolean(tool) && tool !== "edit");
    this.layer.changed();
    this.tell();
  }

  snap(on) {
    this.snapping = on;
    this.use(this.tool);
  }

  interactions(tool) {
    if (tool === "edit") return this.editing();
    if (tool === "erase") return [new ol.interaction.Interaction({ handleEvent: (event) => this.erase(event) })];
    if (!tool) return [];
    const box = tool === "rectangle" ? { geometryFunction: ol.interaction.Draw.createBox() } : {};
    const draw = new ol.interaction.Draw({
      type: { polygon: "Polygon", rectangle: "Circle", point: "Point" }[tool], ...box, style: () => this.sketch(), stopClick: true,
      freehandCondition: ol.events.condition.never, clickTolerance: NEAR, snapTolerance: NEAR + 2,
    });
    const told = (on) => () => {
      this.sketching = on;
      this.tell();
    };
    draw.on("drawstart", told(true));
    draw.on("drawabort", told(false));
    draw.on("drawend", ({ feature }) => {
      this.sketching = false;
      this.put(feature.getGeometry());
    });
    this.pen = draw;
    return [draw];
  }

  editing() {
    const { altKeyOnly, singleClick } = ol.events.condition;
    const choose = new ol.interaction.Interaction({ handleEvent: (event) => {
      if (event.type === "click") this.choose(this.at(event.coordinate)?.getId());
      return true;
    } });
    const modify = new ol.interaction.Modify({
      features: this.chosen, pixelTolerance: NEAR,
      deleteCondition: (event) => singleClick(event) && (this.removing || altKeyOnly(event)),
      insertVertexCondition: () => !this.removing,
    });
    modify.on("modifyend", ({ features }) => {
      for (const feature of features.getArray()) this.samples.alter(feature.getId(), { geometry: geometryOf(feature.getGeometry()) });
    });
    return [choose, this.moving(), modify];
  }

  /** Drags the shape that is chosen. */
  moving() {
    let last = null;
    return new ol.interaction.Pointer({
      handleDownEvent: ({ coordinate }) => {
        last = this.chosenId && this.at(coordinate) === this.chosen.item(0) ? coordinate : null;
        this.moved = false;
        return Boolean(last);
      },
      handleDragEvent: ({ coordinate }) => {
        this.chosen.item(0)?.getGeometry().translate(coordinate[0] - last[0], coordinate[1] - last[1]);
        last = coordinate;
        this.moved = true;
      },
      handleUpEvent: () => {
        if (this.moved && this.chosenId) this.samples.alter(this.chosenId, { geometry: geometryOf(this.chosen.item(0).getGeometry()) });
        return false;
      },
    });
  }

  /** The shape at a place, the smallest of several, or one whose outline is near. */
  at(place) {
    const size = (feature) => feature.getGeometry().getArea?.() || 0;
    const [inside] = this.source.getFeaturesAtCoordinate(place).sort((a, b) => size(a) - size(b));
    if (inside) return inside;
    const beside = this.source.getClosestFeatureToCoordinate(place);
    return beside && near(beside.getGeometry().getClosestPoint(place), place, NEAR * this.map.getView().getResolution()) ? beside : null;
  }

  /** A click of the eraser; false where it was used. */
  erase(event) {
    if (event.type !== "click") return true;
    const found = this.at(event.coordinate);
    if (found) this.samples.remove(found.getId());
    return false;
  }

  /** A shape was drawn: keep it, unless it has no extent. */
  put(shape) {
    if (shape.getType() === "Polygon" && ol.extent.getArea(shape.getExtent()) < 1e-3) this.tell();
    else this.samples.add({ class: this.class, geometry: geometryOf(shape) });
  }

  get inSketch() {
    return this.sketching || this.corners.length > 0;
  }

  get canFinish() {
    return this.tool === "polygon" && (this.corners.length > 2 || this.sketching);
  }

  finish() {
    if (this.corners.length > 2) this.close();
    else if (this.sketching) this.pen.finishDrawing();
  }

  stopSketch() {
    if (this.sketching) this.pen.abortDrawing();
    this.corners = [];
    this.sketching = false;
    this.follow();
  }

  /** Take the last corner of the sketch away; false without a sketch. */
  back() {
    if (this.corners.length) {
      this.corners.pop();
      this.follow();
      this.tell();
      return true;
    }
    if (this.sketching) this.pen.removeLastPoint();
    return this.sketching;
  }

  /** Choose one to be edited, or none. */
  choose(id) {
    if (this.tool !== "edit") this.use("edit");
    this.chosen.clear();
    const feature = id && this.source.getFeatureById(id);
    if (feature) this.chosen.push(feature);
    this.layer.changed();
    this.tell();
  }

  get chosenId() {
    return this.chosen.getLength() ? this.chosen.item(0).getId() : "";
  }

  key(event) {
    if (!this.tool || event.ctrlKey || event.metaKey) return;
    const view = this.map.getView();
    const arrow = ARROWS[event.key];
    const step = view.getResolution();
    if (arrow && event.shiftKey) view.setCenter(view.getCenter().map((value, axis) => value + FINE * step * arrow[axis]));
    else if (arrow && event.altKey && this.chosenId) this.shift(arrow.map((value) => value * step));
    else if (event.key === "Enter" && this.class && HINTS[this.tool] && !["edit", "erase"].includes(this.tool)) this.mark(view.getCenter());
    else if (event.key === "Enter") this.pick(view.getCenter());
    else if (event.key === "Backspace" && this.inSketch) this.back();
    else if ((event.key === "Delete" || event.key === "Backspace") && this.chosenId) this.samples.remove(this.chosenId);
    else if (event.key.toLowerCase() === "f" && this.canFinish) this.finish();
    else return;
    event.preventDefault();
  }

  /** Move what is chosen. */
  shift([x, y]) {
    const shape = this.chosen.item(0).getGeometry().clone();
    shape.translate(x, y);
    this.samples.alter(this.chosenId, { geometry: geometryOf(shape) });
  }

  /** Choose or erase what lies in the middle, by keys. */
  pick(center) {
    const found = this.at(center);
    if (found && this.tool === "edit") this.choose(found.getId());
    else if (found) this.samples.remove(found.getId());
  }

  /** A corner in the middle of the map, by keys. */
  mark(center) {
    if (this.tool === "point") return this.put(new ol.geom.Point(center));
    if (this.tool === "rectangle" && this.corners.length) {
      const shape = ol.geom.Polygon.fromExtent(ol.extent.boundingExtent([this.corners[0], center]));
      this.corners = [];
      this.follow();
      return this.put(shape);
    }
    if (this.corners.length > 2 && near(center, this.corners[0], NEAR * this.map.getView().getResolution())) return this.close();
    this.corners.push(center);
    this.follow();
    return this.tell();
  }

  close() {
    const shape = new ol.geom.Polygon([[...this.corners, this.corners[0]]]);
    this.corners = [];
    this.follow();
    this.put(shape);
  }

  /** The sketch by keys follows the middle of the map. */
  follow() {
    this.preview.clear();
    if (!this.corners.length) return;
    const center = this.map.getView().getCenter();
    const shape = this.tool === "rectangle" ? ol.geom.Polygon.fromExtent(ol.extent.boundingExtent([this.corners[0], center]))
      : this.corners.length > 1 ? new ol.geom.Polygon([[...this.corners, center, this.corners[0]]]) : new ol.geom.LineString([this.corners[0], center]);
    this.preview.addFeatures([new ol.Feature(shape), ...this.corners.map((corner) => new ol.Feature(new ol.geom.Point(corner)))]);
  }
}

const near = ([a, b], [c, d], most) => Math.hypot(a - c, b - d) <= most;
