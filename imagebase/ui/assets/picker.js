const DIGITS = 9;
const PIN = '<svg viewBox="0 0 24 24"><path d="M9 4h6l-1 6 4 4H6l4-4zM12 14v6"/></svg>';

// The label list next to a box: type to find a label of the dataset or of a model. The last
// item creates a new label; Enter alone never selects it.
class Picker {
  constructor(editor, root) {
    this.editor = editor;
    this.root = root;
    this.input = root.querySelector("input");
    this.list = root.querySelector("ul");
    this.input.addEventListener("input", () => this.refresh());
    this.input.addEventListener("keydown", (event) => this.onKey(event));
    this.root.addEventListener("focusout", (event) => {
      if (!this.root.contains(event.relatedTarget)) this.close();
    });
    // The focus stays in the field.
    this.list.addEventListener("pointerdown", (event) => event.preventDefault());
    this.list.addEventListener("click", (event) => {
      const item = event.target.closest("li");
      if (event.target.closest(".pin")) this.pin(item.dataset.name);
      else if (item) this.choose(item.dataset.name);
    });
  }

  open() {
    const { editor } = this;
    if (!editor.tag) return;
    this.root.hidden = false;
    this.input.value = "";
    this.refresh();
    const [one] = editor.chosenAll;
    const [x0, y0, x1] = one ? editor.toScreen(one.box) : [8, 8, 0];
    const [width, height] = editor.room;
    const { offsetWidth, offsetHeight } = this.root;
    const isRoomRight = x1 + 10 + offsetWidth <= width;
    const left = isRoomRight ? x1 + 10 : x0 - 10 - offsetWidth;
    this.root.style.left = `${limited(left, 4, width - offsetWidth - 4)}px`;
    this.root.style.top = `${limited(y0, 4, height - offsetHeight - 4)}px`;
    this.input.focus({ preventScroll: true });
  }

  close() {
    if (this.root.hidden) return;
    const hadFocus = this.root.getRootNode().activeElement === this.input;
    this.root.hidden = true;
    if (hadFocus) this.editor.root.focus({ preventScroll: true, focusVisible: false });
  }

  refresh() {
    const typed = this.input.value.trim();
    const { colours, data, chosenAll: [chosen] } = this.editor;
    const likely = data.keyLabels.filter((name) => colours.has(name));
    const known = this.matching([...new Set([...likely, ...colours.keys()])], typed);
    const offered = this.matching(data.offered.filter((name) => !colours.has(name)), typed);
    const items = known.map((name) => this.item(name, name));
    items.push(...offered.map((name) => this.item(name, name, "offered")));
    const isNew = typed && !colours.has(typed) && !data.offered.includes(typed);
    if (isNew) items.push(this.item(typed, `Create label “${typed}”`, "new"));
    this.list.replaceChildren(...items);
    const current = Math.max(known.indexOf(chosen?.label ?? data.label), 0);
    const isFound = known.length + offered.length > 0;
    this.mark(isFound ? (typed ? 0 : current) : -1);
  }

  matching(names, typed) {
    const sought = typed.toLowerCase();
    return names
      .filter((name) => name.toLowerCase().includes(sought))
      .sort((a, b) => this.rank(a, sought) - this.rank(b, sought));
  }

  rank(name, sought) {
    const lower = name.toLowerCase();
    if (!sought || lower === sought) return 0;
    return lower.startsWith(sought) ? 1 : 2;
  }

  item(name, text, kind = "") {
    const item = document.createElement("li");
    item.setAttribute("role", "option");
    item.dataset.name = name;
    item.className = kind;
    const colour = document.createElement("i");
    if (!kind) colour.style.background = this.editor.colourOf(name);
    const words = document.createElement("span");
    words.textContent = text;
    item.append(colour, words);
    const number = this.editor.data.keyLabels.indexOf(name) + 1;
    if (number || kind === "offered") {
      const key = document.createElement("kbd");
      key.textContent = number || "model";
      item.append(key);
    }
    if (!kind && this.editor.colours.size > DIGITS) item.append(this.pinOf(name));
    return item;
  }

  pinOf(name) {
    const isPinned = name in this.editor.data.pinned;
    const pin = document.createElement("button");
    const title = isPinned ? "Give the digit to other labels again" : "Keep a digit for this label";
    Object.assign(pin, { type: "button", className: "pin", tabIndex: -1, title });
    pin.setAttribute("aria-label", isPinned ? `Unpin ${name}` : `Pin ${name}`);
    pin.setAttribute("aria-pressed", String(isPinned));
    pin.innerHTML = PIN;
    return pin;
  }

  // Pin a label to its digit, or to the last one that is free; or unpin it.
  pin(name) {
    const { data } = this.editor;
    const pinned = { ...data.pinned };
    if (name in pinned) delete pinned[name];
    else {
      const taken = Object.values(pinned);
      const own = data.keyLabels.indexOf(name) + 1;
      const digits = [...Array(DIGITS).keys()].map((i) => DIGITS - i);
      const digit = own || digits.find((one) => !taken.includes(one));
      if (!digit) return;
      pinned[name] = digit;
    }
    this.editor.keepPins(pinned);
    this.refresh();
  }

  // Highlight an item; none if the only one would create a label.
  mark(at) {
    const items = [...this.list.children];
    this.marked = at < 0 || !items.length ? -1 : at % items.length;
    items.forEach((item, i) => item.setAttribute("aria-selected", String(i === this.marked)));
    items[this.marked]?.scrollIntoView({ block: "nearest" });
  }

  step(by) {
    const count = this.list.children.length;
    this.mark(this.marked < 0 ? (by > 0 ? 0 : count - 1) : this.marked + by + count);
  }

  // The highlighted item; a new label takes a second Enter.
  take() {
    if (this.marked < 0) return this.mark(0);
    this.choose(this.list.children[this.marked]?.dataset.name);
  }

  onKey(event) {
    event.stopPropagation();
    if (event.isComposing) return;
    if (event.key === "ArrowDown") this.step(1);
    else if (event.key === "ArrowUp") this.step(-1);
    else if (event.key === "Escape") this.close();
    else if (event.key === "Enter") this.take();
    else return;
    event.preventDefault();
  }

  choose(name) {
    this.close();
    if (name) this.editor.label(name);
  }
}
