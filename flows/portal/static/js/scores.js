// Tables of scores on left-out polygons, and of two maps.

import { element } from "./dom.js";

const share = (value) => `${(100 * value).toFixed(1)} %`;

/** A score with its interval. */
export function percent(score) {
  if (!score || score.value === null) return "\u2013";
  return score.low === null ? share(score.value) : `${share(score.value)} (${(100 * score.low).toFixed(1)} to ${(100 * score.high).toFixed(1)})`;
}

/** F1 of each class with its polygons, and which class they were mapped as. */
export function scoresOf({ classes, confusion, scores, polygons }, title, withSum, drawn = null) {
  const counts = confusion.map((row) => row.reduce((a, b) => a + b, 0));
  const rows = classes.map((name, k) => [name, String(drawn ? drawn[name]?.polygons || 0 : Math.round(counts[k])), ...(drawn ? [String(drawn[name]?.pixels || 0)] : []),
    percent(scores[`f1_${k}`])]);
  const sum = withSum ? [element("p", {}, `Accuracy on left-out polygons ${percent(scores.oa)} · ${polygons} ${polygons === 1 ? "polygon" : "polygons"}`)] : [];
  return element("div", {}, ...sum, element("details", {}, element("summary", {}, title),
    table(["Class", "Polygons", ...(drawn ? ["Pixels"] : []), "F1"], rows, "Scores by class"),
    element("p", { className: "note" }, "Polygons of a class (row) by the class that they were mapped as when they were left out (column):"),
    table(["Class", ...classes], classes.map((name, k) => [name, ...confusion[k].map((value) => String(Number(value.toFixed(1))))]), "Confusion", true)));
}

/** Pixels of two maps by class. */
export function compared({ classes, pixels, changed_share: changed, scores, rounds }, [first, second], tile) {
  const told = rounds.map((number, k) => (scores[number]?.oa ? `${[first, second][k]}: accuracy on left-out polygons ${percent(scores[number].oa)}` : "")).filter(Boolean);
  return element("div", {}, element("p", {}, `${tile ? `${tile}: ` : ""}${share(changed)} of the area differs. Pixels, rows ${first}, columns ${second}:`),
    table(["Class", ...classes], classes.map((name, k) => [name, ...pixels[k].map(String)]), `${first} and ${second}`, true),
    ...told.map((line) => element("p", { className: "note" }, line)));
}

function table(head, rows, label, wide = false) {
  const made = element("table", { className: wide ? "matrix" : "scores", "aria-label": label }, element("thead", {}, element("tr", {}, ...head.map((text) => element("th", { scope: "col" }, text)))),
    element("tbody", {}, ...rows.map(([first, ...rest]) => element("tr", {}, element("th", { scope: "row" }, first), ...rest.map((text) => element("td", {}, text))))));
  return wide ? element("div", { className: "wide", tabIndex: 0, role: "group", "aria-label": label }, made) : made;
}
