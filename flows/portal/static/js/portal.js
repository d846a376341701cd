// The page: starts everything, and keeps it up to date with the server.

import { byId, element } from "./dom.js";
import { Layers } from "./layers.js";
import { read, write } from "./link.js";
import { align, makeMap, Outlines, wholeOf } from "./map.js";
import { Search } from "./search.js";
import { ask, begin, own, Refused } from "./server.js";
import { Swipe } from "./swipe.js";
import { Tiles } from "./tiles.js";
import { Values } from "./values.js";

const SOON = 1000;
const LATER = 10_000;

function say(text, bad = false) {
  const line = byId("message");
  line.textContent = text;
  line.classList.toggle("bad", bad);
  line.hidden = !text;
}

/** Parts of the page that only some kinds of pages have. */
const PARTS = { projects: ["./projects.js"], project: ["./project.js"] };

/** Tabs of this page, of its kind and with what its site needs for them, by click and arrow keys; the function that shows one. */
function tabs(site) {
  const all = [...document.querySelectorAll("[role=tab]")];
  const fits = ({ of, needs }) => of.split(" ").includes(site.kind) && (!needs || site[needs]);
  const buttons = all.filter((button) => fits(button.dataset));
  for (const button of all) if (!buttons.includes(button)) button.remove();
  const show = (name, focus = false) => {
    for (const button of buttons) {
      const chosen = button.getAttribute("aria-controls") === name;
      button.setAttribute("aria-selected", String(chosen));
      button.tabIndex = chosen ? 0 : -1;
      byId(button.getAttribute("aria-controls")).hidden = !chosen;
      if (chosen && focus) button.focus();
    }
  };
  buttons.forEach((button) => {
    button.addEventListener("click", () => show(button.getAttribute("aria-controls")));
    button.addEventListener("keydown", (event) => {
      const by = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
      const seen = buttons.filter((one) => !one.hidden);
      if (by) show(seen[(seen.indexOf(button) + by + seen.length) % seen.length].getAttribute("aria-controls"), true);
    });
  });
  show(buttons[0].getAttribute("aria-controls"));
  return show;
}

class Portal {
  constructor(site, lists, places) {
    this.site = site;
    this.wanted = read();
    const map = (this.map = makeMap(site, byId("map")));
    const remember = () => this.remember();
    this.layers = new Layers(map, site, () => {
      this.swipe.refresh();
      remember();
    });
    this.swipe = new Swipe(map, this.layers, remember);
    this.tiles = new Tiles(map, new Outlines(map, lists.tiles), lists.tiles);
    this.lists = lists;
    this.say = say;
    this.show = tabs(site);
    this.values = site.kind === "projects" ? null : new Values(map, this.layers, this.show);
    this.search = new Search(map, lists.tiles, places);
    this.layers.stale = () => this.renew();
    map.on("moveend", () => {
      align(map);
      const far = map.getView().getResolution() > site.pyramid.drawn && this.layers.shown.length;
      byId("hint").hidden = !far;
      remember();
    });
    addEventListener("hashchange", () => this.follow());
    byId("site").textContent = site.name;
    document.title = `${site.name} – imperv portal`;
    byId("share").addEventListener("click", () => this.share());
  }

  /** The parts that this kind of page has, and the first view. */
  async begin() {
    byId("all-projects").hidden = this.site.kind !== "project";
    await this.renew();
    const parts = await Promise.all((PARTS[this.site.kind] || []).map((name) => import(name)));
    for (const { default: Part } of parts) await new Part(this).begin();
  }

  /** Everything that the server has now, asked for after this call: who calls while it is asked for gets the next answer. */
  renew() {
    this.next ||= (this.renewing || Promise.resolve()).catch(() => {}).then(() => {
      this.renewing = this.next;
      this.next = null;
      return this.take();
    });
    return this.next;
  }

  /** Show what the server has; the first time also the view. */
  async take() {
    const found = await own("/api/layers");
    this.tiles.set(await own("/api/tiles"), this.site.production);
    this.version = found.version;
    this.layers.set(found.layers);
    this.pairs(found.compared);
    this.notes(found);
    if (!this.opened && (!found.progress || found.layers.length)) this.open(found.layers, found.first);
    this.swipe.refresh();
  }

  /** Buttons that show two layers with the swipe line between them. */
  pairs(compared) {
    byId("pairs").replaceChildren(...compared.map(({ left, right }) => {
      const names = [left, right].map((id) => this.layers.known.get(id));
      return element("button", { type: "button", onclick: () => this.hold(left, right) },
        `${names[0].symbol} beside ${names[1].symbol}, ${names[1].period}`);
    }));
  }

  /** Show two layers alone, one left and one right of the line. */
  hold(left, right) {
    for (const { id } of [...this.layers.shown]) this.layers.remove(id, true);
    for (const id of [left, right]) this.layers.add(id, { quiet: true });
    this.layers.update();
    this.swipe.set({ on: true, left, right });
  }

  notes({ progress, trouble, unread, layers }) {
    const done = progress && `Reading the store: ${progress[0]} of ${progress[1]} tiles`;
    const none = layers.length || this.site.kind !== "viewer" ? "" : "There is no layer in EPSG:3035 yet.";
    say(trouble || done || none, Boolean(trouble));
    const texts = [];
    if (unread.length) texts.push(`Not shown: ${unread.slice(0, 5).join("; ")}${unread.length > 5 ? `; and ${unread.length - 5} more` : ""}.`);
    byId("hidden-layers").textContent = texts.join(" ");
    byId("hidden-layers").hidden = !texts.length;
  }

  /** The view that the link asks for, or a first one: one map over all its tiles. */
  open(layers, first) {
    this.opened = true;
    if (this.wanted.at) this.look(this.wanted.at);
    else this.map.getView().fit(wholeOf(layers.map((layer) => layer.bounds)), { padding: [30, 30, 30, 30] });
    if (this.wanted.on) this.wanted.on.forEach((entry) => this.layers.add(entry.id, entry));
    else if (first) this.layers.add(first);
    if (this.wanted.swipe) this.swipe.set(this.wanted.swipe);
    this.remember();
  }

  look({ center, resolution }) {
    const view = this.map.getView();
    view.setResolution(resolution);
    view.setCenter(center);
  }

  /** Another link was pasted into the address of the open page. */
  follow() {
    if (new URLSearchParams(location.hash.slice(1)).has("token")) location.reload();
    this.wanted = read();
    for (const { id } of [...this.layers.shown]) this.layers.remove(id, true);
    if (this.wanted.on) this.wanted.on.forEach((entry) => this.layers.add(entry.id, { ...entry, quiet: true }));
    if (this.wanted.at) this.look(this.wanted.at);
    this.layers.update();
    this.swipe.set(this.wanted.swipe || { on: false });
  }

  remember() {
    if (this.opened) write(this.map.getView(), this.layers, this.swipe);
  }

  async share() {
    this.remember();
    try {
      await navigator.clipboard.writeText(location.href);
      say("The link to this view is copied. Who opens it needs a session of this portal.");
    } catch {
      say("The browser does not let the page copy: the link is in the address bar.");
    }
    setTimeout(() => say(""), 5000);
  }

  async watch() {
    for (;;) {
      let pause = LATER;
      try {
        if (!document.hidden) {
          const now = await own("/api/version");
          if (this.lost) say("");
          this.lost = false;
          if (now.layers !== this.version || now.progress || !this.opened || now.trouble) {
            await this.renew();
            pause = now.progress ? SOON : LATER;
          } else if (now.state !== this.state) {
            this.tiles.set(await own("/api/tiles"), this.site.production);
          }
          this.state = now.state;
        }
      } catch (error) {
        this.lost = true;
        say(error instanceof Refused && error.status === 401 ? "The portal was started anew. Open the link that it printed." : "The portal does not answer; is it still running?", true);
      }
      await new Promise((resolve) => { setTimeout(resolve, pause); });
    }
  }
}

async function start() {
  try {
    await begin();
    const [site, lists, places] = await Promise.all([own("/api/site"), ask("/api/lists"), fetch("/static/data/places.json").then((r) => r.json())]);
    const portal = new Portal(site, lists, places);
    window.portal = portal; // for tests and the curious
    await portal.begin();
    await portal.watch();
  } catch (error) {
    say(error.message, true);
  }
}

start();
