// The tiles: state of the production, the way to a tile, and its report.

import { byId, element } from "./dom.js";
import { BASE } from "./server.js";

export class Tiles {
  constructor(map, outlines, every) {
    Object.assign(this, { map, outlines, rows: [], every: new Map(every.map((entry) => [entry.tile, entry])) });
    byId("tile-filter").addEventListener("input", () => this.draw());
  }

  set({ tiles, production }, hasProduction) {
    this.rows = tiles;
    this.outlines.set(tiles);
    const counts = new Map();
    for (const { state } of tiles) if (state) counts.set(state, (counts.get(state) || 0) + 1);
    const sums = [...counts].map(([state, count]) => `${count} ${state}`).join(", ");
    const lines = production ? [`${tiles.length} ${tiles.length === 1 ? "tile" : "tiles"}: ${sums}`, ...production.lines] : [];
    byId("production").textContent = production ? lines.join(". ")
      : hasProduction ? "The state is being read." : "States of tiles are known with a production file: imperv portal --config FILE.";
    this.draw();
  }

  draw() {
    const wanted = byId("tile-filter").value.trim().toLowerCase();
    const at = document.activeElement?.closest("#tile-list button")?.textContent;
    const rows = this.rows.filter(({ tile, state }) => `${tile} ${state}`.toLowerCase().includes(wanted));
    byId("tile-list").replaceChildren(...rows.map((row) => this.item(row)));
    // A list that is drawn anew keeps the place of the keyboard.
    if (at) [...byId("tile-list").querySelectorAll("button")].find((button) => button.textContent === at)?.focus();
  }

  item({ tile, state, why, stages, report, layers }) {
    const go = element("button", { type: "button", onclick: () => this.go(tile) }, tile);
    const done = Object.entries(stages).map(([stage, { done, total }]) => `${stage} ${done}/${total}`).join(", ");
    const said = state ? element("span", { className: `state ${state.replaceAll(" ", "")}` }, state)
      : element("span", { className: "state" }, `${layers} layers`);
    const link = report ? [element("a", { href: `${BASE}/report/${tile}.report.html`, target: "_blank", rel: "noopener" }, `Report of ${tile}`)] : [];
    const notes = [why, state && state !== "done" ? done : ""].filter(Boolean).map((text) => element("p", { className: "note" }, text));
    return element("li", {}, go, said, ...link, ...notes);
  }

  go(tile) {
    const entry = this.every.get(tile);
    if (entry) this.map.getView().fit(entry.bounds, { padding: [20, 20, 20, 20] });
  }
}
