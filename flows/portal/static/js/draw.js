// The tab Draw: classes, tools, the list of what is drawn, versions, files in and out.

/* global ol */

import { byId, css, element, iconButton, swatch } from "./dom.js";
import { CRS } from "./map.js";
import { BASE, own, send } from "./server.js";
import { Samples } from "./samples.js";
import { shapeOf, Tools } from "./tools.js";

const MOST_ROWS = 200;
const DECIMALS = 8;

const count = (number, word = "polygon") => `${number} ${word}${number === 1 ? "" : "s"}`;
const button = (text, action) => element("button", { type: "button", onclick: action }, text);

export default class Draw {
  constructor(portal, about) {
    Object.assign(this, { portal, about, classes: [], filter: "" });
  }

  async begin() {
    if (!this.about.draws) return;
    this.samples = new Samples(() => this.redraw(), () => this.tell());
    this.tools = new Tools(this.portal.map, this.samples, () => this.tell());
    this.portal.draw = this; // Run model waits for `samples.saved()`
    this.controls();
    const found = await own("/api/samples");
    this.classes = found.classes;
    this.limits = found.limits;
    for (const { name, colour } of found.classes) this.tools.colours.set(name, colour);
    this.offer();
    await this.samples.load();
    byId("tab-draw").hidden = false;
  }

  /** What is on the page of the first, with what it does. */
  controls() {
    for (const one of document.querySelectorAll("[data-tool]")) {
      one.addEventListener("click", () => this.use(this.tools.tool === one.dataset.tool ? "" : one.dataset.tool));
    }
    byId("draw-undo").addEventListener("click", () => this.undo());
    byId("draw-redo").addEventListener("click", () => this.samples.redo());
    byId("draw-snap").addEventListener("change", (event) => this.tools.snap(event.target.checked));
    byId("draw-finish").addEventListener("click", () => this.tools.finish());
    byId("draw-back").addEventListener("click", () => this.tools.back());
    byId("draw-corners").addEventListener("click", () => {
      this.tools.removing = !this.tools.removing;
      this.tell();
    });
    byId("draw-stop").addEventListener("click", () => this.stop());
    byId("draw-filter").addEventListener("change", (event) => {
      this.filter = event.target.value;
      this.list();
    });
    byId("draw-upload").addEventListener("click", () => byId("draw-file").click());
    byId("draw-file").addEventListener("change", (event) => this.upload(event.target));
    for (const form of ["geojson", "gpkg"]) byId(`draw-${form}`).addEventListener("click", () => this.download(form));
    byId("draw-versions").addEventListener("toggle", () => this.versions());
    byId("draw-take").addEventListener("click", () => this.tried(() => this.takeNewer()));
    byId("draw-over").addEventListener("click", () => this.tried(() => this.samples.overNewer()));
    byId("draw-mine").addEventListener("click", () => this.ownFile());
    addEventListener("keydown", (event) => this.key(event));
    addEventListener("focus", () => this.look());
    document.addEventListener("visibilitychange", () => { if (!document.hidden) this.look(); });
  }

  async tried(action) {
    try {
      await action();
    } catch (error) {
      this.portal.say(error.message, true);
    }
  }

  look() {
    if (this.tools.inSketch) return;
    this.samples.look().then((newer) => { if (newer) this.portal.say("Another window saved what is shown now."); }, () => {}); // the page says itself that the portal is gone
  }

  /** Tools take clicks and Enter, which otherwise read values. */
  use(tool) {
    this.tools.use(tool);
    this.portal.values.paused = Boolean(tool);
  }

  stop() {
    if (this.tools.inSketch) this.tools.stopSketch();
    else this.use("");
    this.tell();
  }

  undo() {
    if (!this.tools.back()) this.samples.undo();
  }

  key(event) {
    const at = event.target;
    const writes = at instanceof HTMLInputElement && !["radio", "checkbox"].includes(at.type);
    if (event.key === "Escape" && this.tools.tool) return this.stop();
    if (writes || !(event.ctrlKey || event.metaKey) || (byId("draw").hidden && !this.tools.tool)) return undefined;
    const key = event.key.toLowerCase();
    if (key === "z" && !event.shiftKey) this.undo();
    else if (key === "y" || key === "z") this.samples.redo();
    else return undefined;
    event.preventDefault();
    return undefined;
  }

  /** The classes: who chooses one begins to draw. */
  offer() {
    byId("draw-classes").replaceChildren(...this.classes.map(({ name, colour }, k) => {
      const radio = element("input", { type: "radio", name: "draw-class", value: name, checked: k === 0 });
      radio.addEventListener("change", () => this.chooseClass(name));
      const amount = element("span", { className: "count" });
      amount.dataset.of = name;
      return element("label", {}, radio, swatch(css(colour)), element("span", { className: "name" }, name), amount);
    }));
    this.tools.class = this.classes[0].name;
  }

  chooseClass(name) {
    this.tools.class = name;
    if (["", "edit", "erase"].includes(this.tools.tool)) this.use("polygon");
    else this.use(this.tools.tool);
  }

  redraw() {
    this.tools.draw();
    this.list();
  }

  counts() {
    const found = new Map();
    for (const record of this.samples.records) found.set(record.class, (found.get(record.class) || 0) + 1);
    return found;
  }

  /** Everything but the list: what is chosen, what is saved, what is wrong. */
  tell() {
    const { tools, samples } = this;
    for (const one of document.querySelectorAll("[data-tool]")) one.setAttribute("aria-pressed", String(one.dataset.tool === tools.tool));
    byId("draw-undo").disabled = !samples.past.length && !tools.inSketch;
    byId("draw-redo").disabled = !samples.future.length;
    byId("draw-bar").hidden = !tools.tool;
    byId("draw-hint").textContent = tools.hint;
    byId("draw-finish").hidden = !tools.canFinish;
    byId("draw-back").hidden = !tools.inSketch;
    byId("draw-corners").hidden = tools.tool !== "edit" || !tools.chosenId;
    byId("draw-corners").setAttribute("aria-pressed", String(tools.removing));
    byId("draw-saved").textContent = samples.newer ? "Not saved."
      : samples.trouble ? `Not saved: ${samples.trouble}. It stays in this browser, and is tried again.`
      : samples.dirty ? "Saving\u2026" : samples.version ? `Saved as version ${samples.version}.` : "Nothing is drawn yet.";
    byId("draw-saved").classList.toggle("bad", Boolean(samples.trouble));
    byId("draw-newer").hidden = !samples.newer;
    byId("draw-newer-text").textContent = samples.newer;
    byId("draw-notes").textContent = samples.dirty ? "" : samples.notes.join(" ");
    const wrong = new Set(samples.faults.flatMap(({ ids }) => ids));
    byId("draw-faults").textContent = wrong.size ? `${count(wrong.size)} to be mended: marked in the list, dashed on the map.` : "";
    const marks = JSON.stringify(samples.faults) + tools.chosenId + samples.version;
    if (marks === this.marks) return;
    this.marks = marks;
    tools.faulty = wrong;
    tools.layer.changed();
    this.list();
    this.versions();
  }

  /** The list of what is drawn, those of one class or all; the keyboard keeps its place. */
  list() {
    const counts = this.counts();
    for (const one of document.querySelectorAll("#draw-classes .count")) one.textContent = counts.get(one.dataset.of) || 0;
    const { records, faults } = this.samples;
    const names = [...new Set([...this.classes.map(({ name }) => name), ...counts.keys()])];
    byId("draw-filter").replaceChildren(element("option", { value: "" }, `All classes (${records.length})`),
      ...names.filter((name) => counts.get(name) || name === this.filter).map((name) => element("option", { value: name }, `${name} (${counts.get(name) || 0})`)));
    byId("draw-filter").value = this.filter;
    const focus = document.activeElement?.closest("#draw-list [data-id]");
    const [at, act] = focus ? [focus.dataset.id, document.activeElement.dataset.act] : [];
    const typed = act === "name" ? document.activeElement.value : null;
    const told = new Map();
    for (const { ids, text } of faults) for (const id of ids) told.set(id, [...(told.get(id) || []), text]);
    const rows = records.map((record, k) => [record, k + 1]).filter(([record]) => !this.filter || record.class === this.filter);
    byId("draw-list").replaceChildren(...rows.slice(0, MOST_ROWS).map(([record, number]) => this.item(record, number, told.get(record.id) || [])));
    byId("draw-more").textContent = rows.length > MOST_ROWS ? `${rows.length - MOST_ROWS} more; choose a class above.` : "";
    const again = at && byId("draw-list").querySelector(`[data-id="${at}"] [data-act="${act}"]`);
    if (again && typed !== null) again.value = typed; // what is being typed stays
    again?.focus();
  }

  item(record, number, faults) {
    const chosen = this.tools.chosenId === record.id;
    const text = `${number} ${record.name || record.class}`;
    const go = element("button", { type: "button", className: "name", title: `Zoom to ${text}`, onclick: () => this.zoomTo(record.id) }, text);
    const off = iconButton("cross", `Delete ${text}`, () => this.remove(record.id));
    go.setAttribute("aria-expanded", String(chosen));
    const made = element("li", { className: chosen ? "on" : "" }, element("div", { className: "row" }, swatch(css(this.tools.colour(record.class))), go, off),
      ...(chosen ? [this.fields(record)] : []), ...faults.map((line) => element("p", { className: "trouble" }, line)));
    made.dataset.id = record.id;
    go.dataset.act = "go";
    off.dataset.act = "off";
    return made;
  }

  /** Class and name of the one that is chosen. */
  fields(record) {
    const known = this.classes.map(({ name }) => name);
    const names = known.includes(record.class) ? known : [record.class, ...known];
    const kind = element("select", {}, ...names.map((name) => element("option", { value: name, selected: name === record.class }, name)));
    kind.addEventListener("change", () => this.samples.alter(record.id, { class: kind.value }));
    kind.dataset.act = "class";
    const name = element("input", { type: "text", value: record.name, maxLength: this.limits.label, autocomplete: "off" });
    name.addEventListener("change", () => this.samples.alter(record.id, { name: name.value.trim() }));
    name.dataset.act = "name";
    return element("div", { className: "fields" }, element("label", {}, "Class ", kind), element("label", {}, "Name ", name));
  }

  /** Delete one; the keyboard goes on with the next. */
  remove(id) {
    const rows = [...byId("draw-list").children];
    const place = rows.findIndex((row) => row.dataset.id === id);
    this.samples.remove(id);
    const next = byId("draw-list").children[Math.min(place, rows.length - 2)];
    (next?.querySelector("[data-act=off]") || byId("draw-filter")).focus();
  }

  zoomTo(id) {
    const { map } = this.portal;
    this.use("edit");
    this.tools.choose(id);
    map.getView().fit(shapeOf(this.samples.find(id).geometry).getExtent(), { padding: [80, 80, 80, 80], minResolution: 1.25 });
    byId("draw-list").querySelector(`[data-id="${id}"] [data-act=go]`)?.focus();
  }

  async takeNewer() {
    this.ownFile();
    await this.samples.takeNewer();
    this.portal.say("The newer version is shown. What you had drawn was given to you as a file.");
  }

  /** What is here as a file, made by the page itself: the server may have another version. */
  ownFile() {
    const features = this.samples.records.map(({ geometry, id, ...properties }) => {
      const feature = new ol.Feature({ ...properties });
      feature.setGeometry(shapeOf(geometry));
      return feature;
    });
    const text = new ol.format.GeoJSON().writeFeatures(features, { dataProjection: "OGC:CRS84", featureProjection: CRS, decimals: DECIMALS, rightHanded: true });
    const address = URL.createObjectURL(new Blob([text], { type: "application/geo+json" }));
    element("a", { href: address, download: "my-samples.geojson" }).click();
    setTimeout(() => URL.revokeObjectURL(address), 60_000);
  }

  async download(form) {
    await this.tried(async () => {
      await this.samples.saved();
      element("a", { href: `${BASE}/api/samples/file.${form}`, download: `samples.${form}` }).click();
    });
  }

  async upload(input) {
    const [file] = input.files;
    input.value = "";
    if (!file) return;
    const box = byId("draw-uploaded");
    box.hidden = false;
    box.replaceChildren(element("p", {}, `Reading ${file.name}\u2026`));
    try {
      if (file.size > this.limits.bytes) throw new Error(`${file.name} has ${(file.size / 2 ** 20).toFixed(1)} MB, more than ${this.limits.bytes / 2 ** 20}; leave some polygons out`);
      const found = await send("POST", `${BASE}/api/uploads`, { name: file.name, data: await base64(file) });
      this.offerUpload(file.name, found);
    } catch (error) {
      this.uploaded([element("p", { className: "trouble" }, ...error.message.split("\n").flatMap((line) => [line, element("br")]))], []);
    }
  }

  /** What a file holds, all of its faults, and what can be done with it. */
  offerUpload(name, { features, faults, notes }) {
    const some = count(features.length);
    const drawn = features.map(({ properties: { id, ...properties }, geometry }) => ({ ...properties, geometry }));
    const done = (action) => () => {
      action();
      this.uploaded(null, []);
      this.zoomToAll(drawn);
    };
    const lines = [`${name}: ${count(features.length)} can be taken.`, ...notes].map((line) => element("p", {}, line));
    const list = faults.length ? [element("p", { className: "trouble" }, `${count(faults.length, "fault")}:`), element("ul", { className: "faults", tabIndex: 0, "aria-label": "Faults" }, ...faults.map((line) => element("li", {}, line)))] : [];
    this.uploaded([...lines, ...list], features.length ? [button(`Add ${some}`, done(() => this.samples.add(...drawn))),
      ...(this.samples.records.length ? [button(`Replace all by ${some}`, done(() => this.samples.replace(drawn)))] : [])] : []);
  }

  uploaded(lines, actions) {
    const box = byId("draw-uploaded");
    box.hidden = !lines;
    const close = button(actions.length ? "Cancel" : "Close", () => this.uploaded(null, []));
    box.replaceChildren(...(lines || []), element("div", { className: "buttons" }, ...actions, close));
    (lines ? box.querySelector("button") : byId("draw-upload")).focus();
  }

  zoomToAll(drawn) {
    const extent = ol.extent.createEmpty();
    for (const { geometry } of drawn) ol.extent.extend(extent, shapeOf(geometry).getExtent());
    this.portal.map.getView().fit(extent, { padding: [60, 60, 60, 60], minResolution: 1.25 });
  }

  async versions() {
    if (!byId("draw-versions").open) return;
    await this.tried(async () => {
      const { versions } = await own("/api/samples/versions");
      byId("draw-version-list").replaceChildren(...versions.map(({ version, created, how, counts, trouble }) => {
        const total = Object.values(counts).reduce((sum, one) => sum + one, 0);
        const back = element("button", { type: "button", disabled: version === this.samples.version || Boolean(trouble),
          "aria-label": `Take version ${version} back`, onclick: () => this.tried(() => this.samples.takeBack(version)) }, "Take back");
        return element("li", {}, element("div", { className: "row" }, element("span", { className: "name" }, `Version ${version}`), back),
          element("p", { className: "note" }, trouble || [new Date(created).toLocaleString(), count(total), how === "drawn" ? "" : how].filter(Boolean).join(" \u00b7 ")));
      }));
    });
  }
}

/** Bytes of a file as text. */
async function base64(file) {
  return new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.onload = () => resolve(reader.result.slice(reader.result.indexOf(",") + 1));
    reader.onerror = () => reject(new Error(`${file.name} cannot be read`));
    reader.readAsDataURL(file);
  });
}
