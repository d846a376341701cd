// The run of a project: start, cancel, go on; how far each node is; log and error report. It asks again and again, as what it shows
// is made from the records: a page that is loaded anew, or a portal that is started anew, shows the same.

import { byId, element, icon } from "./dom.js";
import { duration, sentences } from "./estimate.js";
import { BASE, own, send } from "./server.js";

const SOON = 1500;
const LATER = 10_000;
const APPEAR = 60_000;

/** Icon and word of the state of a node. */
const STATES = {
  waiting: ["wait", "waiting"], running: ["play", "running"], done: ["check", "done"], "up to date": ["check", "up to date"],
  "not made": ["dash", "not made"], failed: ["cross", "failed"],
};
const READY = ["done", "up to date", "not made"];

/** Text of an element, changed only where it differs: what is read aloud is not read again. */
function say(id, text) {
  if (byId(id).textContent !== text) byId(id).textContent = text;
  byId(id).hidden = !text;
}

export default class Work {
  constructor(portal) {
    this.portal = portal;
    byId("work-start").addEventListener("click", () => this.change(() => send("POST", `${BASE}/api/jobs`, { kind: "run" })));
    byId("work-cancel").addEventListener("click", () => this.change(() => send("DELETE", `${BASE}/api/jobs/${this.job.number}`, {})));
  }

  begin() {
    this.watch(); // the other parts of the page need not wait for a plan
  }

  async watch() {
    for (;;) {
      if (!document.hidden) await this.renew();
      await new Promise((resolve) => { setTimeout(resolve, this.job?.active ? SOON : LATER); });
    }
  }

  /** Ask for something, and show at once what came of it. */
  async change(action) {
    byId("work-start").disabled = true;
    byId("work-cancel").disabled = true;
    try {
      await action();
      this.refused = "";
    } catch (error) {
      this.refused = error.message;
    }
    await this.renew();
  }

  async renew() {
    try {
      const found = await own("/api/progress");
      const ended = this.job?.active && !found.job?.active;
      Object.assign(this, found);
      this.lost = "";
      this.draw();
      if (this.estimated === undefined || ended) await this.estimate();
      if (ended && this.job.state === "done") this.appear();
    } catch (error) {
      // A portal that does not answer is told by the page; what it answers, such as a file that is wrong, here.
      this.lost = error.status ? error.message : "";
      say("work-trouble", this.lost || byId("work-trouble").textContent);
    }
  }

  async estimate() {
    try {
      this.estimated = sentences(await own("/api/estimate"));
    } catch (error) {
      this.estimated = error.status ? error.message : "";
    }
    this.draw();
  }

  draw() {
    const { job, nodes } = this;
    const active = Boolean(job?.active);
    const ready = nodes.filter(({ state }) => READY.includes(state)).length;
    const rest = nodes.length - ready;
    const state = !job ? "" : active ? this.going(job) : job.state === "done" ? "Done." : { failed: "Failed.", cancelled: "Cancelled.", lost: "Cut off." }[job.state];
    say("work-state", `${state || (!rest ? "Everything is made." : ready ? "Partly made." : "Not started.")} ${ready} of ${nodes.length} nodes are ready.`);
    byId("work-bar").max = Math.max(1, nodes.length);
    byId("work-bar").value = ready;
    const start = byId("work-start");
    start.hidden = active;
    start.disabled = !rest;
    start.textContent = ready && rest ? "Go on" : "Start";
    byId("work-cancel").hidden = !active;
    byId("work-cancel").disabled = !active || job.cancelling;
    byId("work-cancel").textContent = job?.cancelling ? "Cancelling" : "Cancel";
    say("work-trouble", this.refused || (!active && job?.state !== "done" && job?.line) || "");
    say("work-estimate", active || !rest ? "" : this.estimated);
    this.files(job);
    this.list(nodes);
  }

  going({ state, ahead, cancelling }) {
    if (state === "waiting") return ahead ? `Waiting for ${ahead} other ${ahead === 1 ? "job" : "jobs"}.` : "Waiting for its turn.";
    return cancelling ? "Cancelling." : "Running.";
  }

  files(job) {
    const shown = job && (job.began || job.line) ? `${job.number} ${job.state}` : "";
    if (shown === this.linked) return;
    this.linked = shown;
    const to = (what, text) => element("a", { href: `${BASE}/api/jobs/${job.number}/${what}`, download: "" }, text);
    const links = shown ? [to("log", "Download the log"), ...(["failed", "lost"].includes(job.state) ? [to("report", "Download the error report")] : [])] : [];
    byId("work-files").replaceChildren(...links);
  }

  list(nodes) {
    const text = JSON.stringify(nodes);
    if (text === this.listed) return;
    this.listed = text;
    const several = new Set(nodes.map(({ tile }) => tile)).size > 1;
    byId("node-list").replaceChildren(...nodes.map((node) => this.node(node, several)));
  }

  node({ tile, node, title, state, note, seconds, blocks }, several) {
    const [picture, word] = STATES[state];
    const [done, total] = blocks || [0, 0];
    const more = total > 1 ? `, ${done} of ${total}` : state === "done" && seconds >= 1 ? `, ${duration(seconds)}` : "";
    const said = element("span", { className: `state ${state.replaceAll(" ", "")}` });
    said.append(icon(picture), `${word}${more}`);
    return element("li", { "data-node": node, "data-state": state }, element("span", { className: "title" }, several ? `${tile}: ${title}` : title), said,
      ...(note ? [element("p", { className: "note" }, note)] : []));
  }

  /** Show the map that the run made, as soon as the portal has seen it. */
  async appear() {
    const until = Date.now() + APPEAR;
    const { layers } = this.portal;
    while (Date.now() < until) {
      await this.portal.renew().catch(() => {});
      const found = [...layers.known.values()].find(({ symbol, group }) => symbol === this.map && group === "Maps");
      if (found) {
        layers.add(found.id);
        return;
      }
      await new Promise((resolve) => { setTimeout(resolve, SOON); });
    }
  }
}
