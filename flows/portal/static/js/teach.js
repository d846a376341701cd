// Teaching a project: the view at once, the whole area as a job, rounds with their scores, comparisons, places to draw next.

/* global ol */

import { byId, element, iconButton, swatch } from "./dom.js";
import { CRS } from "./map.js";
import { follow } from "./job.js";
import { BASE, own, send } from "./server.js";
import { compared, percent, scoresOf } from "./scores.js";

const ABOVE = 800;

/** What jobs of teaching do. */
const WORDS = { tune: "The whole area is taught", restore: "The round is restored", package: "The package is made" };

export default class Teach {
  constructor(portal, about) {
    Object.assign(this, { portal, about, views: [], places: null, at: -1, busy: 0, going: null, fault: "" });
    this.mark = new ol.source.Vector();
    portal.map.addLayer(new ol.layer.Vector({ source: this.mark, zIndex: 960, style: { "stroke-color": "#0b57d0", "stroke-width": 3 } }));
  }

  async begin() {
    if (!this.portal.site.taught) return;
    byId("teach-run").addEventListener("click", () => this.tried(() => this.run()));
    byId("teach-try").addEventListener("click", () => this.tried(() => this.view()));
    byId("teach-shown").addEventListener("change", () => this.draw());
    byId("teach-next").addEventListener("click", () => this.tried(() => this.next()));
    byId("teach-unsure").addEventListener("click", () => this.toggle(this.known.layers.confidence));
    byId("teach-cancel").addEventListener("click", () => this.cancel());
    byId("teach-swipe").addEventListener("click", () => this.swipe());
    byId("teach-table").addEventListener("click", () => this.tried(() => this.table()));
    byId("tab-teach").addEventListener("click", () => this.renew().catch(() => {}));
    this.portal.layers.watch(() => this.changed());
    await this.renew();
    await this.tried(() => this.resume());
  }

  /** Do something; what is refused is told in its line. While a job goes on, places and tables can be asked for. */
  async tried(action) {
    this.trouble("");
    this.busy += 1;
    this.enable();
    try {
      await action();
    } catch (error) {
      this.trouble(error.message);
    } finally {
      this.busy -= 1;
      if (!this.busy) this.say("");
      this.enable();
    }
  }

  /** What went wrong, or else what is wrong with what was drawn. */
  trouble(text) {
    const shown = text || this.fault;
    byId("teach-trouble").textContent = shown;
    byId("teach-trouble").hidden = !shown;
  }

  say(text) {
    byId("teach-state").textContent = text;
    byId("teach-going").hidden = !text;
  }

  /** What the server knows now. */
  async renew(fresh = false) {
    this.version = this.portal.version;
    this.known = await own(`/api/teach${fresh ? "?fresh=true" : ""}`);
    const { tiles, classes } = this.known;
    const counts = new Map(classes.map(({ name }) => [name, 0]));
    for (const { samples } of tiles) for (const [name, count] of Object.entries(samples)) counts.set(name, (counts.get(name) || 0) + count);
    this.drawn = [...counts.values()].reduce((a, b) => a + b, 0);
    const [fault = "", ...more] = (tiles.map(({ trouble }) => trouble).find(Boolean) || "").split("\n");
    const before = this.fault;
    this.fault = more.length ? `${fault} (and ${more.length} more, see Draw)` : fault;
    if (this.fault !== before) this.trouble("");
    const missing = tiles.map((tile) => tile.missing).find(Boolean) || (this.drawn ? "" : "There are no samples yet: draw some of at least two classes.");
    const one = this.drawn && [...counts.values()].filter(Boolean).length === 1 ? "All samples are of one class; draw another, or the map may turn to it." : "";
    byId("teach-note").textContent = missing || one || "The view is taught at once, then the whole area in the background. The map that is there stays until the new one is done.";
    byId("teach-samples").replaceChildren(...classes.map(({ name, colour }) =>
      element("li", {}, swatch(colour), element("span", {}, name), element("span", {}, String(counts.get(name))))));
    this.ready = !tiles.some(({ missing: why }) => why);
    this.rounds();
    this.choices();
    this.enable();
  }

  enable() {
    const can = this.ready && this.drawn && !this.known.tiles.some(({ trouble }) => trouble);
    for (const id of ["teach-run", "teach-try"]) byId(id).disabled = this.busy > 0 || !can;
    const short = this.busy > (this.going ? 1 : 0);
    byId("teach-next").disabled = short || !this.ready;
    byId("teach-unsure").disabled = !this.known.layers.confidence;
    const two = this.maps().length > 1;
    byId("teach-swipe").disabled = !two;
    byId("teach-table").disabled = short || !two;
    for (const button of byId("rounds").querySelectorAll("[data-job]")) button.disabled = this.busy > 0;
  }

  /** The view at once, then the whole area. */
  async run() {
    const seen = this.portal.map.getView().calculateExtent(this.portal.map.getSize());
    if (!this.about.bbox || ol.extent.intersects(seen, this.about.bbox)) await this.view();
    else await this.portal.draw?.samples.saved();
    await this.job("tune", {}, WORDS.tune);
  }

  /** Teach what the map shows, and draw it over everything. */
  async view() {
    this.say("The view is taught …");
    await this.portal.draw?.samples.saved();
    const { views } = await send("POST", `${BASE}/api/teach/view`, { bounds: this.portal.map.getView().calculateExtent(this.portal.map.getSize()) });
    if (!views.length) throw new Error("The map shows nothing of the project's area; go there and run the model again.");
    this.clear();
    this.views = views.map(({ key, bounds }) => {
      const source = new ol.source.ImageStatic({ url: `${BASE}/taught/${key}.png`, imageExtent: bounds, projection: CRS, interpolate: false });
      const image = new ol.layer.Image({ source, zIndex: ABOVE });
      this.portal.map.addLayer(image);
      return { image, bounds };
    });
    byId("teach-view").hidden = false;
    byId("teach-shown").checked = true;
    byId("teach-scores").replaceChildren(...views.map(({ tile, scores }) => scoresOf(scores, `Left-out polygons${views.length > 1 ? `, ${tile}` : ""}`, true)));
    this.draw();
  }

  draw() {
    const shown = byId("teach-shown").checked;
    this.mark.clear();
    for (const { image, bounds } of this.views) {
      image.setVisible(shown);
      if (shown) this.mark.addFeature(new ol.Feature(ol.geom.Polygon.fromExtent(bounds)));
    }
  }

  clear() {
    for (const { image } of this.views) this.portal.map.removeLayer(image);
    this.views = [];
    this.mark.clear();
    byId("teach-view").hidden = true;
  }

  /** Start a job and wait for its end. */
  async job(kind, wanted, what) {
    await this.follow(await send("POST", `${BASE}/api/teach/${kind}`, wanted), what);
  }

  async follow(job, what) {
    this.going = job;
    byId("teach-cancel").hidden = false;
    this.enable();
    try {
      await follow(job, (now) => this.say(now.state === "waiting" ? `${what} when the job before it has ended …` : `${what} …`));
    } finally {
      this.going = null;
      byId("teach-cancel").hidden = true;
    }
    if (job.kind === "package") this.download(job.arguments);
    else await this.finished();
  }

  /** End the job that is waited for: its end is told where it is waited for. */
  async cancel() {
    byId("teach-cancel").hidden = true;
    await send("DELETE", `${BASE}/api/jobs/${this.going.number}`, {}).catch((error) => this.trouble(error.message));
  }

  /** A job that was started before the page was loaded. */
  async resume() {
    const { jobs } = await own("/api/jobs");
    const going = jobs.find(({ kind, active }) => WORDS[kind] && active);
    if (going) await this.follow(going, WORDS[going.kind]);
  }

  /** A job has made another round the present one: show its map. */
  async finished() {
    await this.renew(true);
    await this.portal.renew();
    this.clear();
    this.places = null;
    if (this.known.layers.tuned) this.portal.layers.add(this.known.layers.tuned);
  }

  /** Go to the next place where a polygon would tell much. */
  async next() {
    if (!this.places) {
      this.say("Places are looked for …");
      this.places = (await own("/api/teach/places")).places;
      this.at = -1;
    }
    if (!this.places.length) {
      byId("teach-place").textContent = "There is no such place.";
      return;
    }
    this.at = (this.at + 1) % this.places.length;
    const { bounds, base, tuned, second } = this.places[this.at];
    const said = base === tuned ? `${tuned}, or ${second}?` : `${base} in the base map, ${tuned} in the present one${second === base ? "" : `, or ${second}`}?`;
    const line = byId("teach-place");
    line.textContent = `${this.at + 1} of ${this.places.length}: ${said} `;
    this.mark.clear();
    this.mark.addFeature(new ol.Feature(ol.geom.Polygon.fromExtent(bounds)));
    this.portal.map.getView().fit(bounds, { minResolution: 1.25 });
    line.append(element("button", { type: "button", onclick: () => this.drawHere(tuned) }, "Draw here"));
  }

  /** The tab where polygons are drawn, with a class chosen. */
  drawHere(name) {
    this.portal.show("draw", true);
    const choice = [...document.querySelectorAll("[name=draw-class]")].find(({ value }) => value === name);
    if (!choice) return;
    choice.checked = true;
    choice.dispatchEvent(new Event("change"));
  }

  /** Every map that can be shown: the base map and the rounds, the newest first. */
  maps() {
    const { tiles, layers } = this.known;
    const numbers = [...new Set(tiles.flatMap(({ rounds }) => rounds.filter(({ layer }) => layer).map(({ round }) => round)))];
    const found = numbers.sort((a, b) => b - a).map((round) => ({ round, name: `Round ${round}`,
      layer: tiles.flatMap(({ rounds }) => rounds).find((one) => one.round === round && one.layer).layer }));
    return layers.base ? [...found, { round: 0, name: "Base map", layer: layers.base }] : found;
  }

  rounds() {
    const text = JSON.stringify(this.known);
    if (text === this.listed) return this.pressed(); // a button that is made anew while it is pressed does nothing
    this.listed = text;
    const { tiles, layers } = this.known;
    const many = tiles.length > 1;
    const items = tiles.flatMap(({ tile, rounds, missing }) => {
      const present = rounds.find((one) => one.present)?.round || 0;
      const base = layers.base && !missing ? [this.item(tile, { round: 0, present: !present, layer: layers.base, finished: true }, many)] : [];
      return [...rounds.toReversed().map((one) => this.item(tile, one, many)), ...base];
    });
    byId("rounds").replaceChildren(...items);
    this.pressed();
  }

  item(tile, one, many) {
    const name = `${one.round ? `Round ${one.round}` : "Base map"}${many ? `, ${tile}` : ""}`;
    const eye = iconButton("eye", `Show ${name}`, () => this.toggle(one.layer));
    eye.classList.add("eye");
    eye.disabled = !one.layer;
    eye.dataset.layer = one.layer;
    const restore = element("button", { type: "button", "data-job": "restore", "aria-label": `Restore ${name}`,
      onclick: () => this.tried(() => this.restore(tile, one.round)) }, "Restore");
    const packed = element("button", { type: "button", "data-job": "package", "aria-label": `Package of ${name}`,
      onclick: () => this.tried(() => this.packed(tile, one.round)) }, "Package");
    const row = element("div", { className: "row" }, eye, element("span", { className: "name" }, name),
      ...(one.present ? [element("span", { className: "state done" }, "present")] : []),
      ...(one.present && one.finished ? [] : [restore]), ...(one.finished ? [packed] : []));
    return element("li", {}, row, ...(one.round ? about(one) : []));
  }

  async restore(tile, round) {
    await this.job("restore", { tile, round }, WORDS.restore);
  }

  /** Have the package made; the browser then downloads it. */
  async packed(tile, round) {
    await this.job("package", { tile, round }, WORDS.package);
  }

  download({ tile, round }) {
    const link = element("a", { href: `${BASE}/packages/${tile}.${round}.zip`, download: "" });
    document.body.append(link);
    link.click();
    link.remove();
  }

  toggle(id) {
    if (id) this.portal.layers.toggle(id);
  }

  /** Other layers are shown, or there: a run has made some, or the first look at the store is over. */
  changed() {
    if (this.known) this.pressed();
    if (this.version !== this.portal.version) this.renew().catch(() => {}); // the page says itself that the portal is gone
  }

  /** Buttons say which layers are shown. */
  pressed() {
    const on = (id) => String(Boolean(id && this.portal.layers.entry(id)));
    for (const eye of byId("rounds").querySelectorAll(".eye")) eye.setAttribute("aria-pressed", on(eye.dataset.layer));
    byId("teach-unsure").setAttribute("aria-pressed", on(this.known.layers.confidence));
  }

  /** What can be compared, with the newest round and what was before it chosen. */
  choices() {
    const maps = this.maps();
    const same = maps.length === byId("teach-first").options.length;
    ["teach-first", "teach-second"].forEach((id, k) => {
      const kept = same ? byId(id).value : "";
      byId(id).replaceChildren(...maps.map(({ name, layer }) => element("option", { value: layer }, name)));
      byId(id).value = maps.some(({ layer }) => layer === kept) ? kept : (maps[1 - k] || maps[0])?.layer || "";
    });
  }

  chosen() {
    const maps = this.maps();
    return ["teach-first", "teach-second"].map((id) => maps.find(({ layer }) => layer === byId(id).value));
  }

  swipe() {
    const [first, second] = this.chosen();
    this.clear();
    this.portal.hold(first.layer, second.layer);
  }

  async table() {
    const [first, second] = this.chosen();
    this.say("The two are compared …");
    const { tiles } = this.known;
    const has = ({ rounds }, { round }) => !round || rounds.some((one) => one.round === round);
    const found = [];
    for (const one of tiles.filter((tile) => has(tile, first) && has(tile, second))) {
      found.push(compared(await own(`/api/teach/compare?tile=${one.tile}&first=${first.round}&second=${second.round}`), [first.name, second.name], tiles.length > 1 ? one.tile : ""));
    }
    byId("teach-compare").replaceChildren(...found);
  }
}

/** What is known of a round. */
function about(one) {
  const when = new Date(one.created);
  const made = `${Number.isNaN(when.getTime()) ? one.created : when.toLocaleString()} · ${one.polygons} ${one.polygons === 1 ? "polygon" : "polygons"}`;
  if (!one.finished) return [element("p", { className: "note" }, `${made} · not finished: restore it to finish it`)];
  const stale = one.layer ? [] : [element("p", { className: "note" }, "Its map is shown when it is restored: it is of another base map, has networks of its own, or is too large.")];
  return [
    element("p", { className: "note" }, made),
    element("p", {}, `Accuracy on left-out polygons ${percent(one.scores.scores.oa)} · ${(100 * one.changed_share).toFixed(1)} % of the base map changed`),
    ...one.warnings.map((line) => element("p", { className: "note" }, line)), ...stale,
    scoresOf(one.scores, "Scores by class", false, one.classes),
  ];
}
