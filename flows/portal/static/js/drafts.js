// What the server does not have yet, kept in the browser: a page that is closed or crashes loses nothing.

const NAME = "imperv-portal";
const STORE = "drafts";

/** Random letters and digits: a name that nothing else has. */
export const unique = (bytes) => [...crypto.getRandomValues(new Uint8Array(bytes))].map((v) => v.toString(16).padStart(2, "0")).join("");

const done = (request) => new Promise((resolve, reject) => {
  request.onsuccess = () => resolve(request.result);
  request.onerror = () => reject(request.error);
});

async function store(mode) {
  const opening = indexedDB.open(NAME, 1);
  opening.onupgradeneeded = () => opening.result.createObjectStore(STORE, { keyPath: "window" });
  const base = await done(opening);
  const found = base.transaction(STORE, mode);
  found.oncomplete = () => base.close();
  return found.objectStore(STORE);
}

/** Drafts of this window of the browser, under its own name, so that two of them do not write over each other. */
export class Drafts {
  constructor(place) {
    this.place = place;
    this.window = `${place}#${unique(8)}`;
    // A lock lives as long as its window: without it a draft has been left behind.
    navigator.locks?.request(this.window, () => new Promise(() => {}));
  }

  /** Keep what is not saved; a browser that cannot keep it says nothing: the page still has it. */
  async keep(version, records) {
    try {
      await done((await store("readwrite")).put({ window: this.window, place: this.place, version, records, at: Date.now() }));
    } catch {
      // In private windows of some browsers.
    }
  }

  async drop(window = this.window) {
    try {
      await done((await store("readwrite")).delete(window));
    } catch {
      // As above.
    }
  }

  /** The newest draft of this place that was left behind by a window that is closed; null without one. */
  async left() {
    try {
      const open = new Set(((await navigator.locks?.query())?.held || []).map(({ name }) => name));
      const found = (await done((await store("readonly")).getAll())).filter((draft) => draft.place === this.place && !open.has(draft.window));
      return found.sort((a, b) => b.at - a.at)[0] || null;
    } catch {
      return null;
    }
  }
}
