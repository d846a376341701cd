// What a run would take, in words.

import { short, size } from "./dom.js";

/** Seconds as people say them. */
export function duration(seconds) {
  if (seconds < 90) return `${Math.max(1, Math.round(seconds))} s`;
  if (seconds < 5400) return `${Math.round(seconds / 60)} min`;
  return seconds < 172_800 ? `${short(Math.round(seconds / 360) / 10)} h` : `${short(Math.round(seconds / 8640) / 10)} days`;
}

/** An estimate in a few sentences. */
export function sentences({ nodes, core_hours: core, hours, start, memory, stored, read, decoded, free, warnings }) {
  if (!nodes) return "Everything is made.";
  const round = (bytes) => size(Number(bytes.toPrecision(2)));
  return [
    `${nodes} nodes to make: about ${duration(hours * 3600)} on this machine, ${duration(core * 3600)} of one core, and a start of about ${duration(start)}.`,
    `Up to ${round(memory)} of memory, about ${round(stored)} in the store of ${round(free)} free.`,
    `Scenes: ${round(read)} to read, ${round(decoded)} decoded.`, ...warnings,
  ].join(" ");
}
