// The search box: tiles, towns, countries, coordinates; a combobox with a list (ARIA), by mouse and keys.

/* global ol */

import { byId, element } from "./dom.js";
import { CRS } from "./map.js";

const MOST = 12;

/** Small letters without accents, so that "kobenhavn" finds København. */
const plain = (text) => text.normalize("NFD").replace(/\p{M}/gu, "").replaceAll("ø", "o").replaceAll("Ø", "o").toLowerCase();

export class Search {
  constructor(map, tiles, places) {
    Object.assign(this, { map, found: [], chosen: -1, went: () => {} });
    this.all = [
      ...tiles.map(({ tile, bounds }) => ({ name: tile, kind: "tile", bounds })),
      ...places.towns.map(([name, x, y]) => ({ name, kind: "town", bounds: [x - 6000, y - 6000, x + 6000, y + 6000] })),
      ...Object.entries(places.countries).map(([name, bounds]) => ({ name, kind: "country", bounds })),
    ].map((entry) => ({ ...entry, plain: plain(entry.name) }));
    this.box = byId("search");
    this.list = byId("found");
    this.box.addEventListener("input", () => this.look());
    this.box.addEventListener("keydown", (event) => this.key(event));
    this.box.addEventListener("blur", () => setTimeout(() => this.close(), 150));
  }

  look() {
    const text = plain(this.box.value.trim());
    const place = coordinates(text);
    const starts = this.all.filter((entry) => entry.plain.startsWith(text));
    const inside = this.all.filter((entry) => !entry.plain.startsWith(text) && entry.plain.includes(text));
    this.found = text ? [...(place ? [place] : []), ...starts, ...inside].slice(0, MOST) : [];
    this.choose(this.found.length ? 0 : -1);
    this.list.replaceChildren(...this.found.map((entry, k) => {
      const made = element("li", { id: `found-${k}`, role: "option", "aria-selected": String(k === this.chosen) }, `${entry.name} `, element("small", {}, entry.kind));
      made.addEventListener("pointerdown", (event) => {
        event.preventDefault();
        this.go(entry);
      });
      return made;
    }));
    if (text && !this.found.length) {
      this.list.append(element("li", { role: "option", "aria-disabled": "true", "aria-selected": "false" }, "Nothing of this name. Try E44N26, Vienna or 48.21, 16.37"));
    }
    this.list.hidden = !text;
    this.box.setAttribute("aria-expanded", String(Boolean(text)));
    this.choose(this.chosen);
  }

  choose(number) {
    this.chosen = number;
    [...this.list.children].forEach((child, k) => child.setAttribute("aria-selected", String(k === number)));
    if (number >= 0) this.box.setAttribute("aria-activedescendant", `found-${number}`);
    else this.box.removeAttribute("aria-activedescendant");
  }

  key(event) {
    if (event.key === "Escape") {
      this.close();
    } else if (event.key === "Enter" && this.found[this.chosen]) {
      this.go(this.found[this.chosen]);
    } else if ((event.key === "ArrowDown" || event.key === "ArrowUp") && this.found.length) {
      const by = event.key === "ArrowDown" ? 1 : -1;
      this.choose((this.chosen + by + this.found.length) % this.found.length);
      this.list.children[this.chosen].scrollIntoView({ block: "nearest" });
    } else {
      return;
    }
    event.preventDefault();
  }

  go(entry) {
    this.box.value = entry.name;
    this.close();
    this.map.getView().fit(entry.bounds, { padding: [20, 20, 20, 20] });
    this.went(entry);
  }

  close() {
    this.list.hidden = true;
    this.box.setAttribute("aria-expanded", "false");
    this.choose(-1);
  }
}

/** A place from "latitude, longitude" or "easting northing" in EPSG:3035; nothing for other text. */
function coordinates(text) {
  const match = /^(-?\d+(?:\.\d+)?)[\s,;]+(-?\d+(?:\.\d+)?)$/.exec(text);
  if (!match) return null;
  const [a, b] = [Number(match[1]), Number(match[2])];
  const degrees = Math.abs(a) <= 90 && Math.abs(b) <= 180;
  const [x, y] = degrees ? ol.proj.fromLonLat([b, a], CRS) : [a, b];
  if (!ol.extent.containsXY(ol.proj.get(CRS).getExtent(), x, y)) return null;
  const kind = degrees ? "latitude, longitude" : "EPSG:3035";
  return { name: match[0], kind, bounds: [x - 1500, y - 1500, x + 1500, y + 1500] };
}
