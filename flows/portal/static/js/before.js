// Before a project is created: what it would take, and the calendar of clear looks, from which a month is chosen.

import { byId, element } from "./dom.js";
import { sentences } from "./estimate.js";
import { send } from "./server.js";

export const MONTHS = ["January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November", "December"];

const PAUSE = 500;
const FAIR = 0.5;
const CLEAR = 0.8;

/** Class of a day by what of its scenes is clear. */
const kind = ({ clear }) => (clear === null ? "unknown" : clear >= CLEAR ? "clear" : clear >= FAIR ? "fair" : "cloudy");

export class Before {
  constructor(changed) {
    this.changed = changed;
    byId("calendar").addEventListener("toggle", () => this.look());
  }

  /** The form asks for something else: null while it is not complete. */
  set(wanted) {
    this.wanted = wanted;
    clearTimeout(this.timer);
    this.timer = setTimeout(() => {
      this.estimate();
      this.look();
    }, PAUSE);
    this.mark();
  }

  async estimate() {
    const { wanted } = this;
    const place = byId("before-create");
    if (!wanted) return place.replaceChildren();
    place.replaceChildren(element("p", { className: "note" }, "Estimating..."));
    const found = await send("POST", "/api/estimate", wanted).then(sentences, (error) => error.message);
    if (wanted === this.wanted) place.replaceChildren(element("p", { className: "note", id: "estimate" }, found));
    return undefined;
  }

  /** Ask for the year of the form, where the calendar is open and shows another one. */
  async look() {
    const { wanted } = this;
    if (!byId("calendar").open) return;
    const year = Number(byId("new-year").value);
    const asked = wanted && { template: wanted.template, bbox: wanted.bbox, year };
    const text = JSON.stringify(asked);
    if (text === this.asked) return;
    this.asked = text;
    byId("months").replaceChildren();
    byId("calendar-note").textContent = asked ? "Asking the catalogue..." : "Choose a region first.";
    if (!asked) return;
    try {
      const { days } = await send("POST", "/api/calendar", asked);
      if (text === this.asked) this.draw(year, days);
    } catch (error) {
      if (text === this.asked) byId("calendar-note").textContent = error.message;
      this.asked = ""; // so that opening it again asks again
    }
  }

  draw(year, days) {
    const known = new Map(days.map((day) => [day.day, day]));
    const clear = days.filter((day) => day.clear >= CLEAR).length;
    const silent = days.every((day) => day.clear === null);
    const said = silent ? "; the catalogue does not say how clear" : `, ${clear} of them clear`;
    byId("calendar-note").textContent = days.length ? `${days.length} days with scenes in ${year}${said}. Choose a month.` : `The catalogue has no scenes of ${year} here.`;
    byId("months").replaceChildren(...MONTHS.map((name, k) => element("li", {}, this.month(name, k, year, known))));
    this.mark();
  }

  month(name, k, year, known) {
    const length = new Date(Date.UTC(year, k + 1, 0)).getUTCDate();
    const first = (new Date(Date.UTC(year, k, 1)).getUTCDay() + 6) % 7; // weeks begin on Monday
    const looks = [];
    const cells = Array.from({ length: first }, () => element("i", { className: "none" }));
    for (let day = 1; day <= length; day += 1) {
      const found = known.get(`${year}-${String(k + 1).padStart(2, "0")}-${String(day).padStart(2, "0")}`);
      if (found) looks.push(found);
      const said = found && (found.clear === null ? "scenes" : `${Math.round(100 * found.clear)} % clear`);
      cells.push(element("i", { className: found ? kind(found) : "", ...(said ? { title: `${day} ${name}: ${said}` } : {}) }));
    }
    const clear = looks.filter((look) => look.clear >= CLEAR);
    const grid = element("span", { className: "days", "aria-hidden": "true" }, ...cells);
    const best = clear.reduce((a, b) => (a && a.clear >= b.clear ? a : b), null);
    const made = element("button", {
      type: "button", "data-month": String(k + 1).padStart(2, "0"), "aria-pressed": "false",
      "aria-label": `${name}: ${clear.length} clear of ${looks.length} days with scenes${best ? `, best ${Number(best.day.slice(8))} ${name}` : ""}`,
    }, element("span", {}, name.slice(0, 3), element("small", {}, ` ${clear.length}/${looks.length}`)), grid);
    made.addEventListener("click", () => {
      byId("new-month").value = made.dataset.month;
      this.changed();
    });
    return made;
  }

  /** The month of the form is pressed. */
  mark() {
    for (const button of byId("months").querySelectorAll("button")) button.setAttribute("aria-pressed", String(button.dataset.month === byId("new-month").value));
  }
}
