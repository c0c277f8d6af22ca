// Drawings and actions, kept until the server confirms them.
//
// A drawing holds all boxes of an image, numbered, and what they were before: sent twice it
// does no harm, and a restarted server can still place it. Whatever is not confirmed is sent
// again. Drawings are kept in the browser's storage meanwhile, so that they outlive the page;
// those of a closed tab are taken over by the next one.

const SAY_AGAIN_MS = 2500; // doubled each time, up to
const SAY_AGAIN_AT_MOST_MS = 8000;
const NUDGED_MS = 1000;
const OVERDUE_MS = 2000; // without an answer for this long, the user is told
const STORED = "imagebase.unsaved/";
const ANSWER_MS = 700; // within which other open tabs answer
const KEPT_STEPS = 40;

class Outbox {
  // say: sends everything unconfirmed. onChange: is called when the shown state changes.
  constructor() {
    this.place = null;
    this.seq = 0;
    this.count = 0;
    this.drawings = new Map(); // by place and image
    this.actions = [];
    this.known = null; // the server's boxes of the image on screen
    this.closed = new Set([TAB]); // closed tabs whose drawings this one takes over
    this.say = null;
    this.onChange = () => {};
  }

  // Set the dataset and visitor whose changes follow.
  open(place) {
    if (place === this.place) return;
    this.place = place;
    this.adopt();
    const others = new Set(stored(place).map(({ tab }) => tab));
    others.delete(TAB);
    for (const tab of others) channel?.postMessage({ ask: tab });
    if (!others.size) return;
    setTimeout(() => {
      for (const tab of others) if (!tabs.has(tab)) this.closed.add(tab);
      this.adopt();
    }, channel ? ANSWER_MS : 0);
  }

  adopt() {
    for (const { name, tab, drawing } of stored(this.place)) {
      const key = this.keyOf(drawing.image);
      if (!this.closed.has(tab) || this.drawings.has(key)) continue;
      if (tab !== TAB) forget(name);
      this.seq += 1;
      this.drawings.set(key, {
        ...drawing, seq: this.seq, steps: [[this.seq, drawing.boxes, 0]], after: 0,
        since: -Infinity,
      });
      this.keep(key);
    }
    if (this.isWaiting) setTimeout(() => this.send());
  }

  keyOf(image) {
    return `${this.place}/${image}`;
  }

  of(image) {
    return this.drawings.get(this.keyOf(image));
  }

  // Set the server's boxes of an image, from which a drawing starts.
  start(image, tag, boxes) {
    this.known = { key: this.keyOf(image), tag, boxes };
  }

  // amends: number of the first of the drawings that are one step to undo with this one.
  draw(image, tag, boxes, amends = 0) {
    const key = this.keyOf(image);
    const last = this.drawings.get(key);
    const base = last?.base ?? (this.known?.key === key ? this.known.boxes : boxes);
    this.seq += 1;
    const isChange = !sameBoxes(base, boxes);
    this.drawings.set(key, {
      place: this.place,
      image,
      tag,
      base,
      boxes,
      seq: this.seq,
      amends,
      after: last?.after ?? this.count,
      changes: isChange ? (last?.changes ?? 0) + 1 : 0,
      steps: [...(last?.steps ?? []), [this.seq, boxes, this.count]].slice(-KEPT_STEPS),
      since: last?.since ?? performance.now(),
      why: last?.why ?? "",
    });
    this.keep(key);
  }

  // tag: of the boxes on screen. next: what is shown from now on, before the answer.
  act(name, image, tag, next = null) {
    this.count += 1;
    const then = next ? [next.image, next.tag] : [];
    this.actions.push([this.count, name, image, tag, ...then]);
    return this.count;
  }

  withdraw(count) {
    this.actions = this.actions.filter(([number]) => number !== count);
  }

  // Everything unconfirmed: of two messages the server may see only the later.
  message() {
    const drawings = [...this.drawings.values()].map((one) => {
      const now = new Map(one.boxes.map((box) => [box.id, box]));
      const was = new Set(one.base.map(({ id }) => id));
      return {
        place: one.place, image: one.image, tag: one.tag, seq: one.seq,
        amends: one.amends ?? 0, after: one.after,
        boxes: one.boxes.map(plain),
        before: one.base.filter((box) => !sameBox(box, now.get(box.id))).map(plain),
        added: one.boxes.filter(({ id }) => !was.has(id)).map(({ id }) => id),
        copies: one.boxes.filter(({ id, like }) => like && !was.has(id))
          .map(({ id, like }) => [id, like]),
      };
    });
    return { drawings, actions: this.actions };
  }

  send() {
    this.wait = SAY_AGAIN_MS;
    this.sendAgain();
  }

  sendAgain() {
    clearTimeout(this.timer);
    clearTimeout(this.teller);
    this.onChange();
    if (!this.isWaiting) return;
    this.saidAt = performance.now();
    this.say?.(this.message());
    this.timer = setTimeout(() => this.sendAgain(), this.wait);
    this.teller = setTimeout(() => this.onChange(), OVERDUE_MS + 50);
    this.wait = Math.min(2 * this.wait, SAY_AGAIN_AT_MOST_MS);
  }

  // The connection may be back.
  nudge() {
    if (this.isWaiting && performance.now() - this.saidAt > NUDGED_MS) this.send();
  }

  get isWaiting() {
    return this.drawings.size > 0 || this.actions.length > 0;
  }

  // Take in what the server has saved and what it refused.
  hear({ booked = [], refused = [], done = 0 }) {
    for (const [place, image, seq] of booked) this.settle(`${place}/${image}`, seq);
    for (const [place, image, seq, why] of refused) {
      const drawing = this.drawings.get(`${place}/${image}`);
      if (drawing?.steps.some(([number]) => number === seq)) drawing.why = why;
    }
    this.actions = this.actions.filter(([number]) => number > done);
    this.answered = Math.max(this.answered ?? 0, done);
    if (!this.isWaiting) clearTimeout(this.timer);
    this.onChange();
  }

  // An image is saved up to this drawing.
  settle(key, seq) {
    const drawing = this.drawings.get(key);
    const step = drawing?.steps.findLast(([number]) => number <= seq);
    if (!step) return;
    if (this.known?.key === key) this.known.boxes = step[1];
    if (seq >= drawing.seq) return this.drop(key);
    drawing.base = step[1];
    drawing.steps = drawing.steps.filter(([number]) => number > seq);
    drawing.changes = drawing.steps.length;
    drawing.after = drawing.steps[0][2];
    Object.assign(drawing, { why: "", since: performance.now() });
    this.keep(key);
  }

  drop(key) {
    const drawing = this.drawings.get(key);
    this.drawings.delete(key);
    if (drawing) forget(nameOf(drawing));
    if (this.closed.size > 1) this.adopt();
  }

  keep(key) {
    const drawing = this.drawings.get(key);
    if (!drawing.changes) return forget(nameOf(drawing));
    const { place, image, tag, base, boxes, changes } = drawing;
    try {
      const kept = JSON.stringify({ place, image, tag, base, boxes, changes });
      localStorage.setItem(nameOf(drawing), kept);
    } catch {
      // No storage, or it is full: the page still holds it.
    }
  }

  // Number of unsaved changes, of an image and of others, and the reason.
  unsaved(image) {
    const all = [...this.drawings.entries()].filter(([, one]) => one.changes);
    const key = this.keyOf(image);
    const own = all.find(([other]) => other === key)?.[1];
    const count = (ones) => ones.reduce((sum, [, one]) => sum + one.changes, 0);
    const late = all.filter(([, one]) => one.why || performance.now() - one.since > OVERDUE_MS);
    return {
      all: count(all),
      own: own?.changes ?? 0,
      isOverdue: late.length > 0,
      why: own?.why || "",
      isRefusedElsewhere: late.some(([, one]) => one !== own && one.why),
    };
  }
}

// Id of this tab, which survives a reload.
const TAB = (() => {
  const name = "imagebase.tab";
  try {
    const known = sessionStorage.getItem(name) ?? newId().slice(0, 12);
    sessionStorage.setItem(name, known);
    return known;
  } catch {
    return newId().slice(0, 12);
  }
})();
const tabs = new Set(); // other open tabs
const channel = "BroadcastChannel" in window ? new BroadcastChannel("imagebase.tabs") : null;
channel?.addEventListener("message", ({ data }) => {
  if (data.ask === TAB) channel.postMessage({ here: TAB });
  if (data.here) tabs.add(data.here);
});

const nameOf = ({ place, image }) => `${STORED}${TAB}/${place}/${image}`;

function forget(name) {
  try {
    localStorage.removeItem(name);
  } catch {
    // No storage.
  }
}

function storedNames() {
  try {
    return Object.keys(localStorage).filter((name) => name.startsWith(STORED));
  } catch {
    return []; // no storage
  }
}

// Drawings kept in the browser for a place, of this tab and of others.
function stored(place) {
  const found = [];
  for (const name of storedNames()) {
    try {
      const drawing = JSON.parse(localStorage.getItem(name));
      const tab = name.slice(STORED.length).split("/")[0];
      if (drawing.place === place) found.push({ name, tab, drawing });
    } catch {
      // Skip an unreadable entry.
    }
  }
  return found;
}

const plain = ({ id, box, label }) => ({ id, box, label });
const sameBox = (a, b) =>
  b !== undefined && a.label === b.label && isSame(a.box, b.box);

function sameBoxes(some, others) {
  const known = new Map(others.map((one) => [one.id, one]));
  return some.length === others.length && some.every((one) => sameBox(one, known.get(one.id)));
}
