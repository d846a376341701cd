// The tiles: state of the production, the way to a tile, its report, log and costs; the operator's page.

import { byId, element, short } from "./dom.js";
import { BASE, own } from "./server.js";

/** States of tiles, most urgent first, as `imperv status` has them. */
const STATES = ["failed", "running", "incomplete", "out of date", "missing", "done"];
const WRONG = 20;

export class Tiles {
  constructor(map, outlines, every) {
    Object.assign(this, { map, outlines, rows: [], wanted: new Set(), open: new Set(), every: new Map(every.map((entry) => [entry.tile, entry])) });
    byId("tile-filter").addEventListener("input", () => this.draw());
  }

  set({ tiles, production }, hasProduction) {
    this.rows = tiles;
    this.outlines.set(tiles);
    const count = `${tiles.length} ${tiles.length === 1 ? "tile" : "tiles"}`;
    byId("production").textContent = production ? [count, ...production.lines].join(". ")
      : hasProduction ? "The state is being read." : "States of tiles are known with a production file: imperv portal --config FILE.";
    const wrong = production?.troubles || [];
    byId("wrong").replaceChildren(...wrong.slice(0, WRONG).map((text) => element("li", {}, text)),
      ...(wrong.length > WRONG ? [element("li", {}, `and ${wrong.length - WRONG} more`)] : []));
    byId("wrong").hidden = !wrong.length;
    this.chips();
    this.draw();
  }

  /** A button for each state that tiles have: it shows those alone. */
  chips() {
    const counts = new Map();
    for (const { state } of this.rows) if (state) counts.set(state, (counts.get(state) || 0) + 1);
    for (const state of this.wanted) if (!counts.has(state)) this.wanted.delete(state);
    byId("tile-states").replaceChildren(...STATES.filter((state) => counts.has(state)).map((state) => {
      const made = element("button", { type: "button", "aria-pressed": String(this.wanted.has(state)), className: `chip ${state.replaceAll(" ", "")}` },
        `${counts.get(state)} ${state}`);
      made.addEventListener("click", () => {
        const on = !this.wanted.delete(state);
        if (on) this.wanted.add(state);
        made.setAttribute("aria-pressed", String(on));
        this.draw();
      });
      return made;
    }));
  }

  draw() {
    const wanted = byId("tile-filter").value.trim().toLowerCase();
    const at = document.activeElement?.closest("#tile-list button, #tile-list summary")?.dataset.at;
    const rows = this.rows.filter(({ tile, state, why }) => `${tile} ${state} ${why}`.toLowerCase().includes(wanted)
      && (!this.wanted.size || this.wanted.has(state)));
    byId("tile-list").replaceChildren(...rows.map((row) => this.item(row)));
    // A list that is drawn anew keeps the place of the keyboard.
    if (at) byId("tile-list").querySelector(`[data-at="${at}"]`)?.focus();
  }

  item({ tile, state, why, stages, report, layers }) {
    const go = element("button", { type: "button", onclick: () => this.go(tile), "data-at": tile }, tile);
    const done = Object.entries(stages).map(([stage, { done, total }]) => `${stage} ${done}/${total}`).join(", ");
    const said = state ? element("span", { className: `state ${state.replaceAll(" ", "")}` }, state)
      : element("span", { className: "state" }, `${layers} layers`);
    const link = report ? [element("a", { href: `${BASE}/report/${tile}.report.html`, target: "_blank", rel: "noopener" }, `Report of ${tile}`)] : [];
    const notes = [why, state && state !== "done" ? done : ""].filter(Boolean).map((text) => element("p", { className: "note" }, text));
    return element("li", {}, go, said, ...link, ...notes, ...(state ? [this.more(tile)] : []));
  }

  /** What is asked for only when somebody opens it: costs, log, and the run in Prefect. */
  more(tile) {
    const inside = element("div", {}, "...");
    const made = element("details", { open: this.open.has(tile) }, element("summary", { "data-at": `${tile}-more` }, `Costs and log of ${tile}`), inside);
    const read = async () => {
      try {
        inside.replaceChildren(...this.told(await own(`/api/tiles/${tile}`)));
      } catch (error) {
        inside.replaceChildren(error.message);
      }
    };
    made.addEventListener("toggle", () => {
      this.open[made.open ? "add" : "delete"](tile);
      if (made.open) read();
    });
    return made;
  }

  told({ tile, costs, log, lines, run }) {
    const rows = costs.map(([what, soFar, planned]) => element("tr", {}, element("th", { scope: "row" }, what),
      element("td", {}, short(soFar)), element("td", {}, short(planned))));
    const head = element("tr", {}, element("th", { scope: "col" }, "Cost"), element("th", { scope: "col" }, "So far"), element("th", { scope: "col" }, "Planned"));
    const links = [];
    if (lines) links.push(element("a", { href: `${BASE}/log/${tile}.txt`, target: "_blank", rel: "noopener" }, `Whole log, ${lines} lines`));
    if (run) links.push(element("a", { href: run, target: "_blank", rel: "noopener noreferrer" }, "Run in Prefect"));
    return [element("table", {}, element("thead", {}, head), element("tbody", {}, ...rows)),
      log.length ? element("pre", { tabIndex: 0, role: "region", "aria-label": `Log of ${tile}` }, log.join("\n")) : element("p", { className: "note" }, "No log yet."),
      element("p", { className: "links" }, ...links)];
  }

  go(tile) {
    const entry = this.every.get(tile);
    if (entry) this.map.getView().fit(entry.bounds, { padding: [20, 20, 20, 20] });
  }
}
