// Swipe: one layer left of a line, another one right of it; by mouse, finger and arrow keys.

import { byId, element } from "./dom.js";

export class Swipe {
  constructor(map, layers, changed) {
    Object.assign(this, { map, layers, changed, share: 0.5, on: false, left: "", right: "" });
    this.line = byId("swipe");
    this.hooked = new Map();
    byId("swiping").addEventListener("change", (event) => this.set({ on: event.target.checked }));
    byId("left").addEventListener("change", (event) => this.set({ left: event.target.value }));
    byId("right").addEventListener("change", (event) => this.set({ right: event.target.value }));
    this.line.addEventListener("pointerdown", (event) => {
      this.line.setPointerCapture(event.pointerId);
      this.line.focus();
      event.preventDefault();
    });
    this.line.addEventListener("pointermove", (event) => {
      if (!this.line.hasPointerCapture(event.pointerId)) return;
      const box = byId("stage").getBoundingClientRect();
      this.set({ share: (event.clientX - box.left) / box.width });
    });
    this.line.addEventListener("keydown", (event) => {
      const step = event.shiftKey ? 0.1 : 0.01;
      const to = { ArrowLeft: this.share - step, ArrowDown: this.share - step, ArrowRight: this.share + step, ArrowUp: this.share + step,
        PageDown: this.share - 0.1, PageUp: this.share + 0.1, Home: 0, End: 1 }[event.key];
      if (to === undefined) return;
      event.preventDefault();
      this.set({ share: to });
    });
  }

  /** Change anything of it; the rest stays. */
  set(some) {
    Object.assign(this, some);
    this.share = Math.min(1, Math.max(0, this.share));
    this.refresh();
    this.changed();
  }

  /** Fit to the layers that are shown: without two of them there is nothing to compare. */
  refresh() {
    const shown = this.layers.shown.toReversed();
    const ids = shown.map((entry) => entry.id);
    if (!this.on) [this.left, this.right] = [ids[0] || "", ids[1] || ""]; // the two uppermost, until somebody chooses
    if (!ids.includes(this.left)) this.left = ids.find((id) => id !== this.right) || "";
    if (!ids.includes(this.right) || this.right === this.left) this.right = ids.find((id) => id !== this.left) || "";
    const works = this.on && ids.length > 1;
    for (const [id, value] of [["left", this.left], ["right", this.right]]) {
      const select = byId(id);
      select.replaceChildren(...shown.map((entry) => element("option", { value: entry.id }, this.layers.short(entry.layer))));
      select.value = value;
      select.disabled = !this.on;
      const name = byId(`${id}-name`);
      name.hidden = !works;
      name.textContent = works ? this.layers.short(this.layers.entry(value).layer) : "";
    }
    byId("swiping").checked = this.on;
    this.line.hidden = !works;
    this.line.style.left = `${100 * this.share}%`;
    this.line.setAttribute("aria-valuenow", String(Math.round(100 * this.share)));
    this.hook(works);
    this.map.render();
  }

  hook(works) {
    for (const undo of this.hooked.values()) undo();
    this.hooked.clear();
    if (!works) return;
    for (const [id, isLeft] of [[this.left, true], [this.right, false]]) {
      const raster = this.layers.entry(id).raster;
      const before = (event) => this.clip(event.context, isLeft);
      const after = (event) => event.context.restore();
      raster.on("prerender", before);
      raster.on("postrender", after);
      this.hooked.set(id, () => {
        raster.un("prerender", before);
        raster.un("postrender", after);
      });
    }
  }

  clip(pen, isLeft) {
    const { width, height } = pen.canvas;
    const x = Math.round(width * this.share);
    pen.save();
    pen.beginPath();
    pen.rect(isLeft ? 0 : x, 0, isLeft ? x : width - x, height);
    pen.clip();
  }
}
