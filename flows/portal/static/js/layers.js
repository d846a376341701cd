// The panel of layers: the list of all by product and group, and those that are shown with eye, opacity, order and legend.

import { byId, css, element, iconButton, short, size, swatch } from "./dom.js";
import { rasterLayer } from "./map.js";
import { BASE, own } from "./server.js";

/** Layers that are shown, the lowest first; says `changed` after every change. */
export class Layers {
  constructor(map, site, changed) {
    Object.assign(this, { map, site, changed, known: new Map(), shown: [], legends: new Map(), stale: () => {}, watchers: [] });
    byId("filter").addEventListener("input", () => this.list());
  }

  name(layer) {
    return [layer.title, layer.view].filter(Boolean).join(", ");
  }

  /** The same in short, for narrow places: the symbol first. */
  short(layer) {
    return `${layer.symbol} · ${layer.view || layer.title}, ${layer.period}`;
  }

  /** What the server has now. Layers that were made again are drawn anew, those that are gone are taken off. */
  set(layers) {
    this.known = new Map(layers.map((layer) => [layer.id, layer]));
    for (const entry of [...this.shown]) {
      const layer = this.known.get(entry.id);
      if (!layer) this.remove(entry.id, true);
      else if (layer.key !== entry.key) {
        const { opacity, visible } = entry;
        const place = this.shown.indexOf(entry);
        this.remove(entry.id, true);
        this.add(entry.id, { opacity, visible, place, quiet: true });
      }
    }
    this.list();
    this.draw();
  }

  /** Call after every change of what is shown. */
  watch(listener) {
    this.watchers.push(listener);
  }

  entry(id) {
    return this.shown.find((entry) => entry.id === id);
  }

  add(id, { opacity = 1, visible = true, place = this.shown.length, quiet = false } = {}) {
    const layer = this.known.get(id);
    if (!layer || this.entry(id)) return;
    const raster = rasterLayer(this.site, layer, () => this.stale());
    raster.setOpacity(opacity);
    raster.setVisible(visible);
    this.shown.splice(place, 0, { id, key: layer.key, layer, raster, opacity, visible });
    this.map.addLayer(raster);
    if (!quiet) this.update();
  }

  remove(id, quiet = false) {
    const place = this.shown.findIndex((entry) => entry.id === id);
    if (place < 0) return;
    this.map.removeLayer(this.shown[place].raster);
    this.shown.splice(place, 1);
    if (!quiet) this.update();
  }

  toggle(id) {
    if (this.entry(id)) this.remove(id);
    else this.add(id);
  }

  move(id, by) {
    const from = this.shown.findIndex((entry) => entry.id === id);
    const to = from + by;
    if (to < 0 || to >= this.shown.length) return;
    const [entry] = this.shown.splice(from, 1);
    this.shown.splice(to, 0, entry);
    this.update();
    byId("shown").querySelector(`[data-id="${id}"] [data-move="${by}"]`)?.focus();
  }

  update() {
    this.list();
    this.draw();
    this.changed();
  }

  /** The list of all layers. */
  list() {
    const wanted = byId("filter").value.trim().toLowerCase();
    const open = new Set([...byId("groups").querySelectorAll("details[open]")].map((d) => d.dataset.name));
    const focused = document.activeElement?.closest("#groups [data-id]")?.dataset.id;
    const first = !byId("groups").childElementCount;
    const families = new Map();
    for (const layer of this.known.values()) {
      const text = `${layer.symbol} ${this.name(layer)} ${layer.period}`.toLowerCase();
      if (!text.includes(wanted)) continue;
      const groups = families.get(layer.family) || families.set(layer.family, new Map()).get(layer.family);
      (groups.get(layer.group) || groups.set(layer.group, []).get(layer.group)).push(layer);
    }
    const order = ["Maps", "Reference layers", "Intermediate layers", "Features"];
    byId("groups").replaceChildren(...[...families].map(([family, groups], number) => {
      const inside = [...groups].sort(([a], [b]) => order.indexOf(a) - order.indexOf(b)).map(([group, layers]) =>
        this.section(`${family}/${group}`, `${group} (${layers.length})`, layers.map((layer) => this.choice(layer)),
          wanted || open.has(`${family}/${group}`) || (first && group === "Maps")));
      return this.section(family, family.split(":")[0], inside, wanted || open.has(family) || (first && number === 0));
    }));
    if (focused) byId("groups").querySelector(`[data-id="${focused}"] button`)?.focus();
  }

  section(name, title, children, open) {
    const made = element("details", { open: Boolean(open) }, element("summary", {}, title), ...children);
    made.dataset.name = name;
    return made;
  }

  choice(layer) {
    const on = Boolean(this.entry(layer.id));
    const button = iconButton(on ? "eye" : "shut", `Show ${this.name(layer)}, ${layer.period}`, () => this.toggle(layer.id));
    button.classList.add("eye");
    button.setAttribute("aria-pressed", String(on));
    const made = element("div", { className: "choice" }, button,
      element("div", {}, this.name(layer), element("div", { className: "detail" }, `${layer.symbol} · ${layer.period} · ${short(layer.resolution)} m`)));
    made.dataset.id = layer.id;
    return made;
  }

  /** The layers that are shown, the uppermost first; and their order on the map. */
  draw() {
    const focused = document.activeElement?.closest("#shown [data-id]") && [document.activeElement.closest("[data-id]").dataset.id,
      document.activeElement.dataset.act];
    byId("none").hidden = this.shown.length > 0;
    byId("compare").hidden = this.shown.length < 2;
    this.shown.forEach((entry, place) => entry.raster.setZIndex(place));
    byId("shown").replaceChildren(...this.shown.toReversed().map((entry) => this.item(entry)));
    if (focused) byId("shown").querySelector(`[data-id="${focused[0]}"] [data-act="${focused[1]}"]`)?.focus();
    for (const listener of this.watchers) listener();
  }

  item(entry) {
    const { layer, id } = entry;
    const name = this.name(layer);
    const place = this.shown.indexOf(entry);
    const eye = iconButton(entry.visible ? "eye" : "shut", `${entry.visible ? "Hide" : "Show"} ${name}`, () => {
      entry.visible = !entry.visible;
      entry.raster.setVisible(entry.visible);
      this.update();
    });
    eye.classList.add("eye");
    eye.setAttribute("aria-pressed", String(entry.visible));
    const up = iconButton("up", `Move ${name} up`, () => this.move(id, 1));
    const down = iconButton("down", `Move ${name} down`, () => this.move(id, -1));
    up.disabled = place === this.shown.length - 1;
    down.disabled = place === 0;
    up.dataset.move = "1";
    down.dataset.move = "-1";
    const zoom = iconButton("zoom", `Zoom to ${name}`, () => this.zoomTo(layer));
    const off = iconButton("cross", `Take ${name} off`, () => this.remove(id));
    Object.entries({ eye, up, down, zoom, off }).forEach(([act, button]) => { button.dataset.act = act; });
    const output = element("output", {}, `${Math.round(100 * entry.opacity)} %`);
    const slider = element("input", { type: "range", min: 0, max: 100, step: 5, value: Math.round(100 * entry.opacity), "aria-label": `Opacity of ${name}` });
    slider.addEventListener("input", () => {
      entry.opacity = slider.value / 100;
      entry.raster.setOpacity(entry.opacity);
      output.textContent = `${slider.value} %`;
      this.changed();
    });
    const legend = element("div", { className: "legend" });
    this.legend(entry).then((found) => legend.replaceChildren(...legendOf(found)), (error) => legend.replaceChildren(error.message));
    const made = element("li", {}, element("div", { className: "row" }, eye, element("span", { className: "name" }, name), off),
      element("div", { className: "row" }, element("span", { className: "detail" }, `${layer.symbol} · ${layer.period} · ${short(layer.resolution)} m`), up, down, zoom),
      element("div", { className: "opacity" }, "Opacity", slider, output), legend);
    made.append(this.files(entry));
    made.dataset.id = id;
    return made;
  }

  /** Delivered files, asked for when somebody opens the list. */
  files(entry) {
    const inside = element("ul", {}, "...");
    const made = element("details", { className: "files", open: Boolean(entry.files) }, element("summary", {}, "Files"), inside);
    made.addEventListener("toggle", async () => {
      entry.files = made.open;
      if (!made.open) return;
      try {
        const found = await own(`/api/layers/${entry.id}/files`);
        inside.replaceChildren(...found.map(({ tile, name, bytes }) => element("li", {},
          element("a", { href: `${BASE}/file/${entry.id}/${tile}.tif`, download: name }, name), ` ${size(bytes)}`)),
          ...(found.length ? [] : [element("li", {}, "Not delivered here.")]));
      } catch (error) {
        inside.replaceChildren(error.message);
      }
    });
    return made;
  }

  legend({ id, key }) {
    const name = `${id} ${key}`;
    if (!this.legends.has(name)) {
      const asked = own(`/api/layers/${id}/legend`);
      asked.catch(() => this.legends.delete(name));
      this.legends.set(name, asked);
    }
    return this.legends.get(name);
  }

  zoomTo(layer) {
    this.map.getView().fit(layer.bounds, { padding: [30, 30, 30, 30] });
  }
}

/** What a legend says, as elements. */
function legendOf(found) {
  if (found.kind === "bands") {
    const colours = ["Red", "Green", "Blue"];
    return [element("ul", {}, ...found.bands.map((band, k) =>
      element("li", {}, `${colours[k]}: ${band.label}, ${short(band.low)} to ${short(band.high)}`))),
      ...(found.units ? [element("div", { className: "detail" }, found.units)] : [])];
  }
  const bars = (found.bars || []).map((bar) => {
    const canvas = element("canvas", { className: "bar", width: 256, height: 1, role: "img", "aria-label": `Colours from ${end(bar.low)} to ${end(bar.high)}` });
    const pen = canvas.getContext("2d");
    const gradient = pen.createLinearGradient(0, 0, 256, 0);
    bar.colours.forEach((colour, k) => gradient.addColorStop(k / (bar.colours.length - 1), css(colour)));
    pen.fillStyle = gradient;
    pen.fillRect(0, 0, 256, 1);
    return element("div", {}, canvas, element("div", { className: "ends" }, element("span", {}, end(bar.low)), element("span", {}, end(bar.high))));
  });
  const classes = (found.classes || []).map(({ colour, text }) => element("li", {}, swatch(css(colour)), element("span", {}, text)));
  const unit = [found.label, found.units].filter(Boolean).join(", ");
  return [...bars, ...(unit ? [element("div", { className: "detail" }, unit)] : []), ...(classes.length ? [element("ul", {}, ...classes)] : [])];
}

const end = (value) => (typeof value === "number" ? short(value) : value);
