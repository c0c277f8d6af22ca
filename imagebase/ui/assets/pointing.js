// Pointing at an object: the best boxes around a place, of what the models see there. The
// server sends what they see on the whole image, and on closer looks at a place where that
// is poor. The ranking is that of `imagebase/assist/pointing.py`, by the rules it sends.

const REST_MS = 70; // the pointer rests this long before a closer look
const ANSWER_LOOK_MS = 3000; // an answer is not waited for any longer
const SLOW_LOOK_MS = 1000; // on such a server, look only where nothing is suggested
const LOOK_REACH = 1 / 32; // of the longer side: a look is good for places within
const KEPT_LOOKS = 12;
const ALTERNATIVES = 5;
const SAME_SPOT_PX = 8; // cycling and hiding hold until the pointer moves further
const SNAP_IOU = 0.4;
const UNCHANGED_IOU = 0.97;
const HINT_MS = 2500;
const LOST_MS = 4000; // a question without an answer may be lost; then after twice the time
const GIVEN_UP_MS = 60000;
const TURN_MS = 120; // a wheel turns several times in a movement
const MOST = 65535;
const COLUMNS = 7;
const SWITCH = "imagebase.pointing";

class Pointing {
  constructor(editor) {
    this.editor = editor;
    this.group = made("g", { class: "suggestion" });
    this.group.append(...boxParts());
    editor.layer.after(this.group);
    this.hint = editor.root.querySelector(".hint");
    this.isOn = remembered(SWITCH) !== "off";
    this.showSwitch();
    this.forget();
  }

  // ------------------------------------------------------------------ what the models see

  // Another image is shown.
  arrive() {
    this.forget();
    for (const kind of ["known", "looks"]) {
      const parcel = hub.parcels.get(`${this.editor.key}/${kind}`);
      if (parcel) this.receive(parcel);
    }
  }

  forget() {
    this.stopResting();
    clearTimeout(this.answerTimer);
    this.rested = null;
    this.known = null;
    this.looks = [];
    this.asking = null;
    this.spot = null; // where alternatives are cycled, or hidden
    this.taken = null; // the box that was made of a suggestion last
    this.shown = null;
    this.meant = null; // the label that was chosen for the next box
  }

  receive(parcel) {
    if (!this.editor.image) return;
    if (parcel.kind === "known") this.receiveKnown(parcel);
    if (parcel.kind === "looks") this.receiveLooks(parcel);
  }

  receiveKnown(parcel) {
    const { editor } = this;
    if (parcel.image !== editor.image) return this.askKnown(parcel);
    if (this.known && parcel.version !== this.version) this.looks = []; // of other labels or areas
    this.version = parcel.version;
    this.rules = parcel.rules;
    this.known = sightingsOf(parcel, editor.size);
    editor.root.dataset.known = editor.image;
    editor.hover();
  }

  // The image comes first: the models would take the time that it needs.
  askKnown(parcel = hub.parcels.get(`${this.editor.key}/known`)) {
    const { image, isBlind, ahead } = this.editor;
    if (isBlind || ahead.isPending || this.askedFor === image) return;
    if (!parcel || parcel.image === image) return;
    parcel.ask({ image });
    this.askedFor = image;
    this.askAgain(image, LOST_MS);
  }

  // A question is lost where the page was drawn anew just then.
  askAgain(image, wait) {
    clearTimeout(this.lostTimer);
    this.lostTimer = setTimeout(() => {
      if (image !== this.editor.image || this.known || wait > GIVEN_UP_MS) return;
      hub.parcels.get(`${this.editor.key}/known`)?.ask({ image });
      this.askAgain(image, 2 * wait);
    }, wait);
  }

  receiveLooks(parcel) {
    this.ask = parcel.ask;
    const { image, point } = parcel;
    if (image !== this.editor.image) return;
    if (this.looks.some((look) => isSame(look.point, point))) return;
    this.looks.push({ point, found: sightingsOf(parcel, this.editor.size) });
    if (this.looks.length > KEPT_LOOKS) this.looks.shift();
    this.addAlternatives(this.taken);
    this.addAlternatives(this.spot);
    this.goOn();
  }

  // The answer is here, or too late.
  goOn() {
    clearTimeout(this.answerTimer);
    const { then, next, at } = this.asking ?? {};
    if (at) this.lookMs = Math.round(performance.now() - at);
    this.asking = null;
    then?.();
    if (next) this.look(next.point, next.then);
    this.editor.hover();
    this.report();
  }

  // Ask for closer looks at a place, one at a time, the latest.
  look(point, then) {
    if (!this.ask || !this.known || this.lookAt(point)) return then?.();
    const { editor, asking } = this;
    if (asking) {
      if (then || !asking.next?.then) asking.next = { point, then };
      return;
    }
    this.asking = { point, then, at: performance.now() };
    this.answerTimer = setTimeout(() => this.goOn(), ANSWER_LOOK_MS);
    this.ask({ image: editor.image, point });
    this.report();
  }

  lookAt(point) {
    const reach = Math.max(...this.editor.size) * LOOK_REACH;
    return this.looks.find((look) => distance(look.point, point) <= reach);
  }

  get sightings() {
    return [...(this.known ?? []), ...this.looks.flatMap(({ found }) => found)];
  }

  // ------------------------------------------------------------------ suggestions at a place

  // The suggestions at a point of the image, but those that equal a box, the best first.
  at(point, { besides = null, count = ALTERNATIVES } = {}) {
    if (!this.known) return [];
    const { editor, rules } = this;
    const others = editor.boxes.filter((one) => one !== besides);
    return ranked(this.sightings, point, { size: editor.size, rules, count: 2 * count })
      .filter(({ box }) => !others.some((one) => sharedOf(one.box, box) >= rules.sameObject))
      .slice(0, count);
  }

  // The best suggestion at a point that is worth showing unasked: more so in a box.
  bestAt(point, { isFree = true } = {}) {
    const [best] = this.at(point, { count: 1 });
    return best?.score >= (isFree ? this.rules.floor : this.rules.inner) ? best : null;
  }

  // Whether closer looks may find what is better.
  isPoor(point) {
    const [best] = this.at(point, { count: 1 });
    const { floor, poor } = this.rules;
    return !best || best.score < (this.lookMs > SLOW_LOOK_MS ? floor : poor);
  }

  // Show what a click or a key would take here; null where the pointer is elsewhere.
  hover(pointer, isFree) {
    if (!pointer || !this.known) {
      this.stopResting();
      return this.show(this.offered);
    }
    if (this.spot && distance(this.spot.pointer, pointer) > SAME_SPOT_PX) this.spot = null;
    const point = this.editor.toImage(pointer);
    if (this.spot) this.show(this.spot.list[this.spot.index], !isFree);
    else if (!this.isOn || this.isJustTaken(pointer)) this.show(null);
    else this.show(this.bestAt(point, { isFree }), !isFree);
    if (this.isOn) this.restAt(point);
  }

  // Where the pointer rests and little is known, look closer.
  restAt(point) {
    if (this.rested && isSame(this.rested, point)) return;
    this.stopResting();
    this.rested = point;
    this.restTimer = setTimeout(() => {
      this.restTimer = null;
      const isOver = isInside(point, [0, 0, ...this.editor.size]);
      if (isOver && this.isPoor(point)) this.look(point);
      this.report();
    }, REST_MS);
    this.report();
  }

  stopResting() {
    clearTimeout(this.restTimer);
    this.restTimer = null;
  }

  // Nothing more is suggested in a box just made before the pointer moves on.
  isJustTaken(pointer) {
    const { taken, editor } = this;
    return taken && taken.id === editor.selected &&
      distance(taken.pointer, pointer) <= SAME_SPOT_PX;
  }

  // What a click here would take: that on screen, else the best.
  pick(pointer) {
    const { editor, spot } = this;
    const point = editor.toImage(pointer);
    const isThere = spot && (spot.isOffered
      ? isInside(point, spot.list[0].box) : distance(spot.pointer, pointer) <= SAME_SPOT_PX);
    if (isThere) return spot;
    return { pointer, point, list: this.at(point), index: 0 };
  }

  // A click where no box is makes one of the suggestion. Says whether there is one.
  takeClicked(pointer) {
    if (!this.isOn || !this.known) return false;
    const picked = this.pick(pointer);
    const best = picked.list[picked.index];
    const isWorth = picked === this.spot ? best : best?.score >= this.rules.floor;
    if (isWorth) this.take(picked);
    else this.look(this.editor.toImage(pointer), () => this.offer(pointer));
    return Boolean(isWorth);
  }

  // A finger has no place between taps: what a look finds there waits for the next tap.
  offer(pointer) {
    const { editor } = this;
    if (editor.pointer || editor.selected) return;
    const point = editor.toImage(pointer);
    const best = this.bestAt(point);
    if (!best) return;
    this.spot = { pointer, point, list: this.at(point), index: 0, isOffered: true };
    this.show(best);
  }

  get offered() {
    return this.spot?.isOffered && !this.editor.selected ? this.spot.list[0] : null;
  }

  takeHere() {
    const { pointer } = this.editor;
    if (!pointer) return;
    if (this.isHidden) this.spot = null;
    const picked = this.pick(pointer);
    if (picked.list.length) this.take(picked);
    else this.say("No other object is suggested here.");
  }

  take(picked) {
    const { editor } = this;
    const suggestion = picked.list[picked.index];
    const one = editor.add(this.edgesOf(suggestion), this.labelFor(suggestion));
    this.spot = null;
    editor.keepNew(one);
    this.taken = { ...picked, isOffered: false, id: one.id, box: [...one.box], label: one.label };
    this.show(null);
    this.look(picked.point);
  }

  edgesOf({ box }) {
    const [width, height] = this.editor.size;
    return box.map((edge, i) => rounded(limited(edge, 0, i % 2 ? height : width)));
  }

  // The label of a box that is made of a suggestion: the one that a person chose for it,
  // the model's if the dataset has it or only labels that models have, or the next box's.
  labelFor({ label }) {
    const { colours, data } = this.editor;
    const has = (name) => colours.has(name) && !data.offered.includes(name);
    if (this.meant) return this.meant;
    const isModels = data.keyLabels.every((name) => this.rules.labels.includes(name));
    return has(label) || isModels ? label : data.label;
  }

  // ------------------------------------------------------------------ alternatives

  // Alt and the wheel.
  turn(event) {
    if (event.timeStamp - (this.turnedAt ?? -Infinity) < TURN_MS) return;
    this.turnedAt = event.timeStamp;
    this.cycle((event.deltaY || event.deltaX) > 0 ? 1 : -1);
  }

  // Show the next alternative; right after a box was taken, that box becomes it.
  cycle(by = 1) {
    const { taken, editor } = this;
    const one = this.untouched(taken);
    if (one) return this.replace(one, by);
    const { pointer } = editor;
    if (!pointer) return;
    if (!this.spot || this.isHidden) {
      const isFirst = !this.shown;
      this.spot = null;
      this.spot = this.pick(pointer);
      if (isFirst) this.spot.index = -by;
    }
    if (!this.spot.list.length) {
      this.spot = null;
      return this.say("No other object is suggested here.");
    }
    const { list, index } = this.spot;
    this.spot.index = (index + by + list.length) % list.length;
    this.look(this.spot.point);
    editor.hover();
  }

  // The box that was taken last, while it is selected and as it was taken.
  untouched(taken) {
    const one = taken && this.editor.find(taken.id);
    return one && one === this.editor.chosen && isSame(one.box, taken.box) ? one : null;
  }

  replace(one, by) {
    const { taken, editor } = this;
    if (taken.list.length < 2) return this.say("No other object is suggested here.");
    taken.index = (taken.index + by + taken.list.length) % taken.list.length;
    const next = taken.list[taken.index];
    const isOwn = one.label !== taken.label; // a person chose it
    const label = isOwn ? one.label : this.labelFor(next);
    editor.change(one, { box: this.edgesOf(next), label });
    Object.assign(taken, { box: [...one.box], label: isOwn ? taken.label : label });
    editor.fresh = one.id;
    editor.guesses.begin(one, { isChosen: isOwn });
  }

  // The label of a box was guessed, not chosen by a person.
  noteGuess({ id, label }) {
    if (this.taken?.id === id) this.taken.label = label;
  }

  // What a look finds comes after what was on screen: that does not move.
  addAlternatives(cycle) {
    if (!cycle?.list.length) return;
    const seen = cycle.list.slice(0, cycle.index + 1);
    const besides = this.editor.find(cycle.id);
    const more = this.at(cycle.point, { besides }).filter(({ box }) =>
      !seen.some((one) => sharedOf(one.box, box) >= this.rules.sameBox));
    cycle.list = [...seen, ...more].slice(0, Math.max(ALTERNATIVES, seen.length + 1));
  }

  // Escape: hide the suggestion until the pointer moves on. Says whether there was one.
  hide() {
    if (!this.shown) return false;
    const { pointer } = this.editor;
    this.spot = pointer && { pointer, list: [], index: 0 };
    this.show(null);
    return true;
  }

  get isHidden() {
    return this.spot && !this.spot.list.length;
  }

  // ------------------------------------------------------------------ snapping

  // Give the selected box, or the one under the pointer, the edges of the suggestion that
  // fits: the best where the pointer is, if it is well inside the box, else the nearest.
  snap() {
    const { editor } = this;
    const at = editor.pointer && editor.toImage(editor.pointer);
    const one = editor.chosen ?? (at && under(at, editor.boxes, 0)[0]);
    if (!one || !this.known) return;
    editor.select(one.id);
    const was = [...one.box];
    const isThere = at && isWellInside(at, was);
    const point = isThere ? at : middleOf(was);
    this.look(point, () => {
      const now = editor.chosen;
      if (now?.id === one.id && isSame(was, now.box)) this.snapAt(point, now, isThere);
    });
  }

  snapAt(point, one, isRanked) {
    const { editor } = this;
    const overlap = ({ box }) => sharedOf(box, one.box);
    const list = this.at(point, { besides: one, count: 2 * ALTERNATIVES })
      .filter((suggestion) => overlap(suggestion) >= SNAP_IOU);
    if (!list.length) return this.say("No suggestion fits this box.");
    if (!isRanked) list.sort((a, b) => overlap(b) - overlap(a));
    const next = list.find((suggestion) => overlap(suggestion) <= UNCHANGED_IOU);
    if (!next) return this.say("The box fits its suggestion already.");
    editor.change(one, { box: this.edgesOf(next) });
    editor.changed();
  }

  // ------------------------------------------------------------------ drawing

  // isInner: in a box, where a key takes it and a click selects the box.
  show(suggestion, isInner = false) {
    this.shown = suggestion ?? null;
    this.draw(isInner);
    this.report();
  }

  draw(isInner) {
    const { group, shown, editor } = this;
    group.style.display = shown ? "" : "none";
    if (!shown) return;
    const label = this.labelFor(shown);
    const key = isInner && editor.keys.first("take");
    group.place = null; // it may have been hidden
    editor.drawParts(group, {
      id: "", box: shown.box, label, untouched: true, text: key ? `${key} · ${label}` : undefined,
    });
  }

  report() {
    const { shown, editor } = this;
    Object.assign(editor.root.dataset, {
      suggestion: shown ? this.edgesOf(shown).join(" ") : "",
      suggestionLabel: shown ? this.labelFor(shown) : "",
      looks: this.looks.length, lookMs: this.lookMs ?? "",
      looking: String(Boolean(this.asking || this.restTimer)),
    });
  }

  say(words) {
    clearTimeout(this.hintTimer);
    Object.assign(this.hint, { textContent: words, hidden: false });
    this.hintTimer = setTimeout(() => { this.hint.hidden = true; }, HINT_MS);
  }

  toggle() {
    this.isOn = !this.isOn;
    remember(SWITCH, this.isOn ? "on" : "off");
    this.showSwitch();
    this.editor.hover();
  }

  showSwitch() {
    this.editor.root.querySelector("[data-command='pointing']")
      .setAttribute("aria-pressed", String(this.isOn));
  }

  stop() {
    this.stopResting();
    clearTimeout(this.lostTimer);
    clearTimeout(this.answerTimer);
    clearTimeout(this.hintTimer);
  }
}

// What the models see: seven numbers each, edges and confidence as parts of 65535.
function sightingsOf({ bytes, names, sides }, [width, height]) {
  const numbers = new Uint16Array(bytes.slice().buffer);
  const scale = [width / MOST, height / MOST];
  const found = [];
  for (let i = 0; i + COLUMNS <= numbers.length; i += COLUMNS) {
    found.push({
      box: [0, 1, 2, 3].map((edge) => numbers[i + edge] * scale[edge % 2]),
      confidence: numbers[i + 4] / MOST,
      label: names[numbers[i + 5]],
      side: sides[numbers[i + 6]],
    });
  }
  return found;
}

// `ranked` in pointing.py: the boxes that hold a point, one per object, the best first.
function ranked(sightings, point, { size, rules, count }) {
  const inside = sightings.filter(({ box }) => isInside(point, box));
  const scores = inside.map((one) => scoreOf(one, point, size, rules.weights));
  const best = scores.reduce((a, b) => Math.max(a, b), -Infinity);
  const weights = scores.map((score) => Math.exp(score - best));
  const isLeft = inside.map(() => true);
  const found = [];
  for (const i of [...inside.keys()].sort((a, b) => scores[b] - scores[a])) {
    if (found.length === count) break;
    if (!isLeft[i]) continue;
    const shared = inside.map(({ box }) => sharedOf(box, inside[i].box));
    for (const [k, iou] of shared.entries()) if (iou >= rules.sameObject) isLeft[k] = false;
    found.push({ ...agreed(inside, shared, weights, rules), score: scores[i] });
  }
  return found;
}

// `_suggestion` in pointing.py: what those that overlap the best one agree on.
function agreed(inside, shared, weights, { sharedEdges, sameObject }) {
  const sum = [0, 0, 0, 0];
  let total = 0;
  const support = new Map();
  for (const [i, { box, confidence, label }] of inside.entries()) {
    if (shared[i] >= sharedEdges) {
      total += weights[i];
      box.forEach((edge, k) => { sum[k] += edge * weights[i]; });
    }
    if (shared[i] < sameObject) continue;
    support.set(label, (support.get(label) ?? 0) + Math.sqrt(confidence) * shared[i]);
  }
  const [[label]] = [...support].sort(([, a], [, b]) => b - a);
  return { box: sum.map((edge) => edge / total), label };
}

// `point_features` and `score_of` in pointing.py.
function scoreOf({ box: [x0, y0, x1, y1], confidence, side }, [x, y], [width, height], weights) {
  const [w, h] = [Math.max(x1 - x0, 1), Math.max(y1 - y0, 1)];
  const [across, down] = [Math.abs(x - (x0 + x1) / 2) / w, Math.abs(y - (y0 + y1) / 2) / h];
  const away = Math.hypot(across, down);
  const share = Math.log((w * h) / (width * height)) / 2;
  const inView = Math.log(Math.max(w, h) / side);
  const features = [
    Math.sqrt(confidence), away, away ** 2, Math.max(across, down),
    share, share ** 2, inView, inView ** 2,
  ];
  return features.reduce((sum, feature, i) => sum + feature * weights[i], 0);
}

// Intersection over union.
function sharedOf(a, b) {
  const across = Math.min(a[2], b[2]) - Math.max(a[0], b[0]);
  const down = Math.min(a[3], b[3]) - Math.max(a[1], b[1]);
  if (across <= 0 || down <= 0) return 0;
  return (across * down) / (areaOf(a) + areaOf(b) - across * down);
}

const middleOf = ([x0, y0, x1, y1]) => [(x0 + x1) / 2, (y0 + y1) / 2];

// Not near an edge, as where a box was just drawn.
function isWellInside(point, [x0, y0, x1, y1]) {
  const [across, down] = [(x1 - x0) / 4, (y1 - y0) / 4];
  return isInside(point, [x0 + across, y0 + down, x1 - across, y1 - down]);
}

function remembered(name) {
  try {
    return sessionStorage.getItem(name);
  } catch {
    return null; // no storage
  }
}

function remember(name, value) {
  try {
    sessionStorage.setItem(name, value);
  } catch {
    // No storage: it holds until the page is closed.
  }
}
