// A page of images with suggestions, looked over and approved at once. A click on a box
// takes it off or puts it back, a click elsewhere makes the suggestion there a box, and a
// drag draws one. Approve sends what is on screen; what a person did to an image is kept
// in the window by the image's version until then, and of a page also over a reload.
//
// `boxes.js` and `pointing.js` come before this text in one module.

const SVG = "http://www.w3.org/2000/svg";
const CLICK_PX = 4;
const LEAST_PX = 3; // of the screen: a smaller drag is a slip
const LIKE_IOU = 0.3; // what is seen there says what a drawn box is
const SEEN_MS = 300; // a page is on screen this long before it can be approved
const STORED = "imagebase.proofs";
const pages = new WeakMap();
const kept = (window[Symbol.for("imagebase.proofs")] ??= recalled());

// What was done to the images of the page before a reload, by version.
function recalled() {
  try {
    const every = JSON.parse(sessionStorage.getItem(STORED) ?? "[]");
    return new Map(every.map(([version, work]) => [version, { ...work, off: new Set(work.off) }]));
  } catch {
    return new Map(); // no storage, or nothing of ours
  }
}

export default function (component) {
  const { parentElement } = component;
  let page = pages.get(parentElement);
  if (!page) {
    page = new Page(parentElement.querySelector(".proofs"));
    pages.set(parentElement, page);
  }
  page.update(component);
  return () => {
    page.stop();
    pages.delete(parentElement);
  };
}

class Page {
  constructor(root) {
    this.root = root;
    this.grid = root.querySelector(".grid");
    this.button = root.querySelector(".approve");
    this.legend = root.querySelector(".legend");
    this.tiles = [];
    this.label = null;
    this.meant = null;
    this.button.addEventListener("click", () => this.approve());
    this.onKey = (event) => this.pressed(event);
    document.addEventListener("keydown", this.onKey);
  }

  stop() {
    document.removeEventListener("keydown", this.onKey);
    clearTimeout(this.timer);
  }

  update({ data, setTriggerValue }) {
    this.send = setTriggerValue;
    const filling = JSON.stringify([data.answers, ...data.tiles.map(({ version }) => version)]);
    if (filling === this.filling) return;
    this.filling = filling;
    this.isSent = false;
    this.data = data;
    this.colours = new Map(data.labels.map(({ name, colour }) => [name, colour]));
    this.strokes = new Map(data.names.map((name, place) => [name, data.colours[place]]));
    if (!this.colours.has(this.label)) this.label = data.labels[0]?.name ?? null;
    this.tiles = data.tiles.map((tile) => new Tile(this, tile));
    this.grid.replaceChildren(...this.tiles.map(({ root }) => root));
    this.remember();
    this.drawLegend();
    this.isSeen = false;
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.see(), SEEN_MS);
    this.count();
  }

  // Approving waits until the images are there, and a moment to see them.
  see() {
    if (this.tiles.some(({ image }) => !image.complete)) {
      this.timer = setTimeout(() => this.see(), SEEN_MS);
      return;
    }
    this.isSeen = true;
    this.count();
  }

  remember() {
    const every = this.tiles.map(({ data, work }) =>
      [data.version, { ...work, off: [...work.off] }]);
    try {
      sessionStorage.setItem(STORED, JSON.stringify(every));
    } catch {
      // No storage: it lasts until a reload.
    }
  }

  drawLegend() {
    this.legend.replaceChildren(...this.data.labels.map(({ name, colour }, place) => {
      const button = element("button", "label");
      const dot = element("span", "dot");
      dot.style.background = colour;
      button.type = "button";
      button.dataset.label = name;
      button.setAttribute("role", "radio");
      button.title = place < 9 ? `Label of the next box (${place + 1})` : "Label of the next box";
      button.append(dot, element("span", "", name));
      button.addEventListener("click", () => this.mean(name));
      return button;
    }));
    this.choose(this.label);
  }

  // A person chose the label of the next box, whatever is seen there.
  mean(name) {
    this.meant = name;
    this.choose(name);
  }

  choose(name) {
    this.label = name;
    for (const button of this.legend.children) {
      button.setAttribute("aria-checked", String(button.dataset.label === name));
    }
  }

  pressed(event) {
    const { target } = event;
    const path = event.composedPath();
    const isField = path.some((one) => one.matches?.("input, textarea, select, [contenteditable]"));
    if (event.ctrlKey || event.metaKey || event.altKey || isField || event.repeat) return;
    const label = this.data?.labels[Number(event.key) - 1];
    if (label && /^[1-9]$/.test(event.key)) this.mean(label.name);
    const isButton = path.some((one) => one.matches?.("button, a, [role='dialog']"));
    if (event.key !== "Enter" || isButton || target.isContentEditable) return;
    event.preventDefault();
    this.approve();
  }

  get taken() {
    return this.tiles.filter(({ work }) => !work.isOut);
  }

  count() {
    const count = this.taken.length;
    this.button.textContent = `Approve ${count} ${count === 1 ? "image" : "images"} as shown`;
    this.button.title = "Saves the boxes on screen and approves these images (Enter). " +
      "You can undo this in one step.";
    this.button.disabled = !this.isSeen || this.isSent || !this.tiles.length;
    this.root.dataset.ready = String(!this.button.disabled);
  }

  approve() {
    if (this.button.disabled) return;
    this.isSent = true;
    this.count();
    const images = this.taken.map((tile) => tile.answer());
    const left = this.tiles.filter(({ work }) => work.isOut).map(({ data }) => data.id);
    this.send("approve", { images, left });
  }
}

class Tile {
  constructor(page, data) {
    this.page = page;
    this.data = data;
    if (!kept.has(data.version)) {
      kept.set(data.version, { off: new Set(), added: [], isOut: data.is_lost });
    }
    this.work = kept.get(data.version);
    const [width, height] = data.size;
    this.known = data.known.map(([x0, y0, x1, y1, confidence, label]) => ({
      box: [x0, y0, x1, y1], confidence, label: page.data.names[label], side: Math.max(width, height),
    }));
    this.root = element("figure", "tile");
    this.root.style.margin = 0;
    this.root.dataset.id = data.id;
    this.picture = element("div", "picture");
    this.picture.style.aspectRatio = `${width} / ${height}`;
    this.picture.style.maxWidth = `${Math.round((360 * width) / height)}px`;
    this.image = element("img");
    this.image.src = data.url;
    this.image.alt = data.name;
    this.svg = made("svg", { viewBox: `0 0 ${width} ${height}`, preserveAspectRatio: "none" });
    this.boxes = made("g");
    this.offered = made("g", { class: "offered" });
    this.svg.append(this.boxes, this.offered);
    this.chips = element("div", "chips");
    this.picture.append(this.image, this.svg, this.chips);
    this.root.append(this.picture, this.words());
    this.listen();
    this.draw();
  }

  words() {
    const words = element("div", "words");
    const name = element("button", "name", this.data.name);
    name.type = "button";
    name.title = `${this.data.name}: open in the editor`;
    name.addEventListener("click", () => this.page.send("open", this.data.id));
    this.total = element("span", "count");
    const take = element("label", "take");
    this.box = element("input");
    this.box.type = "checkbox";
    this.box.setAttribute("aria-label", `Approve ${this.data.name}`);
    this.box.addEventListener("change", () => {
      this.work.isOut = !this.box.checked;
      this.changed();
    });
    take.title = "Unselect to leave this image out";
    take.append(this.box, element("span", "", "Approve"));
    words.append(name, this.total, take);
    return words;
  }

  // ------------------------------------------------------------------ the pointer

  listen() {
    const { svg } = this;
    svg.addEventListener("pointermove", (event) => this.moved(event));
    svg.addEventListener("pointerleave", () => this.offer(null));
    svg.addEventListener("pointercancel", () => this.cancel());
    svg.addEventListener("pointerdown", (event) => {
      if (event.button || this.start) return;
      this.start = { at: this.pointOf(event), screen: [event.clientX, event.clientY] };
      if (event.pointerType !== "touch") svg.setPointerCapture(event.pointerId);
    });
    svg.addEventListener("pointerup", (event) => this.released(event));
  }

  pointOf(event) {
    const area = this.svg.getBoundingClientRect();
    const [width, height] = this.data.size;
    const x = ((event.clientX - area.left) / area.width) * width;
    const y = ((event.clientY - area.top) / area.height) * height;
    return [limited(x, 0, width), limited(y, 0, height)];
  }

  isDrag(event) {
    const far = distance(this.start.screen, [event.clientX, event.clientY]);
    return event.pointerType !== "touch" && far > CLICK_PX;
  }

  moved(event) {
    const point = this.pointOf(event);
    if (this.start && this.isDrag(event)) {
      const box = normalised([...this.start.at, ...point]);
      this.show({ box, label: this.labelOf(box) });
    } else if (!this.start && event.pointerType !== "touch") {
      this.offer(point);
    }
  }

  released(event) {
    if (!this.start) return;
    const { start } = this;
    const isDrag = this.isDrag(event);
    this.start = null;
    this.show(null);
    if (isDrag) this.add(normalised([...start.at, ...this.pointOf(event)]));
    else this.clicked(start.at, event.shiftKey);
  }

  cancel() {
    this.start = null;
    this.show(null);
  }

  clicked(point, isInner) {
    const one = isInner ? null : this.at(point);
    if (one?.added) this.work.added = this.work.added.filter((other) => other !== one.added);
    else if (one && !this.work.off.delete(one.place)) this.work.off.add(one.place);
    else if (!one) {
      const best = this.best(point);
      if (best) this.work.added.push({ box: best.box.map(rounded), label: best.label });
    }
    this.changed();
    this.offer(null);
  }

  add(box) {
    const area = this.svg.getBoundingClientRect();
    const scale = area.width / this.data.size[0];
    const label = this.labelOf(box);
    if (!label || Math.min(box[2] - box[0], box[3] - box[1]) * scale < LEAST_PX) return;
    this.work.added.push({ box: box.map(rounded), label });
    this.page.meant = null;
    this.page.choose(label);
    this.changed();
  }

  changed() {
    this.draw();
    this.page.remember();
  }

  // The label of a drawn box: the one chosen for it, what is seen there, or the last one.
  labelOf(box) {
    const [like] = this.known
      .map(({ box: other, label }) => ({ iou: sharedOf(other, box), label }))
      .filter(({ iou, label }) => iou >= LIKE_IOU && this.page.colours.has(label))
      .sort((a, b) => b.iou - a.iou);
    return this.page.meant ?? like?.label ?? this.page.label;
  }

  // The box that a click is for: of those that hold the point, the one whose middle is
  // nearest, in sizes of the box; one that was taken off only where no other is.
  at(point) {
    const away = ({ box: [x0, y0, x1, y1] }) => Math.hypot(
      (point[0] - (x0 + x1) / 2) / (x1 - x0), (point[1] - (y0 + y1) / 2) / (y1 - y0),
    );
    return this.every()
      .filter(({ box }) => isInside(point, box))
      .sort((a, b) => (a.isOff - b.isOff) || away(a) - away(b))[0];
  }

  every() {
    const { off, added } = this.work;
    return [
      ...this.data.boxes.map(([x0, y0, x1, y1, label, isUntouched], place) => ({
        box: [x0, y0, x1, y1], label: this.page.data.names[label], isUntouched, place,
        isOff: off.has(place),
      })),
      ...added.map((one) => ({ ...one, added: one, isOff: false })),
    ];
  }

  best(point) {
    const { rules } = this.page.data;
    const there = this.every().filter(({ isOff }) => !isOff);
    const size = this.data.size;
    return ranked(this.known, point, { size, rules, count: 5 })
      .find(({ box, score }) => score >= rules.floor &&
        !there.some((one) => sharedOf(one.box, box) >= rules.sameObject));
  }

  // Show what a click here does.
  offer(point) {
    const one = point && this.at(point);
    for (const group of this.boxes.children) {
      group.classList.toggle("pointed", Boolean(one) && group.one.box.join() === one.box.join());
    }
    this.show(point && !one ? this.best(point) : null);
  }

  show(suggestion) {
    const parts = suggestion ? this.parts(suggestion) : [];
    this.offered.replaceChildren(...parts);
  }

  // ------------------------------------------------------------------ drawing

  draw() {
    const every = this.every();
    this.boxes.replaceChildren(...every.map((one) => {
      const names = [one.isUntouched ? "untouched" : "", one.isOff ? "off" : ""];
      const group = made("g", { class: names.join(" ").trim() });
      const title = made("title");
      title.textContent = one.label;
      group.append(title, ...this.parts(one));
      group.one = one;
      return group;
    }));
    const staying = every.filter(({ isOff }) => !isOff);
    // With one label, the legend says it.
    const isPlain = this.page.data.labels.length < 2;
    this.chips.replaceChildren(...(isPlain ? [] : staying.map((one) => this.chip(one))));
    const count = staying.length;
    this.total.textContent = count === 1 ? "1 box" : `${count || "no"} boxes`;
    this.root.dataset.out = String(this.work.isOut);
    this.root.dataset.count = count;
    this.box.checked = !this.work.isOut;
    this.page.count();
  }

  chip({ box: [x, y], label }) {
    const [width, height] = this.data.size;
    const chip = element("span", "", label);
    chip.style.left = `${(100 * x) / width}%`;
    chip.style.top = `${(100 * y) / height}%`;
    const colour = this.page.strokes.get(label) ?? "#ffffff";
    chip.style.background = colour;
    chip.style.color = isLight(colour) ? "#000000" : "#ffffff";
    return chip;
  }

  parts({ box: [x, y, right, bottom], label }) {
    const place = { x, y, width: right - x, height: bottom - y };
    const line = made("rect", { ...place, class: "line" });
    line.style.stroke = this.page.strokes.get(label) ?? "#ffffff";
    return [made("rect", { ...place, class: "under" }), line];
  }

  answer() {
    const { off, added } = this.work;
    const boxes = added.map(({ box, label }) => ({ box, label }));
    return { id: this.data.id, version: this.data.version, off: [...off], added: boxes };
  }
}

function made(name, attributes = {}) {
  const node = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  return node;
}

function element(tag, className = "", text = "") {
  const node = document.createElement(tag);
  node.className = className;
  node.textContent = text;
  return node;
}
