// The box editor: draws, selects, moves and labels boxes on an image, and sends each change
// to the server at once. `boxes.js`, `outbox.js`, `ahead.js`, `picker.js`, `pointing.js`,
// `guesses.js`, `keys.js` and `display.js` come before this text in the same module.
//
// The server fills it with boxes under a tag. The editor sends back all boxes of a tag, and
// the keys that were pressed, each with the image it was meant for.

const SVG = "http://www.w3.org/2000/svg";
const DRAG_PX = 3; // less is a click
const SAME_PLACE_PX = 4;
const DOUBLE_CLICK_MS = 350;
const FINGER_MS = 500; // a finger that rests on a box so long does what Ctrl + click does
const NUDGE_MS = 80; // key repeats within this time are sent together
const RUN_MS = 1000; // presses within this time of each other are one step to undo
const HELD_REPEATS = 12; // a key held for longer resizes by 10 pixels at a time
const SETTLED_MS = 150; // pause of the view before a detail is requested
const SEEN_MS = 250; // image and boxes must be visible this long before they can be approved
const BLIND_MS = 5000; // after this wait the keys work without the image
const LEAST_HEIGHT = 240;
const LARGEST_FIT = 4;
const LARGEST_SCALE = 64;
const PIXELS_FROM = 4; // from this scale on, pixels are drawn sharp
const DETAIL_PX = 1600; // the server's largest detail
const CHIP_PX = 16;
const HANDLE_PX = 9;
const KEPT_SHOWN = 16; // as many fillings back the boxes on screen are remembered
const BAR_PX = 42; // height of the button row with its margins
const GREY = "#888888";
const PINS = "imagebase.pins/";
const MARGIN = "1.25rem"; // left and right of the editor page, instead of Streamlit's
const PANELS = ".tools, .picker, .help, .display, .unsaved, .remove";
const TYPING =
  "input, textarea, select, [contenteditable='true'], [role='dialog'], " +
  "[role='combobox'], [role='listbox'], [role='menu'], [role='slider'], " +
  "[role='radiogroup'], [role='tab'], [data-testid='stDataFrame'], [data-testid='stPopoverBody']";
const OPEN = "[role='dialog'], [role='menu'], [data-testid='stPopoverBody']";
// Elements that handle Enter, Space and Tab themselves.
const PRESSABLE = "button, a, summary, [role='tab'], [role='radio'], [role='button']";
const ONCE = new Set([
  "approve", "accept", "empty", "copy", "copy-on", "help", "boxes", "chips", "display",
]);
// Actions that leave the image: input is ignored until the next image is visible.
const LEAVING = new Set(["approve", "empty", "next", "previous", "doubtful"]);
// Keys of these hide for as long as they are held.
const HIDING = new Set(["boxes", "chips"]);
// Clicks on these count before the image is visible.
const PASSING = new Set(["next", "previous"]);
const DECIDING = new Set(["approve", "empty"]);
// Decisions on boxes, which must not be hidden.
const JUDGING = new Set(["approve", "empty", "accept"]);
// Commands that only change the view.
const VIEWING = new Set([
  "cancel", "whole", "native", "closer", "larger", "smaller", "chips", "help", "pointing",
  "boxes", "display", "plain", "brighter", "darker", "more-contrast", "less-contrast",
]);
// Page buttons without a key that wait until everything is saved.
const HELD = ["edit-reject", "edit-remove"];
const PAGE_AT_REST = "[data-testid='stApp'][data-test-script-state='notRunning']";
const MARK = ".st-key-edit-saved, .st-key-edit-saved * { visibility: hidden !important; }";

const hub = (window[Symbol.for("imagebase.editor")] ??= {
  parcels: new Map(),
  listeners: new Set(),
});
// A module lives as long as the page, an editor only as long as its element.
const memories = new Map();
const editors = new WeakMap();
const living = new Set();

export default function (component) {
  const { parentElement } = component;
  let editor = editors.get(parentElement);
  if (!editor) {
    editor = new Editor(parentElement, component.data.key);
    editors.set(parentElement, editor);
  }
  const turn = editor.update(component);
  return () => {
    if (turn !== editor.turn) return;
    editor.stop();
    editors.delete(parentElement);
  };
}

function memoryOf(key) {
  if (!memories.has(key)) {
    memories.set(key, { outbox: new Outbox(), shown: new Map() });
  }
  return memories.get(key);
}

window.addEventListener("beforeunload", (event) => {
  const isUnsaved = [...memories.values()].some(({ outbox }) =>
    outbox.unsaved("").all || outbox.actions.some(([, name]) => DECIDING.has(name)));
  if (isUnsaved) event.preventDefault();
});

class Editor {
  constructor(parent, key) {
    this.key = key;
    this.turn = 0;
    this.root = parent.querySelector(".editor");
    const find = (selector) => this.root.querySelector(selector);
    this.canvas = find(".picture");
    this.svg = find(".drawing");
    this.layer = find(".boxes");
    this.shapeLayer = find(".shapes");
    this.handleLayer = find(".handles");
    this.guides = [...this.root.querySelectorAll(".guides path")];
    this.measure = find(".measure");
    this.percent = find(".percent");
    this.help = find(".help");
    this.notice = find(".unsaved");
    this.cross = find(".remove");
    this.tools = find(".tools");
    this.picker = new Picker(this, find(".picker"));
    this.guesses = new Guesses(this, find(".guesses"));
    this.keys = new Keys(this, this.help);
    this.display = new Display(this, find(".display"));
    this.state = find(".state");
    this.frameShape = find(".frame");
    this.memory = memoryOf(key);
    this.outbox = this.memory.outbox;
    this.waiting = null; // for the answer to a key that leaves the image
    this.repeats = 0; // of the key that is held
    this.last = null; // the last drawing of a run of presses
    this.ahead = new Ahead(this);
    this.path = location.pathname;
    this.mark = document.head.appendChild(document.createElement("style"));
    this.ink = document.createElement("canvas").getContext("2d");
    this.textWidths = new Map();
    this.boxes = [];
    this.elements = new Map();
    this.selected = null;
    this.several = new Set(); // ids, where more than one box is selected
    this.view = { scale: 1, x: 0, y: 0 };
    this.isFit = true;
    this.size = [1, 1];
    this.room = [0, 0];
    this.pointers = new Map();
    this.bitmaps = { picture: null, detail: null };
    this.decoding = { picture: null, detail: null };
    this.wish = null; // the label of the next box, until the server's data include it
    this.stopper = new AbortController();
    this.handles = this.makeHandles();
    this.pointing = new Pointing(this);
    this.listen();
    this.takeFocus();
  }

  // After following a link, Enter would follow it again.
  takeFocus() {
    const now = document.activeElement;
    if (now && now !== document.body && !now.matches("a")) return;
    this.root.focus({ preventScroll: true, focusVisible: false });
  }

  // ------------------------------------------------------------------ input from the server

  update({ data, setStateValue, setTriggerValue }) {
    const isChosen = this.given && this.given.labelsChosen !== data.labelsChosen;
    if (isChosen) this.pointing.meant = data.label;
    this.given = data;
    // What comes meanwhile may be of a run before the label was chosen.
    if (this.wish?.count <= data.done) this.wish = null;
    this.data = this.wish ? { ...data, label: this.wish.label } : data;
    Object.assign(this, { setStateValue, setTriggerValue });
    this.colours = new Map(data.labels);
    // As text, which Streamlit passes on without looking into it.
    this.outbox.say = (message) => this.setTriggerValue("message", JSON.stringify(message));
    this.outbox.onChange = () => this.onOutbox();
    this.outbox.open(data.place);
    this.keys.take();
    this.ahead.hear(data.done ?? 0);
    this.take(data.filling);
    this.guesses.fill();
    this.resize();
    this.draw();
    this.outbox.nudge();
    this.sendPins();
    this.keys.tell();
    return ++this.turn;
  }

  take(filling) {
    if (filling.tag === this.filling?.tag || this.ahead.isPending) return;
    if (this.keepsFrom(filling)) return;
    this.held = filling;
    if (this.gesture) return; // filled when the pointer is up
    this.flush();
    this.outbox.settle(this.outbox.keyOf(filling.image), filling.seq);
    // Unsaved changes stay visible until they are confirmed.
    if (filling.image !== this.image || !this.outbox.of(filling.image)) this.fill();
  }

  // Suggestions do not change under the hands of somebody who has begun with the image: what
  // was learned since is refused, and the server is asked once for what was there.
  keepsFrom({ image, learned }) {
    const here = this.filling?.learned;
    if (!this.isBegun || image !== this.image || !here || learned === here) return false;
    if (!this.stay) {
      this.stay = this.outbox.act(`stay:${here}`, image, this.tag);
      this.outbox.send();
    }
    return this.stay > (this.given.done ?? 0);
  }

  fill() {
    const filling = this.held;
    if (!filling) return;
    const isSameImage = filling.image === this.image;
    const known = new Set(this.boxes.map(({ id }) => id));
    const unsaved = this.outbox.of(filling.image);
    this.held = unsaved ? filling : null;
    this.filling = filling;
    this.tag = unsaved?.tag ?? filling.tag;
    this.image = filling.image;
    this.size = filling.size;
    this.boxes = (unsaved ? dressed(unsaved, filling) : this.filled(filling))
      .map((one) => ({ ...one, box: [...one.box] }));
    if (!isSameImage) this.arrive();
    else if (!this.isBlind && this.boxes.some(({ id, untouched }) => untouched && !known.has(id))) {
      this.see(); // boxes that a model has found just now
    }
    this.refresh();
  }

  // The boxes of a filling, with later changes.
  filled(filling) {
    const boxes = this.memory.shown.get(filling.tag) ?? filling.boxes;
    this.outbox.start(filling.image, filling.tag, boxes);
    return boxes;
  }

  arrive() {
    this.picker.close();
    this.guesses.end();
    this.waiting = null;
    this.lastClick = null;
    this.fresh = null;
    this.gap = null; // position of a deleted box
    this.asked = null;
    this.isBegun = false; // a person has done something with the boxes
    this.stay = null; // number of the request for the suggestions that were there
    this.isFit = true;
    this.isBlind = true; // until the image is visible
    this.pointing.arrive();
    this.root.dataset.ready = "";
    clearTimeout(this.blindTimer);
    this.blindTimer = setTimeout(() => this.see(), BLIND_MS);
    const bitmap = this.ahead.take(this.image);
    if (bitmap) this.keepPicture(bitmap);
    else this.showPicture(this.ahead.pictureOf(this.image));
    this.showDetail(hub.parcels.get(`${this.key}/detail`));
    this.fit();
    this.onOutbox();
  }

  // As `see`, once the image has been on screen for a moment.
  seeOnceDrawn() {
    clearTimeout(this.blindTimer);
    this.root.dataset.ready = "";
    this.isBlind = true;
    const { image } = this;
    const see = () => image === this.image && this.isBlind && this.see(SEEN_MS - CALM_MS);
    this.blindTimer = setTimeout(see, BLIND_MS);
    requestAnimationFrame(() => requestAnimationFrame(() => setTimeout(see, CALM_MS)));
  }

  // Image and boxes are visible from now on.
  see(seenMs = SEEN_MS) {
    clearTimeout(this.blindTimer);
    this.root.dataset.ready = "";
    this.isBlind = false;
    this.pointing.askKnown();
    this.blindTimer = setTimeout(() => {
      this.root.dataset.ready = this.image;
    }, seenMs);
  }

  get isReady() {
    return this.root.dataset.ready === this.image;
  }

  receive(parcel) {
    if (parcel.editor !== this.key) return;
    const isAhead = parcel.kind === "picture" && parcel.image !== this.image;
    if (isAhead) this.ahead.prepare(parcel);
    else if (parcel.kind === "picture") this.showPicture(parcel);
    if (parcel.kind === "detail") this.showDetail(parcel);
    this.pointing.receive(parcel);
    if (parcel.kind === "guess") this.guesses.hear(parcel);
    if (parcel.kind === "answer") {
      this.outbox.hear(parcel);
      if (this.waiting?.count <= parcel.done) this.waiting = null;
      if (this.held && !this.gesture && !this.outbox.of(this.held.image)) this.fill();
      this.onOutbox();
    }
  }

  // Show unsaved changes and waiting actions.
  onOutbox() {
    const { outbox } = this;
    const unsaved = outbox.unsaved(this.image);
    const isAdopted = outbox.of(this.image) && outbox.of(this.image).tag !== this.tag;
    if (isAdopted && !this.gesture) {
      this.held ??= this.filling;
      this.fill();
    }
    this.root.classList.toggle("waiting", Boolean(this.waiting));
    this.mark.textContent = (unsaved.all ? MARK : "") + this.ahead.style;
    this.notice.hidden = !unsaved.isOverdue && !this.ahead.isOverdue;
    this.notice.querySelector("span").textContent = this.inWords(unsaved);
    this.notice.querySelector("button").hidden = !unsaved.own;
    const isDone = !outbox.drawings.size;
    Object.assign(this.root.dataset, {
      seq: outbox.seq || "", savedSeq: isDone ? outbox.seq || "" : "", unsaved: unsaved.all,
      waiting: this.waiting?.name ?? "", leaps: this.ahead.leaps.length,
    });
  }

  inWords({ all, own, why, isRefusedElsewhere }) {
    const changes = all || !this.ahead.isPending
      ? `${all} ${all === 1 ? "change" : "changes"} not saved` : "The image before is not saved";
    const where = own === all ? "" : own ? " here and on other images" : " on other images";
    let held = this.waiting ? " Continues once saved; press Escape to stay." : "";
    if (!held && this.ahead.isPending) held = " Press Escape to go back to it.";
    const elsewhere = isRefusedElsewhere && "Open the other image to see why.";
    return `${changes}${where}. ${why || elsewhere || "The server is not responding."} ` +
      `Retrying …${held}`;
  }

  // Replace unsaved changes by the stored boxes.
  discard() {
    const { own } = this.outbox.unsaved(this.image);
    const what = own === 1 ? "1 unsaved change" : `${own} unsaved changes`;
    if (!own || !confirm(`Discard ${what} to this image?`)) return;
    const unsaved = this.outbox.of(this.image);
    if (this.held) {
      this.outbox.drop(this.outbox.keyOf(this.image));
      this.fill();
    } else {
      this.boxes = unsaved.base.map((one) => ({ ...one, box: [...one.box] }));
      this.refresh();
      this.changed();
    }
    this.onOutbox();
  }

  // Pinned labels with their digits, kept in this browser.
  keepPins(pinned) {
    store(`${PINS}${this.data.place}`, JSON.stringify(pinned));
    this.data = { ...this.data, pinned };
    this.act(`pins:${JSON.stringify(pinned)}`);
  }

  // Tell the server of the pins once: a new session does not know them.
  sendPins() {
    const { place, pinned } = this.given;
    if (!place || this.pinsSent === place) return;
    this.pinsSent = place;
    const kept = recalled(`${PINS}${place}`);
    if (kept && kept !== JSON.stringify(pinned)) this.act(`pins:${kept}`);
  }

  // Redraw all boxes.
  refresh() {
    const ids = new Set(this.boxes.map(({ id }) => id));
    for (const [id, element] of this.elements) {
      if (ids.has(id)) continue;
      element.remove();
      this.elements.delete(id);
    }
    if (this.several.size) this.selectSeveral(this.chosenAll.map(({ id }) => id));
    else if (!this.find(this.selected)) this.select(null);
    this.draw();
  }

  async showPicture(parcel) {
    if (parcel?.image !== this.image) return this.keepBitmap("picture", null);
    if (this.bitmaps.picture?.image === this.image) return;
    const { image } = this;
    const bitmap = await this.decode("picture", parcel);
    if (bitmap && image === this.image) this.keepPicture(bitmap);
  }

  async showDetail(parcel) {
    this.askForDetail = parcel?.ask;
    if (parcel?.image !== this.image || !parcel.box) return this.askSoon();
    const box = this.bitmaps.detail?.box;
    if (this.bitmaps.detail?.image === this.image && isSame(box, parcel.box)) return;
    const bitmap = await this.decode("detail", parcel);
    if (bitmap) this.keepPart("detail", bitmap, parcel.box);
  }

  // The decoded picture of a parcel; null where it cannot be read or is out of date.
  async decode(kind, parcel) {
    const { image } = this;
    this.decoding[kind] = parcel;
    const decoded = await createImageBitmap(new Blob([parcel.bytes])).catch(() => null);
    if (!decoded) this.see();
    else if (image === this.image && this.decoding[kind] === parcel) return decoded;
    decoded?.close();
    return null;
  }

  keepPicture(bitmap) {
    this.keepPart("picture", bitmap, [0, 0, ...this.size]);
  }

  // box: the part of the image that the bitmap shows.
  keepPart(kind, bitmap, box) {
    const scale = bitmap.width / (box[2] - box[0]);
    this.keepBitmap(kind, { image: this.image, box, scale, bitmap });
    this.askSoon();
  }

  keepBitmap(kind, kept) {
    const last = this.bitmaps[kind];
    if (last && kind === "picture" && last.image !== this.image) this.ahead.keep(last);
    else last?.bitmap.close();
    this.bitmaps[kind] = kept;
    if (kind === "picture" && !kept) this.keepBitmap("detail", null);
    if (kind === "picture" && kept) this.see();
    this.root.dataset[kind] = kept ? kept.image : "";
    if (kind === "detail") this.root.dataset.detailBox = kept ? kept.box.join(" ") : "";
    this.drawSoon();
  }

  // ------------------------------------------------------------------ output to the server

  // Send the current boxes.
  changed() {
    this.note();
    this.send();
  }

  note(amends = 0) {
    this.isBegun = true;
    const first = this.nudgeTimer ? this.firstOfRun() : amends;
    const boxes = this.boxes.map((one) => ({ ...one, box: [...one.box] }));
    this.remember(boxes);
    this.outbox.draw(this.image, this.tag, boxes, first);
    if (this.nudgeTimer) this.noteRun(first || this.outbox.seq);
    clearTimeout(this.nudgeTimer);
    this.nudgeTimer = null;
  }

  // The boxes on screen, by the tag of their filling.
  remember(boxes) {
    const { shown } = this.memory;
    shown.delete(this.tag);
    shown.set(this.tag, boxes);
    if (shown.size > KEPT_SHOWN) shown.delete(shown.keys().next().value);
  }

  // Number of the first drawing of a run of presses that moved the same boxes; 0 if a run
  // begins.
  firstOfRun() {
    const { last } = this;
    const isGoingOn = last?.seq === this.outbox.seq && last.ids === this.chosenIds &&
      performance.now() - last.at < RUN_MS;
    return isGoingOn ? last.first : 0;
  }

  noteRun(first) {
    this.last = { first, seq: this.outbox.seq, ids: this.chosenIds, at: performance.now() };
  }

  send() {
    this.guesses.sent();
    this.outbox.send();
  }

  // A trigger is sent a moment later, too late for a page that is closing.
  part() {
    if (!this.nudgeTimer && !this.guesses.isHeld) return;
    this.note();
    this.setStateValue("parting", JSON.stringify(this.outbox.message()));
  }

  changedSoon() {
    clearTimeout(this.nudgeTimer);
    this.nudgeTimer = setTimeout(() => this.changed(), NUDGE_MS);
  }

  flush() {
    if (this.nudgeTimer) this.changed();
    this.guesses.release();
  }

  // Request an action of the page on this image; once, even if the key repeats.
  act(name) {
    const isAsked = ([, other, image]) => other === name && image === this.image;
    if (ONCE.has(name) && this.outbox.actions.some(isAsked)) return;
    if (this.nudgeTimer) this.note();
    const next = this.waiting ? null : this.ahead.after(name);
    const count = this.outbox.act(name, this.image, this.tag, next);
    const isLeaving = LEAVING.has(name) || name.startsWith("show:");
    if (isLeaving && !next) this.waiting = { name, count };
    this.send();
    if (next) this.ahead.leap(next, count);
  }

  get isBusy() {
    return Boolean(this.waiting) || this.isBlind;
  }

  // ------------------------------------------------------------------ the boxes

  find(id) {
    return this.boxes.find((one) => one.id === id);
  }

  get chosen() {
    return this.find(this.selected);
  }

  // The selected boxes: none, one or several. `selected` and `chosen` are null for several.
  get chosenAll() {
    return this.boxes.filter((one) => this.isSelected(one));
  }

  get chosenIds() {
    return this.chosenAll.map(({ id }) => id).join(" ");
  }

  isSelected({ id }) {
    return id === this.selected || this.several.has(id);
  }

  // The boxes that the pointer can reach: hidden ones it cannot.
  get within() {
    return this.display.settings.boxes ? this.boxes : this.chosenAll;
  }

  // The selected box that holds a point of the screen.
  chosenAt(point) {
    if (!this.selected && !this.several.size) return null;
    return this.chosenAll.find(({ box }) => isInside(point, this.toScreen(box))) ?? null;
  }

  selectSeveral(ids) {
    const isOne = ids.length < 2;
    this.select(isOne ? ids[0] : null);
    if (!isOne) this.several = new Set(ids);
  }

  // Add a box to the selected ones, or take it out.
  gather({ id }) {
    const ids = this.chosenAll.map((one) => one.id);
    this.selectSeveral(ids.includes(id) ? ids.filter((other) => other !== id) : [...ids, id]);
  }

  // Add the boxes that lie in a rectangle on the screen.
  gatherIn(frame) {
    const isIn = (one) => isWithin(this.toScreen(one.box), frame);
    this.selectSeveral([...new Set([...this.chosenAll, ...this.within.filter(isIn)])]
      .map(({ id }) => id));
  }

  selectAll() {
    this.selectSeveral(this.boxes.map(({ id }) => id));
  }

  select(id) {
    if (id !== this.selected) {
      this.fresh = this.gap = null;
      this.guesses.end();
      const one = this.find(id);
      if (one?.untouched) this.guesses.offerFor(one);
    }
    this.selected = id ?? null;
    this.isBegun ||= Boolean(id);
    this.several = new Set();
    if (id) this.isTabFree = false;
    this.drawSoon();
  }

  change(one, changes) {
    Object.assign(one, changes, { untouched: false, confidence: null });
    this.guesses.touched(one);
    this.drawBox(one);
    this.drawHandles();
  }

  // like: id of the original of a copy.
  add(box, label, like) {
    const one = { id: newId(), box, label, confidence: null, untouched: false };
    if (like) one.like = like;
    this.boxes.push(one);
    return one;
  }

  drop(one) {
    this.boxes = this.boxes.filter((other) => other !== one);
    this.elements.get(one.id)?.remove();
    this.elements.delete(one.id);
    if (this.selected === one.id) this.select(null);
  }

  // Label the selected boxes or the next one. Labelling a new box also sets the label of the
  // next one.
  label(name) {
    const ones = this.chosenAll;
    for (const one of ones) this.guesses.touched(one);
    const others = ones.filter((one) => one.label !== name);
    for (const one of others) this.change(one, { label: name });
    if (others.length) this.note();
    const isForNext = !ones.length || (this.selected && this.fresh === this.selected);
    if (!ones.length) this.pointing.meant = name;
    if (isForNext && this.data.label !== name) this.labelNext(name);
    else if (others.length) this.send();
  }

  labelNext(name) {
    this.data = { ...this.data, label: name };
    this.wish = { label: name, count: this.outbox.count + 1 };
    this.act(`label:${name}`);
    this.drawSoon();
  }

  nudge(dx, dy) {
    const boxes = this.chosenAll.map(({ box }) => box);
    if (!boxes.length) return;
    const around = aroundAll(boxes);
    this.placeChosen((box) => moved(box, dx, dy, this.size, around));
  }

  // Resize by a key: 1 pixel, or 10 while it is held.
  stretch(isFar, across, down) {
    const by = this.repeats > HELD_REPEATS ? 10 : 1;
    this.placeChosen((box) => stretched(box, isFar, across * by, down * by, this.size));
  }

  placeChosen(placed) {
    const moves = this.chosenAll.map((one) => [one, placed(one.box)])
      .filter(([one, box]) => !isSame(one.box, box));
    for (const [one, box] of moves) this.change(one, { box });
    if (moves.length) this.changedSoon();
  }

  duplicate() {
    const ones = this.chosenAll;
    if (!ones.length) return;
    const around = aroundAll(ones.map(({ box }) => box));
    const least = Math.max(12 / this.view.scale, 2);
    const by = [least, -least].find((way) =>
      !isSame(moved(around, way, way, this.size), around)) ?? 0;
    const copies = ones.map(({ id, box, label }) =>
      this.add(moved(box, by, by, this.size, around), label, id));
    this.selectSeveral(copies.map(({ id }) => id));
    this.changed();
  }

  // Delete the selected boxes or the smallest under the pointer. Tab continues from its place.
  remove() {
    const slack = DRAG_PX / this.view.scale;
    const ones = this.chosenAll;
    if (!ones.length && this.pointer) {
      ones.push(...under(this.toImage(this.pointer), this.within, slack).slice(0, 1));
    }
    if (!ones.length) return;
    const place = this.boxes.indexOf(ones[0]);
    for (const one of ones) this.drop(one);
    this.select(null);
    this.gap = place;
    this.changed();
  }

  step(by) {
    if (!this.boxes.length) return;
    const count = this.boxes.length;
    const at = this.boxes.findIndex((one) => this.isSelected(one));
    const between = by > 0 ? this.gap ?? 0 : (this.gap ?? 0) - 1;
    const next = ((at < 0 ? between : at + by) + count) % count;
    this.select(this.boxes[next].id);
    this.bringIntoView(this.boxes[next].box);
  }

  colourOf(label) {
    return this.colours.get(label) ?? this.ahead.colourOf(label) ?? GREY;
  }

  // ------------------------------------------------------------------ keys

  // Commands by name; other names in the table of keys are actions of the page.
  commands = {
    cancel: () => this.cancel(),
    delete: () => this.remove(),
    duplicate: () => this.duplicate(),
    pick: () => this.picker.open(),
    all: () => this.selectAll(),
    following: () => this.step(1),
    preceding: () => this.step(-1),
    whole: () => this.fit(),
    native: () => this.zoomTo(1 / devicePixelRatio),
    closer: () => this.zoomToBox(),
    larger: () => this.zoomTo(this.view.scale * 1.4),
    smaller: () => this.zoomTo(this.view.scale / 1.4),
    chips: () => this.display.flip("chips"),
    boxes: () => this.display.flip("boxes"),
    display: (hasKeys) => this.display.toggle(hasKeys),
    plain: () => this.display.reset(),
    brighter: () => this.display.step("brightness", 1),
    darker: () => this.display.step("brightness", -1),
    "more-contrast": () => this.display.step("contrast", 1),
    "less-contrast": () => this.display.step("contrast", -1),
    help: () => this.keys.toggle(),
    take: () => this.pointing.takeHere(),
    other: () => this.pointing.cycle(),
    snap: () => this.pointing.snap(),
    pointing: () => this.pointing.toggle(),
    discard: () => this.discard(),
    left: () => (this.chosenIds ? this.nudge(-1, 0) : this.act("previous")),
    right: () => (this.chosenIds ? this.nudge(1, 0) : this.act("next")),
    up: () => this.nudge(0, -1),
    down: () => this.nudge(0, 1),
    "far-left": () => this.nudge(-10, 0),
    "far-right": () => this.nudge(10, 0),
    "far-up": () => this.nudge(0, -10),
    "far-down": () => this.nudge(0, 10),
    "far-edge-left": () => this.stretch(true, -1, 0),
    "far-edge-right": () => this.stretch(true, 1, 0),
    "far-edge-up": () => this.stretch(true, 0, -1),
    "far-edge-down": () => this.stretch(true, 0, 1),
    "near-edge-left": () => this.stretch(false, -1, 0),
    "near-edge-right": () => this.stretch(false, 1, 0),
    "near-edge-up": () => this.stretch(false, 0, -1),
    "near-edge-down": () => this.stretch(false, 0, 1),
  };

  // hasKeys: a key asks for it.
  run(name, hasKeys = false) {
    if (this.isBusy && !VIEWING.has(name)) return;
    if (DECIDING.has(name) && !this.isReady) return;
    if (JUDGING.has(name) && this.display.showHidden()) return;
    const number = /^label:(\d)$/.exec(name)?.[1];
    if (number) {
      const label = this.data.keyLabels[number - 1];
      if (label) this.label(label);
    } else if (this.commands[name]) this.commands[name](hasKeys);
    else this.act(name);
  }

  onKey(event) {
    if (event.defaultPrevented || event.isComposing) return;
    if (this.keys.asking) return this.keys.hear(event);
    if (event.altKey) return;
    const path = event.composedPath().filter((one) => one instanceof Element);
    if (path.some((one) => one.matches(TYPING)) || document.querySelector(OPEN)) return;
    const name = this.keys.nameOf(event);
    if (name === "pan") return this.onPanKey(event, path);
    if (!name || this.isElsewhere(event, path)) return;
    event.preventDefault();
    event.stopPropagation();
    if (event.repeat && ONCE.has(name)) return;
    this.repeats = event.repeat ? this.repeats + 1 : 0;
    // Keys pressed during a drag are handled after it.
    if (this.gesture?.mode && name !== "cancel") return void this.gesture.after.push(name);
    this.run(name, true);
    if (HIDING.has(name)) this.hiding = { key: event.code, name, at: event.timeStamp };
  }

  isElsewhere({ key }, path) {
    if (key === "Tab" && (this.isTabFree || !this.boxes.length)) return true;
    if (!["Enter", "Tab", " "].includes(key)) return false;
    const isAtHome = path.includes(this.root) || document.activeElement === document.body;
    const isOnButton = path.some((one) => one.matches(PRESSABLE));
    return isOnButton || (key === "Tab" && !isAtHome);
  }

  onPanKey(event, path) {
    if (event.key === " " && path.some((one) => one.matches(PRESSABLE))) return;
    event.preventDefault();
    event.stopPropagation();
    this.panKey = event.code;
    this.root.style.cursor = "grab";
  }

  onKeyUp(event) {
    const { hiding } = this;
    if (hiding?.key === event.code) {
      this.hiding = null;
      this.display.release(hiding.name, event.timeStamp - hiding.at);
    }
    if (!this.panKey || event.code !== this.panKey) return;
    this.panKey = null;
    this.hover();
  }

  cancel() {
    if (this.gesture) this.abandon();
    else if (this.waiting) this.goNowhere();
    else if (!this.help.hidden) this.keys.toggle();
    else if (this.display.isOpen) this.display.toggle();
    else if (this.selected || this.several.size) this.select(null);
    else if (!this.ahead.back() && !this.pointing.hide()) this.isTabFree = true;
  }

  goNowhere() {
    this.outbox.withdraw(this.waiting.count);
    this.waiting = null;
    this.onOutbox();
  }

  // ------------------------------------------------------------------ the page

  // A click on a page button counts as the key with the same action.
  onClickAnywhere(event) {
    const path = event.composedPath().filter((one) => one instanceof Element);
    const button = path.find((one) => one.matches("button"));
    const keys = path.flatMap((one) => [...one.classList])
      .filter((one) => one.startsWith("st-key-")).map((one) => one.slice(7));
    if (!button || !keys.length || event.defaultPrevented) return;
    const name = keys.map((key) => this.data.buttons[key]).find(Boolean);
    const isPill = keys.some((key) => key.startsWith("edit-label-"));
    const isHeld = keys.some((key) => HELD.includes(key)) && !this.mayLeave;
    if (!name && !isPill && !isHeld) return;
    event.preventDefault();
    event.stopImmediatePropagation();
    if (isHeld) this.notice.hidden = !this.outbox.unsaved(this.image).own;
    else if (name && this.mayPass && PASSING.has(name)) this.act(name);
    else if (name) this.run(name);
    else if (!this.isBusy) this.onPill(button);
  }

  get mayLeave() {
    return !this.isBusy && !this.ahead.isPending && !this.outbox.unsaved(this.image).own;
  }

  // The image has not come yet.
  get mayPass() {
    return this.isBlind && !this.bitmaps.picture && !this.waiting;
  }

  onPill(button) {
    const pills = [...button.closest("[class*='st-key-edit-label-']").querySelectorAll("button")];
    const label = this.data.pills[pills.indexOf(button)];
    if (label !== undefined) this.label(label);
    this.root.focus({ preventScroll: true, focusVisible: false }); // so that its keys keep working
  }

  // Back and forward between images. Streamlit reruns the page, and the server leaves the
  // address alone (see `address.py`); requested before the end of that run, the image may
  // be one that the browser has just dropped.
  onHistory(event) {
    const there = new URLSearchParams(location.search).get("image");
    if (location.pathname !== this.path || !there || event.state?.isRerun) return;
    this.waiting = { name: "show", count: Infinity };
    this.onOutbox();
    clearInterval(this.pageTimer);
    this.pageTimer = setInterval(() => {
      if (!document.querySelector(PAGE_AT_REST)) return;
      clearInterval(this.pageTimer);
      this.outbox.actions = this.outbox.actions.filter((one) => !one[1].startsWith("show:"));
      this.act(`show:${there}`);
    }, 50);
  }

  // ------------------------------------------------------------------ the pointer

  listen() {
    const on = (target, type, handler, options = {}) => target.addEventListener(
      type, handler.bind(this), { signal: this.stopper.signal, ...options },
    );
    const early = { capture: true };
    on(window, "keydown", this.onKey, early);
    on(window, "keyup", this.onKeyUp, early);
    on(window, "pointerdown", this.onPressAnywhere, early);
    on(window, "click", this.onClickAnywhere, early);
    on(window, "popstate", this.onHistory, early);
    on(window, "online", () => this.outbox.nudge());
    on(window, "pagehide", this.part, early);
    on(window, "blur", this.onBlur);
    on(window, "resize", this.onResize);
    on(this.root, "pointerdown", this.onDown);
    on(this.root, "pointermove", this.onMove);
    on(this.root, "pointerup", this.onUp);
    on(this.root, "pointercancel", this.onLost);
    on(this.root, "lostpointercapture", this.onLost);
    on(this.root, "pointerleave", this.onLeave);
    on(this.root, "wheel", this.onWheel, { passive: false });
    on(this.root, "contextmenu", (event) => event.preventDefault());
    on(this.display.root, "click", this.onTool);
    for (const panel of this.root.querySelectorAll(".tools, .help, .unsaved, .remove")) {
      on(panel, "click", this.onTool);
      on(panel, "mousedown", (event) => {
        if (!event.target.matches("select")) event.preventDefault(); // keeps the focus here
      });
    }
    this.receiver = (parcel) => this.receive(parcel);
    hub.listeners.add(this.receiver);
    this.observer = new ResizeObserver(() => this.onResize());
    this.observer.observe(this.root.parentElement);
    const main = document.querySelector("[data-testid='stMainBlockContainer']");
    if (main) this.observer.observe(main);
    living.add(this);
    widen(main);
  }

  stop() {
    this.flush();
    this.guesses.end();
    this.outbox.say = null;
    this.outbox.onChange = () => {};
    this.mark.remove();
    this.picker.close();
    this.pointing.stop();
    this.ahead.stop();
    this.stopper.abort();
    this.observer.disconnect();
    hub.listeners.delete(this.receiver);
    clearTimeout(this.blindTimer);
    clearInterval(this.pageTimer);
    clearTimeout(this.askTimer);
    clearTimeout(this.holdTimer);
    for (const one of Object.values(this.bitmaps)) one?.bitmap.close();
    living.delete(this);
    widen(document.querySelector("[data-testid='stMainBlockContainer']"));
  }

  onPressAnywhere(event) {
    const isInList = event.composedPath().includes(this.help);
    if (this.keys.asking && !isInList) this.keys.ask(null);
    if (!event.composedPath().includes(this.root)) this.flush();
  }

  onBlur() {
    this.panKey = null;
    this.flush();
  }

  onTool(event) {
    const button = event.target.closest("[data-command]");
    if (button) this.run(button.dataset.command);
  }

  at(event) {
    const { left, top } = this.root.getBoundingClientRect();
    return [event.clientX - left, event.clientY - top];
  }

  toImage([x, y]) {
    const { scale, x: left, y: top } = this.view;
    return [(x - left) / scale, (y - top) / scale];
  }

  toScreen([x0, y0, x1, y1]) {
    const { scale, x, y } = this.view;
    return [x0 * scale + x, y0 * scale + y, x1 * scale + x, y1 * scale + y];
  }

  onImage(point) {
    const [x, y] = this.toImage(point);
    return [limited(x, 0, this.size[0]), limited(y, 0, this.size[1])];
  }

  onDown(event) {
    if (event.target.closest(PANELS)) return;
    event.preventDefault();
    this.picker.close();
    this.root.focus({ preventScroll: true, focusVisible: false });
    const point = this.at(event);
    this.pointers.set(event.pointerId, point);
    if (this.pointers.size === 2) return this.beginPinch();
    if (this.gesture || !this.tag || this.isBusy) return;
    this.root.setPointerCapture(event.pointerId);
    this.gesture = this.begin(event, point);
    if (event.pointerType === "touch") {
      const { gesture } = this;
      this.holdTimer = setTimeout(() => this.hold(gesture), FINGER_MS);
    }
    this.isBegun ||= this.gesture.plan !== "pan";
  }

  begin(event, start) {
    const gesture = { start, button: event.button, mode: null, after: [] };
    if (event.button !== 0 || this.panKey) return { ...gesture, plan: "pan" };
    if (event.ctrlKey || event.metaKey) return { ...gesture, plan: "gather" };
    const held = !event.shiftKey && this.gripAt(start);
    if (held) return { ...gesture, plan: "resize", ...held, box: [...held.one.box] };
    const one = !event.shiftKey && this.chosenAt(start);
    if (!one) return { ...gesture, plan: "draw" };
    if (this.several.size) return { ...gesture, plan: "shift", one, ...this.allPlaces() };
    return { ...gesture, plan: "move", one, box: [...one.box] };
  }

  // The selected boxes with their edges, and the edges around them all.
  allPlaces() {
    const places = this.chosenAll.map((one) => ({ one, box: [...one.box] }));
    return { places, around: aroundAll(places.map(({ box }) => box)) };
  }

  // The box whose edge or corner a drag from here would move: the selected one, else the
  // smallest. Inside a selected box a drag moves what is selected.
  gripAt(point) {
    const one = this.chosen;
    const grip = one && gripOf(point, this.toScreen(one.box));
    if (grip) return { one, grip };
    if (this.chosenAt(point)) return null;
    const slack = GRIP_PX / this.view.scale;
    for (const other of under(this.toImage(point), this.within, slack)) {
      const found = gripOf(point, this.toScreen(other.box));
      if (found) return { one: other, grip: found };
    }
    return null;
  }

  // The box that a click here would select.
  clickedAt(point) {
    const found = under(this.toImage(point), this.within, DRAG_PX / this.view.scale);
    const last = this.lastClick;
    const isAgain = last && distance(point, last.point) <= SAME_PLACE_PX;
    const place = found.findIndex((one) => one.id === this.selected);
    return found[isAgain && place >= 0 ? (place + 1) % found.length : 0];
  }

  onMove(event) {
    const point = this.at(event);
    if (this.pointers.has(event.pointerId)) this.pointers.set(event.pointerId, point);
    this.pointer = event.target.closest?.(`${PANELS}, .guesses`) ? null : point;
    const { gesture } = this;
    if (gesture?.plan === "pinch") return this.pinch();
    if (gesture) {
      if (!gesture.mode && distance(point, gesture.start) < DRAG_PX) return;
      if (!gesture.mode && gesture.plan === "resize") this.select(gesture.one.id);
      gesture.mode ??= gesture.plan;
      this.drag(gesture, point);
    }
    this.hover();
  }

  drag(gesture, point) {
    if (gesture.mode === "held") return;
    const { one, start } = gesture;
    const dx = (point[0] - start[0]) / this.view.scale;
    const dy = (point[1] - start[1]) / this.view.scale;
    if (gesture.mode === "pan") {
      const last = gesture.last ?? start;
      gesture.last = point;
      this.show({
        ...this.view,
        x: this.view.x + point[0] - last[0],
        y: this.view.y + point[1] - last[1],
      });
    } else if (gesture.mode === "draw") {
      const corners = [...this.onImage(start), ...this.onImage(point)].map(rounded);
      if (!gesture.drawn) this.guesses.end();
      gesture.drawn ??= this.add(corners, this.data.label);
      gesture.drawn.box = normalised(corners);
      this.drawBox(gesture.drawn);
      this.elementOf(gesture.drawn).classList.add("drawn");
      this.drawMeasure(gesture.drawn.box, point);
    } else if (gesture.mode === "gather") {
      gesture.frame = normalised([...start, ...point]);
      this.drawFrame(gesture.frame);
    } else if (gesture.mode === "shift") {
      const { around, places } = gesture;
      for (const place of places) {
        this.place(place.one, moved(place.box, dx, dy, this.size, around));
      }
    } else if (gesture.mode === "move") {
      this.place(one, moved(gesture.box, dx, dy, this.size));
    } else {
      this.place(one, resized(gesture.box, gesture.grip, dx, dy, this.size));
      this.drawMeasure(one.box, point);
    }
  }

  place(one, box) {
    one.box = box;
    this.drawBox(one);
    this.drawHandles();
  }

  onUp(event) {
    this.pointers.delete(event.pointerId);
    const { gesture } = this;
    if (!gesture || (gesture.plan === "pinch" && this.pointers.size)) return;
    if (!gesture.mode && gesture.plan === "gather") this.gatherAt(gesture.start);
    else if (!gesture.mode && gesture.plan !== "pan") this.click(gesture.start, event);
    else this.finish(gesture);
    this.end();
  }

  finish({ mode, one, box, drawn, frame, places }) {
    if (mode === "held") return;
    if (mode === "draw") return this.keepDrawn(drawn);
    if (mode === "gather") return this.gatherIn(frame);
    if (mode === "shift") return this.keepPlaces(places);
    if (!one || isSame(one.box, box)) return;
    const [x0, y0, x1, y1] = one.box;
    const isTooThin = mode === "resize" && (x1 - x0 < 1 || y1 - y0 < 1);
    if (isTooThin) return this.place(one, box);
    this.change(one, {});
    this.changed();
  }

  keepPlaces(places) {
    const others = places.filter(({ one, box }) => !isSame(one.box, box));
    for (const { one } of others) this.change(one, {});
    if (others.length) this.changed();
  }

  gatherAt(point) {
    this.lastClick = null;
    const [one] = under(this.toImage(point), this.within, DRAG_PX / this.view.scale);
    if (one) this.gather(one);
  }

  hold(gesture) {
    const isThere = gesture === this.gesture && !gesture.mode && gesture.plan !== "pan";
    if (!isThere || !this.within.length || this.isBusy) return;
    if (this.guesses.isAt(gesture.start)) return; // a finger may rest on a chip
    if (!under(this.toImage(gesture.start), this.within, DRAG_PX / this.view.scale).length) return;
    gesture.mode = "held";
    this.gatherAt(gesture.start);
  }

  // A tiny drag is a click, not a box.
  keepDrawn(one) {
    one.box = this.widened(one.box);
    const [x0, y0, x1, y1] = one.box;
    const [across, down] = this.size.map((length) => this.leastOf(length));
    if (x1 - x0 < across || y1 - y0 < down) return this.drop(one);
    this.lastClick = null;
    this.elementOf(one).classList.remove("drawn");
    this.keepNew(one);
  }

  keepNew(one) {
    const isChosen = Boolean(this.pointing.meant);
    this.pointing.meant = null;
    this.select(one.id);
    this.fresh = one.id;
    this.guesses.begin(one, { isChosen });
  }

  leastOf(length) {
    return Math.min(Math.max(DRAG_PX / this.view.scale, 1), length);
  }

  // On a very thin image a box takes its whole width or height.
  widened(box) {
    const wide = [...box];
    for (const [i, length] of this.size.entries()) {
      const isThin = length < 2 || length * this.view.scale < 3 * DRAG_PX;
      if (isThin) [wide[i], wide[i + 2]] = [0, length];
    }
    return wide;
  }

  end() {
    const { after } = this.gesture;
    this.gesture = null;
    clearTimeout(this.holdTimer);
    this.measure.hidden = true;
    this.drawFrame(null);
    this.hover();
    if (this.held) this.take(this.held);
    for (const name of after) this.run(name);
  }

  abandon() {
    const { mode, one, box, drawn, places } = this.gesture;
    if (drawn) this.drop(drawn);
    else if (mode === "shift") for (const place of places) this.place(place.one, place.box);
    else if (one && mode && mode !== "held") this.place(one, box);
    this.gesture.mode = null;
    this.end();
  }

  onLost(event) {
    this.pointers.delete(event.pointerId);
    if (this.gesture && !this.pointers.size) this.abandon();
  }

  onLeave() {
    this.pointer = null;
    this.hover();
  }

  // A click selects the smallest box; another click at the same place the next larger.
  click(point, event) {
    if (this.guesses.click(point)) return;
    const found = this.clickedAt(point);
    const last = this.lastClick;
    const isAgain = last && distance(point, last.point) <= SAME_PLACE_PX;
    this.lastClick = { point, at: event.timeStamp };
    const isDouble = isAgain && event.timeStamp - last.at < DOUBLE_CLICK_MS;
    const one = this.chosen;
    if (isDouble && one && isInside(this.toImage(point), one.box, DRAG_PX / this.view.scale)) {
      this.lastClick = null;
      return this.picker.open();
    }
    const isFree = !found && !this.gripAt(point);
    if (isFree && this.pointing.takeClicked(point)) return;
    this.select(found?.id);
  }

  beginPinch() {
    if (this.gesture) this.abandon();
    this.gesture = { plan: "pinch", mode: "pinch", after: [], spread: this.spread() };
  }

  spread() {
    const [a, b] = [...this.pointers.values()];
    return { middle: [(a[0] + b[0]) / 2, (a[1] + b[1]) / 2], width: distance(a, b) };
  }

  pinch() {
    if (this.pointers.size < 2) return;
    const { gesture } = this;
    const now = this.spread();
    const [x, y] = gesture.spread.middle;
    this.show({
      ...this.view, x: this.view.x + now.middle[0] - x, y: this.view.y + now.middle[1] - y,
    });
    const factor = now.width / Math.max(gesture.spread.width, 1);
    this.zoomTo(this.view.scale * factor, now.middle);
    gesture.spread = now;
  }

  onWheel(event) {
    if (event.target.closest(".picker, .help, .display")) return;
    event.preventDefault();
    if (event.altKey) return this.pointing.turn(event);
    const lines = event.deltaMode === 1 ? 30 : 1;
    const speed = event.ctrlKey ? 0.01 : 0.0018; // a touchpad pinch sends Ctrl
    const factor = Math.exp(-event.deltaY * lines * speed);
    this.zoomTo(this.view.scale * factor, this.at(event));
  }

  hover() {
    const { gesture, pointer } = this;
    const held = pointer && !this.isBusy && this.gripAt(pointer);
    const isOnChosen = pointer && this.chosenAt(pointer);
    const isPanning = this.panKey || ["pan", "pinch"].includes(gesture?.plan);
    let cursor = "crosshair";
    if (isPanning) cursor = gesture ? "grabbing" : "grab";
    else if (held) cursor = cursorOf(held.grip);
    else if (isOnChosen) cursor = "move";
    if (!gesture || isPanning) this.root.style.cursor = cursor;
    const draws = gesture ? gesture.plan === "draw" : cursor === "crosshair";
    this.drawGuides(draws ? pointer : null);
    const isIdle = pointer && !gesture && !isPanning;
    const below = isIdle && (held?.one ?? this.clickedAt(pointer));
    this.point(isIdle ? below : gesture?.one);
    this.pointing.hover(isIdle && !this.isBusy ? pointer : null, !below);
  }

  // Highlight the box that a click or drag would affect.
  point(one) {
    const group = one && this.elements.get(one.id);
    if (group === this.pointed) return;
    this.pointed?.classList.remove("pointed");
    group?.classList.add("pointed");
    this.pointed = group;
  }

  // ------------------------------------------------------------------ the view

  onResize() {
    if (!this.tag || !this.resize()) return;
    this.draw();
  }

  // Use the width of the column and the remaining height of the window.
  resize() {
    const host = this.root.getBoundingClientRect();
    const main = document.querySelector("[data-testid='stMain']");
    const top = host.top + (main?.scrollTop ?? 0);
    const height = Math.max(innerHeight - top - this.data.below, LEAST_HEIGHT);
    const room = [Math.floor(host.width), Math.floor(height)];
    if (isSame(room, this.room)) return false;
    const [dx, dy] = [(room[0] - this.room[0]) / 2, (room[1] - this.room[1]) / 2];
    this.room = room;
    this.root.style.height = `${room[1]}px`;
    const ratio = devicePixelRatio;
    this.canvas.width = Math.round(room[0] * ratio);
    this.canvas.height = Math.round(room[1] * ratio);
    if (this.isFit) this.fit();
    else this.show({ ...this.view, x: this.view.x + dx, y: this.view.y + dy });
    return true;
  }

  // The space for the whole image: above the button row where it would cover the image.
  get fitRoom() {
    const [width, height] = this.size;
    const [across, down] = this.room;
    const scale = Math.min(across / width, down / height, LARGEST_FIT);
    const isBelow = (down - height * scale) / 2 >= BAR_PX;
    const { offsetWidth } = this.tools;
    const isBeside = (across - width * scale) / 2 >= offsetWidth + 16;
    return isBelow || isBeside ? this.room : [across, Math.max(down - BAR_PX, down / 2)];
  }

  get fitScale() {
    const [width, height] = this.size;
    const [across, down] = this.fitRoom;
    return Math.min(across / width, down / height, LARGEST_FIT);
  }

  fit() {
    if (!this.room[0]) return;
    const scale = this.fitScale;
    const [width, height] = this.size;
    const [across, down] = this.fitRoom;
    this.show({
      scale, x: (across - width * scale) / 2, y: (down - height * scale) / 2,
    });
    this.isFit = true;
  }

  show(view) {
    const [width, height] = this.room;
    // Part of the image stays visible; its edges can be moved to the middle.
    const within = (at, room, length) =>
      limited(at, Math.min(room * 0.6 - length, (room - length) / 2),
        Math.max(room * 0.4, (room - length) / 2));
    this.view = {
      scale: view.scale,
      x: within(view.x, width, this.size[0] * view.scale),
      y: within(view.y, height, this.size[1] * view.scale),
    };
    this.isFit = false;
    this.closeTo = null;
    this.drawSoon();
    this.askSoon();
  }

  zoomTo(scale, about = [this.room[0] / 2, this.room[1] / 2]) {
    const least = Math.min(this.fitScale, 1 / devicePixelRatio);
    if (scale <= least && least === this.fitScale) return this.fit();
    const to = limited(scale, least, LARGEST_SCALE);
    const factor = to / this.view.scale;
    this.show({
      scale: to,
      x: about[0] - (about[0] - this.view.x) * factor,
      y: about[1] - (about[1] - this.view.y) * factor,
    });
  }

  zoomToBox() {
    const one = this.chosen;
    if (this.closeTo && (!one || this.closeTo === one.id)) return this.fit();
    if (!one) return;
    const [x0, y0, x1, y1] = one.box;
    const [width, height] = this.room;
    const scale = limited(
      0.5 * Math.min(width / Math.max(x1 - x0, 1), height / Math.max(y1 - y0, 1)),
      this.fitScale, LARGEST_SCALE,
    );
    const middle = [(x0 + x1) / 2, (y0 + y1) / 2];
    this.show({
      scale, x: width / 2 - middle[0] * scale, y: height / 2 - middle[1] * scale,
    });
    this.closeTo = one.id;
  }

  bringIntoView(box) {
    const [x0, y0, x1, y1] = this.toScreen(box);
    const [width, height] = this.room;
    if (x1 > 0 && y1 > 0 && x0 < width && y0 < height) return;
    const { view } = this;
    this.show({
      ...view, x: view.x + width / 2 - (x0 + x1) / 2, y: view.y + height / 2 - (y0 + y1) / 2,
    });
  }

  // Request a sharper detail of the view where the current image is too coarse.
  askSoon() {
    clearTimeout(this.askTimer);
    this.askTimer = setTimeout(() => this.ask(), SETTLED_MS);
  }

  ask() {
    const { picture, detail } = this.bitmaps;
    const needed = Math.min(this.view.scale * devicePixelRatio, 1);
    if (!picture || !this.askForDetail || this.ahead.isPending || picture.scale >= needed * 0.95) return;
    const [width, height] = this.size;
    const seen = [...this.toImage([0, 0]), ...this.toImage(this.room)];
    const inSight = [
      limited(seen[0], 0, width), limited(seen[1], 0, height),
      limited(seen[2], 0, width), limited(seen[3], 0, height),
    ];
    const [w, h] = [inSight[2] - inSight[0], inSight[3] - inSight[1]];
    const covers = detail && isInside(inSight.slice(0, 2), detail.box, 1) &&
      isInside(inSight.slice(2), detail.box, 1);
    if (covers && detail.scale >= needed * 0.95) return;
    // With a margin, for panning without another request.
    const spare = limited((DETAIL_PX / needed - Math.max(w, h)) / 2, 0, Math.max(w, h) / 4);
    const box = [
      Math.floor(limited(inSight[0] - spare, 0, width)),
      Math.floor(limited(inSight[1] - spare, 0, height)),
      Math.ceil(limited(inSight[2] + spare, 0, width)),
      Math.ceil(limited(inSight[3] + spare, 0, height)),
    ];
    if (areaOf(box) <= 0 || (this.asked && isSame(this.asked, box))) return;
    this.asked = box;
    this.askForDetail({ image: this.image, box });
  }

  // ------------------------------------------------------------------ drawing

  drawSoon() {
    this.frame ??= requestAnimationFrame(() => this.draw());
  }

  draw() {
    cancelAnimationFrame(this.frame);
    this.frame = null;
    if (!this.tag || !this.room[0]) return;
    this.drawPicture();
    this.drawShapes();
    for (const one of this.boxes) this.drawBox(one);
    this.drawHandles();
    this.guesses.draw();
    this.drawState();
    this.hover();
    this.percent.value = `${Math.round(this.view.scale * devicePixelRatio * 100)} %`;
    const closer = this.root.querySelector("[data-command='closer']");
    closer.disabled = !this.selected && !this.closeTo;
    this.root.setAttribute("aria-label", `Image with ${this.boxes.length} boxes`);
    Object.assign(this.root.dataset, {
      image: this.image, tag: this.tag, selected: this.selected ?? "",
      several: this.several.size || "",
      scale: this.view.scale, x: this.view.x, y: this.view.y,
      size: this.size.join(" "), label: this.data.label,
    });
  }

  drawPicture() {
    const context = this.canvas.getContext("2d");
    const ratio = devicePixelRatio;
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.clearRect(0, 0, ...this.room);
    context.imageSmoothingQuality = "high";
    const { picture, detail } = this.bitmaps;
    if (picture) this.drawPart(context, picture);
    // A coarser detail of another region is no better than the image.
    if (detail && picture && detail.scale > picture.scale) this.drawPart(context, detail);
  }

  drawPart(context, { bitmap, box, scale }) {
    const [left, top] = this.toImage([0, 0]);
    const [right, bottom] = this.toImage(this.room);
    // Whole pixels of the image, so that their edges are in place.
    const x0 = limited(Math.floor((left - box[0]) * scale), 0, bitmap.width);
    const y0 = limited(Math.floor((top - box[1]) * scale), 0, bitmap.height);
    const x1 = limited(Math.ceil((right - box[0]) * scale), 0, bitmap.width);
    const y1 = limited(Math.ceil((bottom - box[1]) * scale), 0, bitmap.height);
    if (x1 <= x0 || y1 <= y0) return;
    const down = bitmap.height / (box[3] - box[1]);
    const to = this.toScreen([
      box[0] + x0 / scale, box[1] + y0 / down, box[0] + x1 / scale, box[1] + y1 / down,
    ]);
    context.imageSmoothingEnabled = scale < 0.999 || this.view.scale < PIXELS_FROM;
    context.drawImage(
      bitmap, x0, y0, x1 - x0, y1 - y0, to[0], to[1], to[2] - to[0], to[3] - to[1],
    );
  }

  // Ignore areas and a reviewer's marks: shown, not editable.
  drawShapes() {
    const shapes = [this.given.shapes, this.filling.shapes]
      .find((one) => one?.image === this.image);
    const paths = shapes?.paths ?? [];
    const key = JSON.stringify(paths);
    if (key !== this.shapesKey) {
      this.shapesKey = key;
      this.shapeLayer.replaceChildren(...paths.map(({ kind, d, width }) => made("path", {
        class: `shape ${kind}${width ? " brush" : ""}`, d, "stroke-width": width || 1,
      })));
    }
    const { x, y, scale } = this.view;
    this.shapeLayer.setAttribute("transform", `translate(${x} ${y}) scale(${scale})`);
  }

  elementOf(one) {
    const known = this.elements.get(one.id);
    if (known) return known;
    const group = made("g", { class: "box" });
    group.append(...boxParts());
    group.dataset.id = one.id;
    this.layer.append(group);
    this.elements.set(one.id, group);
    return group;
  }

  drawBox(one) {
    this.drawParts(this.elementOf(one), one);
  }

  drawParts(group, one) {
    const [x0, y0, x1, y1] = this.toScreen(one.box);
    const [halo, line, chip] = group.children;
    const isSelected = Boolean(one.id) && this.isSelected(one);
    this.dress(group, one, isSelected);
    const place = `${x0} ${y0} ${x1} ${y1} ${this.room} ${group.looks}`;
    if (group.place === place) return;
    group.place = place;
    const isSeen = x1 > -8 && y1 > -CHIP_PX && x0 < this.room[0] + 8 &&
      y0 < this.room[1] + CHIP_PX;
    group.style.display = isSeen ? "" : "none";
    if (!isSeen) return;
    const area = { x: x0, y: y0, width: Math.max(x1 - x0, 1), height: Math.max(y1 - y0, 1) };
    put(halo, area);
    put(line, area);
    const isTiny = Math.max(area.width, area.height) < CHIP_PX && !isSelected;
    chip.style.display = isTiny ? "none" : "";
    if (!isTiny) this.placeChip(chip, one, [x0, y0, x1, y1]);
  }

  // Colour, dashes and label of a box, updated only if changed.
  dress(group, one, isSelected) {
    const colour = this.colourOf(one.label);
    const text = chipText(one);
    const looks = `${colour} ${text} ${one.untouched} ${isSelected}`;
    if (group.looks === looks) return;
    group.looks = looks;
    const [halo, line, chip] = group.children;
    group.classList.toggle("selected", isSelected);
    group.classList.toggle("untouched", Boolean(one.untouched));
    Object.assign(group.dataset, {
      label: one.label, untouched: String(Boolean(one.untouched)), text,
    });
    halo.setAttribute("stroke", isLight(colour) ? "#000000" : "#ffffff");
    line.setAttribute("stroke", colour);
    line.style.fill = one.untouched || isSelected ? `${colour}1f` : "none";
    const [paper, words] = chip.children;
    put(paper, { width: this.textWidth(text) + 8, fill: colour });
    words.textContent = text;
    words.setAttribute("fill", isLight(colour) ? "#000000" : "#ffffff");
    if (isSelected) this.layer.append(group);
  }

  textWidth(text) {
    if (!this.textWidths.has(text)) {
      const font = getComputedStyle(this.root).fontFamily;
      this.ink.font = `600 11px ${font}`;
      this.textWidths.set(text, Math.ceil(this.ink.measureText(text).width));
    }
    return this.textWidths.get(text);
  }

  // Above the box if there is space, else below, else inside.
  placeChip(chip, one, [x0, y0, , y1]) {
    const width = this.textWidth(chipText(one)) + 8;
    const isRoomAbove = y0 - CHIP_PX - 2 >= 0;
    const isRoomBelow = y1 + CHIP_PX + 2 <= this.room[1];
    let y = Math.max(y0, 0) + 2;
    if (isRoomAbove) y = y0 - CHIP_PX - 2;
    else if (isRoomBelow) y = y1 + 2;
    const x = limited(x0 - 1, 0, this.room[0] - width);
    chip.setAttribute("transform", `translate(${Math.round(x)} ${Math.round(y)})`);
  }

  makeHandles() {
    const handles = [];
    for (const across of [0, 0.5, 1]) {
      for (const down of [0, 0.5, 1]) {
        if (across === 0.5 && down === 0.5) continue;
        const element = made("rect", { width: HANDLE_PX, height: HANDLE_PX, rx: 2 });
        this.handleLayer.append(element);
        handles.push({ across, down, element });
      }
    }
    return handles;
  }

  drawHandles() {
    const one = this.chosen;
    this.handleLayer.style.display = one ? "" : "none";
    this.cross.hidden = !one || Boolean(this.gesture?.mode);
    if (!one) return;
    const [x0, y0, x1, y1] = this.toScreen(one.box);
    this.placeCross([x0, y0, x1, y1]);
    const room = 3.5 * HANDLE_PX;
    for (const { across, down, element } of this.handles) {
      const isCrowded = (across === 0.5 && x1 - x0 < room) || (down === 0.5 && y1 - y0 < room);
      element.style.display = isCrowded ? "none" : "";
      put(element, {
        x: x0 + (x1 - x0) * across - HANDLE_PX / 2,
        y: y0 + (y1 - y0) * down - HANDLE_PX / 2,
        stroke: this.colourOf(one.label),
      });
    }
  }

  // At the top right corner, outside the box if there is space.
  placeCross([, y0, x1, y1]) {
    const { offsetWidth: width, offsetHeight: height } = this.cross;
    const [across, down] = this.room;
    const isSeen = x1 > -width && y0 < down && y1 > 0;
    this.cross.style.visibility = isSeen ? "" : "hidden";
    const x = limited(x1 + HANDLE_PX, 2, across - width - 2);
    const y = limited(y0 - height - HANDLE_PX, 2, down - height - 2);
    this.cross.style.transform = `translate(${x}px, ${y}px)`;
  }

  drawGuides(point) {
    const [left, top, right, bottom] = this.toScreen([0, 0, ...this.size]);
    const isOver = point && isInside(point, [left, top, right, bottom]);
    const [x, y] = point ?? [0, 0];
    const path = isOver ? `M${left} ${y}H${right}M${x} ${top}V${bottom}` : "";
    for (const guide of this.guides) guide.setAttribute("d", path);
  }

  drawFrame(frame) {
    this.root.classList.toggle("gathering", Boolean(frame));
    if (!frame) return;
    const [x, y, right, bottom] = frame;
    put(this.frameShape, { x, y, width: right - x, height: bottom - y });
  }

  drawMeasure([x0, y0, x1, y1], [x, y]) {
    const digits = this.view.scale >= PIXELS_FROM ? 1 : 0;
    this.measure.hidden = false;
    this.measure.textContent = `${(x1 - x0).toFixed(digits)} × ${(y1 - y0).toFixed(digits)} px`;
    const left = limited(x + 14, 0, this.room[0] - 110);
    const top = limited(y + 16, 0, this.room[1] - 24);
    this.measure.style.transform = `translate(${left}px, ${top}px)`;
  }

  drawState() {
    const { size } = this.several;
    const words = [
      ...(size ? [`${size} boxes selected`] : []),
      ...(this.display.settings.boxes ? [] : ["Boxes are hidden"]),
    ].join(" · ");
    if (this.state.textContent !== words) this.state.textContent = words;
    this.state.hidden = !words;
  }
}

// Unsaved boxes, with confidence and status from the filling where unedited.
function dressed({ base, boxes }, filling) {
  const then = new Map(base.map((one) => [one.id, one]));
  const now = new Map(filling.boxes.map((one) => [one.id, one]));
  return boxes.map((one) => {
    const isAsItWas = sameBox(one, then.get(one.id)) && sameBox(one, now.get(one.id));
    return isAsItWas ? now.get(one.id) : { ...one, untouched: false, confidence: null };
  });
}

function recalled(name) {
  try {
    return localStorage.getItem(name);
  } catch {
    return null; // no storage
  }
}

function store(name, value) {
  try {
    localStorage.setItem(name, value);
  } catch {
    // No storage: it holds for this session.
  }
}

// Reduce the page's margins while an editor is shown.
function widen(main) {
  if (main) main.style.paddingInline = living.size ? MARGIN : "";
}

// A key with its modifiers, as in the table of keys: ctrl+shift+z. Shift for a character
// such as ? is left out.
function combinationOf(event) {
  const key = event.key === " " ? "space" : event.key.toLowerCase();
  const isLetter = key.length === 1 && key !== key.toUpperCase();
  const hasControl = event.ctrlKey || event.metaKey;
  const hasShift = event.shiftKey &&
    (hasControl || isLetter || (key.length > 1 && key !== "space"));
  return `${hasControl ? "ctrl+" : ""}${hasShift ? "shift+" : ""}${key}`;
}

function chipText({ label, untouched, confidence, text }) {
  if (text) return text;
  if (!untouched || confidence === null || confidence === undefined) return label;
  return `${label} ${Math.round(confidence * 100)} %`;
}

// Halo, line and chip of a box.
function boxParts() {
  const chip = made("g", { class: "chip" });
  chip.append(made("rect", { rx: 3, height: CHIP_PX }), made("text", {
    x: 4, y: CHIP_PX / 2 + 0.5,
  }));
  return [made("rect", { class: "halo" }), made("rect", { class: "line" }), chip];
}

function made(name, attributes) {
  const element = document.createElementNS(SVG, name);
  put(element, attributes);
  return element;
}

function put(element, attributes) {
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
}
