// The classes of a new project: those of its template, or a person's own list of names, codes and colours.

import { byId, element, iconButton } from "./dom.js";

const SPARE = ["#e8862e", "#8a4fb5", "#2fb5a8", "#b5892f", "#d45aa0"];
const LAST = 254;

export class Classes {
  constructor(changed) {
    Object.assign(this, { changed, usual: null, rows: [] });
    byId("class-add").addEventListener("click", () => this.add());
    byId("class-usual").addEventListener("click", () => this.fill());
    // What is wrong in a list that is closed could not be shown.
    byId("class-list").addEventListener("invalid", () => { byId("classes").open = true; }, true);
  }

  /** Those of a template; null for products that have none. */
  set(usual) {
    byId("classes").hidden = !usual;
    if (JSON.stringify(usual) === JSON.stringify(this.usual)) return;
    this.usual = usual;
    this.fill();
  }

  fill() {
    this.rows = (this.usual || []).map((one) => ({ ...one }));
    this.draw();
  }

  add() {
    const used = new Set(this.rows.map(({ code }) => code));
    let code = 1;
    while (used.has(code)) code += 1;
    this.rows.push({ name: "", code, colour: SPARE[this.rows.length % SPARE.length] });
    this.draw();
    byId("class-list").lastElementChild.querySelector("input").focus();
  }

  draw() {
    byId("class-list").replaceChildren(...this.rows.map((row, k) => {
      const field = (key, label, more) => {
        const made = element("input", { value: row[key], "aria-label": `${label} of class ${k + 1}`, ...more });
        made.addEventListener("change", () => {
          row[key] = key === "code" ? Number(made.value) : made.value;
          this.changed();
        });
        return made;
      };
      return element("li", {}, field("name", "Name", { type: "text", maxLength: 60, required: true }),
        field("code", "Code", { type: "number", min: 1, max: LAST, step: 1, required: true }), field("colour", "Colour", { type: "color" }),
        iconButton("cross", `Remove class ${k + 1}, ${row.name || "without name"}`, () => {
          this.rows.splice(k, 1);
          this.draw();
          byId("class-add").focus();
        }));
    }));
    this.changed();
  }

  /** What a request says of them: nothing where they are as usual. */
  wanted() {
    return this.usual && JSON.stringify(this.rows) !== JSON.stringify(this.usual) ? { classes: this.rows } : {};
  }
}
