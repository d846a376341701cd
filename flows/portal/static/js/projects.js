// The page of all projects: the list, and the form that creates one.

/* global ol */

import { Before, MONTHS } from "./before.js";
import { Classes } from "./classes.js";
import { byId, element, icon, iconButton } from "./dom.js";
import { CRS } from "./map.js";
import { ask, send } from "./server.js";

const KILOMETRE = 1000;
const EDGES = ["left", "bottom", "right", "top"];

/** Icon and word of the last run of a project. */
const JOBS = {
  waiting: ["wait", "waiting"], running: ["play", "running"], done: ["check", "done"], failed: ["cross", "failed"],
  cancelled: ["dash", "cancelled"], lost: ["cross", "cut off"],
};

const AGAIN = 10_000;

/** Bounds moved outward to whole kilometres, as the server does. */
const snapped = ([left, bottom, right, top]) => [
  Math.floor(left / KILOMETRE) * KILOMETRE, Math.floor(bottom / KILOMETRE) * KILOMETRE,
  Math.ceil(right / KILOMETRE) * KILOMETRE, Math.ceil(top / KILOMETRE) * KILOMETRE,
];

export default class ProjectsPage {
  constructor(portal) {
    Object.assign(this, { map: portal.map, say: portal.say, templates: [], listeners: [] });
    this.outline = new ol.source.Vector();
    this.map.addLayer(new ol.layer.Vector({
      source: this.outline, zIndex: 950,
      style: { "stroke-color": "#0b57d0", "stroke-width": 3, "fill-color": "rgba(11,87,208,0.08)" },
    }));
    this.held = new ol.source.Vector();
    this.map.addLayer(new ol.layer.Vector({ source: this.held, zIndex: 940, style: { "stroke-color": "#7a1f10", "stroke-width": 2 } }));
    this.classes = new Classes(() => this.tell());
    this.months();
    this.regions();
    byId("create").addEventListener("submit", (event) => {
      event.preventDefault();
      this.create(event.submitter?.id === "create-start");
    });
    byId("new-template").addEventListener("change", () => {
      this.when();
      this.changed();
    });
    for (const id of ["new-year", "new-month", "new-from", "new-to"]) byId(id).addEventListener("change", () => this.changed());
    portal.search.went = (entry) => this.region(entry.bounds);
  }

  async begin() {
    await this.renew();
    const before = new Before(() => this.changed());
    this.listeners.push((wanted) => before.set(wanted));
    this.changed();
    setInterval(() => { if (!document.hidden) this.renew().catch(() => {}); }, AGAIN);
  }

  months() {
    const now = new Date();
    byId("new-year").value = now.getFullYear() - 1;
    byId("new-month").replaceChildren(
      element("option", { value: "" }, "Whole year"),
      ...MONTHS.map((name, k) => element("option", { value: String(k + 1).padStart(2, "0"), selected: k === 5 }, name)),
      element("option", { value: "days" }, "Days"));
  }

  regions() {
    const draw = byId("region-draw");
    const box = new ol.interaction.Draw({ type: "Circle", geometryFunction: ol.interaction.Draw.createBox() });
    const stop = () => {
      this.map.removeInteraction(box);
      draw.setAttribute("aria-pressed", "false");
    };
    box.on("drawend", (event) => {
      this.region(event.feature.getGeometry().getExtent());
      setTimeout(stop); // the click that ends the drawing is its own
    });
    draw.addEventListener("click", () => {
      if (draw.getAttribute("aria-pressed") === "true") return stop();
      draw.setAttribute("aria-pressed", "true");
      this.map.addInteraction(box);
      return undefined;
    });
    addEventListener("keydown", (event) => { if (event.key === "Escape") stop(); });
    byId("region-view").addEventListener("click", () => this.region(this.map.getView().calculateExtent()));
    byId("region-file").addEventListener("click", () => byId("region-upload").click());
    byId("region-upload").addEventListener("change", (event) => this.upload(event.target));
    for (const edge of EDGES) byId(`region-${edge}`).addEventListener("change", () => this.region(this.bbox()));
  }

  /** Take the bounds of what a GeoJSON file holds: degrees, or its own reference system where that is EPSG:3035. */
  async upload(input) {
    const [file] = input.files;
    input.value = "";
    if (!file) return;
    try {
      const table = JSON.parse(await file.text());
      const name = JSON.stringify(table.crs || "");
      const dataProjection = name.includes("3035") ? CRS : "EPSG:4326";
      const features = new ol.format.GeoJSON().readFeatures(table, { dataProjection, featureProjection: CRS });
      const extent = ol.extent.createEmpty();
      for (const feature of features) if (feature.getGeometry()) ol.extent.extend(extent, feature.getGeometry().getExtent());
      if (!extent.every(Number.isFinite) || ol.extent.isEmpty(extent)) throw new Error("nothing");
      this.region(extent);
    } catch {
      this.trouble(`${file.name} holds no areas of GeoJSON; take a file in degrees or in EPSG:3035`);
    }
  }

  bbox() {
    return EDGES.map((edge) => Number(byId(`region-${edge}`).value));
  }

  /** Show a region, and fill the fields with it. */
  region(bounds) {
    if (!bounds.every(Number.isFinite) || bounds[0] >= bounds[2] || bounds[1] >= bounds[3]) return;
    const found = snapped(bounds);
    EDGES.forEach((edge, k) => { byId(`region-${edge}`).value = found[k]; });
    this.outline.clear();
    this.outline.addFeature(new ol.Feature(ol.geom.Polygon.fromExtent(found)));
    this.map.getView().fit(found, { padding: [40, 40, 40, 40] });
    const area = ((found[2] - found[0]) / KILOMETRE) * ((found[3] - found[1]) / KILOMETRE);
    byId("region-note").textContent = `${(found[2] - found[0]) / KILOMETRE} x ${(found[3] - found[1]) / KILOMETRE} km, ${area} km\u00b2.`;
    this.changed();
  }

  /** Begin with the span that the template names. */
  when() {
    const span = this.templates.find(({ name }) => name === byId("new-template").value)?.begin || "";
    const [from, to] = span.split("/");
    const [year, month, day] = from.split("-");
    if (!year) return;
    byId("new-year").value = year;
    byId("new-month").value = day ? "days" : month || "";
    if (day) [byId("new-from").value, byId("new-to").value] = [from, to || from];
  }

  /** The period as a production file has it; empty while it is not complete. */
  span() {
    const month = byId("new-month").value;
    const [from, to] = [byId("new-from").value, byId("new-to").value];
    if (month === "days") return from && to ? `${from}/${to}` : "";
    return month ? `${byId("new-year").value}-${month}` : byId("new-year").value;
  }

  /** What the form asks for now; null while it is not complete. */
  wanted() {
    const bbox = this.bbox();
    const template = byId("new-template").value;
    if (!template || bbox[0] >= bbox[2] || bbox[1] >= bbox[3]) return null;
    const span = this.span();
    if (!byId("when").hidden && !span) return null;
    return { template, bbox, span: byId("when").hidden ? "" : span, ...this.classes.wanted() };
  }

  changed() {
    const template = this.templates.find(({ name }) => name === byId("new-template").value);
    byId("when").hidden = Boolean(template) && !template.span;
    this.classes.set(template?.classes || null);
    byId("days").hidden = byId("new-month").value !== "days";
    byId("new-year").parentElement.hidden = byId("new-month").value === "days";
    this.tell();
  }

  tell() {
    for (const listener of this.listeners) listener(this.wanted());
  }

  trouble(text) {
    byId("create-trouble").textContent = text;
    byId("create-trouble").hidden = !text;
  }

  enable(on) {
    for (const id of ["create-now", "create-start"]) byId(id).disabled = !on;
  }

  async create(start) {
    const wanted = this.wanted();
    if (!wanted) return this.trouble(`Give the project ${!byId("when").hidden && !this.span() ? "a period: fill From and To, or choose a month." : "a region: draw it, take the view, or fill the four fields."}`);
    this.enable(false);
    try {
      const made = await send("POST", "/api/projects", { ...wanted, label: byId("new-label").value });
      // What keeps a run from being started is told on the page of the project, where it can be started again.
      if (start) await send("POST", `/projects/${made.id}/api/jobs`, { kind: "run" }).catch(() => {});
      location.assign(`/projects/${made.id}/`);
    } catch (error) {
      this.trouble(error.message);
    } finally {
      this.enable(true);
    }
    return undefined;
  }

  async renew() {
    const { projects, templates, wrong } = await ask("/api/projects");
    const names = JSON.stringify([templates, wrong]);
    if (names !== this.names) {
      this.names = names;
      this.templates = templates;
      const kept = byId("new-template").value;
      byId("new-template").replaceChildren(...templates.map(({ name, title }) => element("option", { value: name, selected: name === kept }, `${title} (${name})`)));
      if (byId("new-template").value !== kept) this.when();
      this.enable(templates.length > 0);
      const none = "There is no template yet: write a production file into the folder templates, such as imperv init E43N32 --product landcover -o templates/landcover.toml.";
      this.trouble(wrong.length ? `Left out: ${wrong.join(" ")}` : templates.length ? "" : none);
    }
    const shown = JSON.stringify(projects);
    if (shown === this.shown) return;
    this.shown = shown;
    byId("project-list").replaceChildren(...projects.map((project) => this.item(project)));
    this.held.clear();
    for (const { bbox } of projects) if (bbox) this.held.addFeature(new ol.Feature(ol.geom.Polygon.fromExtent(bbox)));
    if (!this.looked && !this.outline.getFeatures().length && !ol.extent.isEmpty(this.held.getExtent())) {
      this.map.getView().fit(this.held.getExtent(), { padding: [60, 60, 60, 60], minResolution: 320 });
    }
    this.looked = true;
  }

  item(project) {
    const { id, label, template, span, tiles, trouble, run } = project;
    const open = element("a", { href: `/projects/${id}/` }, label);
    const rename = element("button", { type: "button", onclick: () => this.rename(project), "aria-label": `Rename ${label}` }, "Rename");
    const away = iconButton("cross", `Put ${label} in the trash`, () => this.discard(project));
    const note = trouble || [template, span, (tiles || []).join(" ")].filter(Boolean).join(" \u00b7 ");
    const [picture, word] = JOBS[run?.state] || ["dash", "not run here"];
    const said = element("span", { className: `state ${run?.state || ""}` });
    said.append(icon(picture), word);
    return element("li", {}, element("div", { className: "row" }, element("span", { className: "name" }, open), rename, away),
      element("p", { className: trouble ? "trouble" : "note" }, note), said, ...(run?.line ? [element("p", { className: "note" }, run.line)] : []));
  }

  async rename({ id, label }) {
    const wanted = prompt("New name of the project", label);
    if (wanted === null) return;
    await this.tried(() => send("PATCH", `/api/projects/${id}`, { label: wanted }));
  }

  async discard({ id, label }) {
    if (!confirm(`Put ${label} in the trash? Its files stay in the folder trash.`)) return;
    await this.tried(() => send("DELETE", `/api/projects/${id}`, {}));
  }

  async tried(action) {
    try {
      await action();
      await this.renew();
    } catch (error) {
      this.say(error.message, true);
    }
  }
}
