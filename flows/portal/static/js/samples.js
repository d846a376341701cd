// Polygons that a person draws: the list, undo and redo, and saving, which tells a newer version of another window.

import { Drafts, unique } from "./drafts.js";
import { BASE, own, send } from "./server.js";

const PAUSE = 700;
const AGAIN = 5000;
const STEPS = 200;

/** An id that no other polygon has. */
const newId = () => unique(6);

/** Keys have one order everywhere, so that equal records have equal JSON. */
const ordered = ({ id, class: kind, name = "", weight = 1, geometry: { type, coordinates } }) => ({ id, class: kind, name, weight, geometry: { type, coordinates } });
const recordOf = ({ properties, geometry }) => ordered({ ...properties, geometry });
const featureOf = ({ geometry, ...properties }) => ({ type: "Feature", properties, geometry });

/**
 * Records {id, class, name, weight, geometry}, in EPSG:3035, are never changed but replaced: a list of them is a step of undo.
 * `changed` is called after every change of them, `told` after every change of what is known of them.
 */
export class Samples {
  constructor(changed, told) {
    Object.assign(this, { changed, told, records: [], past: [], future: [], version: 0, faults: [], notes: [], edit: 0, kept: 0, trouble: "", newer: "" });
    this.drafts = new Drafts(BASE);
    addEventListener("beforeunload", (event) => { if (this.dirty) event.preventDefault(); });
  }

  get dirty() {
    return this.edit !== this.kept;
  }

  /** What the server has, and what a closed window left behind. */
  async load() {
    const found = await own("/api/samples");
    this.take(found);
    const draft = await this.drafts.left();
    if (!draft) return found;
    const same = JSON.stringify(draft.records.map(ordered)) === JSON.stringify(this.records);
    if (!same) {
      this.change(draft.records);
      if (draft.version !== this.version) {
        this.newer = "What was drawn here last was not saved before another window saved a newer version.";
        clearTimeout(this.timer);
      }
    }
    await this.drafts.drop(draft.window);
    this.told();
    return found;
  }

  take({ version, features, faults, notes }) {
    Object.assign(this, { version, faults, notes, past: [], future: [], trouble: "", newer: "", records: features.map(recordOf) });
    this.kept = this.edit;
    this.changed();
    this.told();
  }

  find(id) {
    return this.records.find((record) => record.id === id);
  }

  add(...drawn) {
    const made = drawn.map((record) => ordered({ id: newId(), ...record }));
    this.change([...this.records, ...made]);
    return made;
  }

  replace(drawn) {
    this.change(drawn.map((record) => ordered({ ...record, id: newId() })));
  }

  /** Change some properties, or the geometry, of one. */
  alter(id, some) {
    this.change(this.records.map((record) => (record.id === id ? { ...record, ...some } : record)));
  }

  remove(id) {
    this.change(this.records.filter((record) => record.id !== id));
  }

  change(records) {
    this.past = [...this.past, this.records].slice(-STEPS);
    this.future = [];
    this.step(records);
  }

  undo() {
    if (!this.past.length) return;
    this.future.push(this.records);
    this.step(this.past.pop());
  }

  redo() {
    if (!this.future.length) return;
    this.past.push(this.records);
    this.step(this.future.pop());
  }

  step(records) {
    this.records = records;
    this.edit += 1;
    this.drafts.keep(this.version, records);
    this.soon(PAUSE);
    this.changed();
    this.told();
  }

  soon(pause) {
    clearTimeout(this.timer);
    if (!this.newer) this.timer = setTimeout(() => this.save(), pause);
  }

  /** Wait until the server has everything; throws where it cannot have it. */
  async saved() {
    while (this.dirty || this.sending) {
      if (this.newer) throw new Error(this.newer);
      await (this.sending || this.save());
      if (this.trouble) throw new Error(this.trouble);
    }
  }

  save() {
    clearTimeout(this.timer);
    this.sending ||= this.put().finally(() => { this.sending = null; });
    return this.sending;
  }

  async put() {
    const { edit, records } = this;
    if (!this.dirty || this.newer) return;
    try {
      const found = await send("PUT", `${BASE}/api/samples`, { features: records.map(featureOf) }, { "if-match": `"${this.version}"` });
      Object.assign(this, { version: found.version, faults: found.faults, notes: found.notes, trouble: "", kept: edit });
      this.mend(records, found.mended.map(recordOf));
      if (this.dirty) {
        this.drafts.keep(this.version, this.records);
        this.soon(PAUSE);
      } else {
        this.drafts.drop();
      }
    } catch (error) {
      if (error.status === 412) this.newer = error.message;
      else {
        this.trouble = error.message;
        this.soon(AGAIN);
      }
    }
    this.told();
  }

  /** Show rings as the server mended them, where nobody has drawn on them since. */
  mend(sent, mended) {
    if (!mended.length) return;
    const before = new Map(sent.map((record) => [record.id, record]));
    const after = new Map(mended.map((record) => [record.id, record]));
    this.records = this.records.map((record) => (after.has(record.id) && before.get(record.id) === record ? after.get(record.id) : record));
    this.changed();
  }

  /** Take the newer version of another window; what is here can be undone to no more. */
  async takeNewer() {
    this.take(await own("/api/samples"));
    this.drafts.drop();
  }

  /** Save what is here over the newer version, which stays among the versions. */
  async overNewer() {
    this.version = (await own("/api/samples")).version;
    this.newer = "";
    await this.save();
  }

  /** Look whether another window saved, while nothing is open here. */
  async look() {
    if (this.dirty || this.sending) return false;
    const { edit } = this;
    const found = await own("/api/samples");
    if (found.version === this.version || edit !== this.edit || this.sending) return false;
    this.take(found);
    return true;
  }

  async takeBack(number) {
    await this.saved();
    const found = await send("POST", `${BASE}/api/samples/versions/${number}`, {}, { "if-match": `"${this.version}"` });
    const before = this.records;
    const past = [...this.past, before];
    this.take(found);
    this.past = past;
    this.told();
  }
}
