// The view in the address: place, level, layers with opacity and order, swipe. Whoever opens the link sees the same.

/** What the fragment of an address says; missing parts are undefined. */
export function read() {
  const parts = new URLSearchParams(location.hash.slice(1));
  const at = (parts.get("at") || "").split(",").map(Number);
  const on = parts.get("on");
  const swipe = (parts.get("swipe") || "").split(",");
  return {
    at: at.length === 3 && at.every(Number.isFinite) ? { center: at.slice(0, 2), resolution: at[2] } : undefined,
    on: on === null ? undefined : on.split(",").filter(Boolean).map((text) => {
      const [id, opacity, visible] = text.split(":");
      const share = Number(opacity ?? 100) / 100;
      return { id, opacity: Number.isFinite(share) ? Math.min(1, Math.max(0, share)) : 1, visible: visible !== "0" };
    }),
    swipe: swipe.length === 3 && Number.isFinite(Number(swipe[0])) ? { on: true, share: Number(swipe[0]) / 100, left: swipe[1], right: swipe[2] } : undefined,
  };
}

/** Write the view into the address, without a new entry of the history. */
export function write(view, layers, swipe) {
  const [x, y] = view.getCenter();
  const parts = [`at=${x.toFixed(2)},${y.toFixed(2)},${view.getResolution()}`];
  parts.push(`on=${layers.shown.map(({ id, opacity, visible }) => `${id}:${Math.round(100 * opacity)}${visible ? "" : ":0"}`).join(",")}`);
  if (swipe.on) parts.push(`swipe=${(100 * swipe.share).toFixed(1)},${swipe.left},${swipe.right}`);
  history.replaceState(null, "", `#${parts.join("&")}`);
}
