// Elements of the page, made with text only: nothing of a store is ever parsed as HTML.

const SVG = "http://www.w3.org/2000/svg";

/** An element with properties, attributes (`aria-...`, `data-...`) and children. */
export function element(name, properties = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(properties)) {
    if (key.includes("-") || key === "for" || key === "role") made.setAttribute(key, value);
    else made[key] = value;
  }
  made.append(...children);
  return made;
}

const PATHS = {
  eye: ["M1 9s3-5.5 8-5.5S17 9 17 9s-3 5.5-8 5.5S1 9 1 9z", "M9 6.5a2.5 2.5 0 1 0 0 5 2.5 2.5 0 0 0 0-5z"],
  shut: ["M1 9s3-5.5 8-5.5S17 9 17 9s-3 5.5-8 5.5S1 9 1 9z", "M2 16 16 2"],
  up: ["M9 15V3", "M4 8l5-5 5 5"],
  down: ["M9 3v12", "M4 10l5 5 5-5"],
  zoom: ["M7.5 2.5a5 5 0 1 0 0 10 5 5 0 0 0 0-10z", "M11.5 11.5 16 16"],
  cross: ["M4 4l10 10", "M14 4 4 14"],
  wait: ["M9 2.5a6.5 6.5 0 1 0 0 13 6.5 6.5 0 0 0 0-13z", "M9 5.5V9l2.5 2"],
  play: ["M5.5 3.5 14 9l-8.5 5.5z"],
  check: ["M3.5 9.5 7.5 13.5 15 5"],
  dash: ["M4 9h10"],
};

export function icon(name) {
  const made = document.createElementNS(SVG, "svg");
  made.setAttribute("viewBox", "0 0 18 18");
  made.setAttribute("aria-hidden", "true");
  for (const d of PATHS[name]) {
    const path = document.createElementNS(SVG, "path");
    path.setAttribute("d", d);
    made.append(path);
  }
  return made;
}

/** A button that shows an icon and has a name. */
export function iconButton(name, label, action) {
  const made = element("button", { type: "button", "aria-label": label, title: label, onclick: action });
  made.append(icon(name));
  return made;
}

export const byId = (id) => document.getElementById(id);

export const css = ([red, green, blue]) => `rgb(${red},${green},${blue})`;

/** A square in the colour of a class, as CSS writes it. */
export function swatch(colour) {
  const made = element("span", { className: "swatch", "aria-hidden": "true" });
  made.style.background = colour;
  return made;
}

/** Bytes as people say them. */
export function size(bytes) {
  const units = ["bytes", "kB", "MB", "GB", "TB"];
  const power = Math.min(units.length - 1, bytes > 0 ? Math.floor(Math.log10(bytes) / 3) : 0);
  return `${short(bytes / 1000 ** power)} ${units[power]}`;
}

/** A number with few digits. */
export function short(value) {
  if (Number.isInteger(value)) return String(value);
  return String(Number(value.toPrecision(4)));
}
