// The label of a box that was just finished: the server guesses it, and the likeliest three
// labels are shown at the box. The first becomes its label, unless the person has done
// something with the box or chosen its label before.

const HOLD_MS = 250; // a drawing waits so long for its label: both are one step to undo
const ASK_AGAIN_MS = 150;
const MOST_TRIES = 40;
const NO_ANSWER_MS = 4000; // the question may be lost
const LATE_MS = 4000; // a person has looked on by then: a later guess is only shown
const SELECTED_MS = 150; // Tab goes through boxes: only the one it stops at is looked at
const GAP_PX = 6;

class Guesses {
  constructor(editor, root) {
    this.editor = editor;
    this.root = root;
    this.of = null; // the box, until another one is selected
    this.isHeld = false;
    root.addEventListener("click", (event) => {
      const button = event.target.closest("button");
      if (button && !event.detail) this.choose(button); // without a pointer
    });
  }

  // A click of the pointer; a drag from a chip draws a box. Says whether a chip was there.
  click(point) {
    if (this.root.hidden) return false;
    const button = [...this.root.children].find((one) => this.isAt(point, one));
    if (button) this.choose(button);
    return this.isAt(point);
  }

  isAt(point, element = this.root) {
    if (this.root.hidden) return false;
    const { left, top } = this.editor.root.getBoundingClientRect();
    const area = element.getBoundingClientRect();
    const edges = [area.left - left, area.top - top, area.right - left, area.bottom - top];
    return isInside(point, edges);
  }

  choose(button) {
    const { editor } = this;
    if (button.dataset.label === undefined) editor.run("pick");
    else if (!editor.isBusy) editor.label(button.dataset.label);
  }

  // Save a finished box, with its guessed label if it comes soon.
  // isChosen: a person has chosen the label.
  begin(one, { isChosen = false } = {}) {
    const { editor } = this;
    this.end();
    const { ask } = hub.parcels.get(`${editor.key}/guess`) ?? {};
    if (!ask || !editor.data.guesses) return editor.changed();
    const was = { box: [...one.box], label: one.label };
    this.of = { one, was, ask, tries: 0, labels: null, isOpen: !isChosen, at: performance.now() };
    this.ask();
    editor.note();
    this.of.seq = editor.outbox.seq;
    this.isHeld = true;
    this.holdTimer = setTimeout(() => this.release(), HOLD_MS);
  }

  // Show the likely labels of a model's box that a person selects; none is set.
  offerFor(one) {
    const { ask } = hub.parcels.get(`${this.editor.key}/guess`) ?? {};
    if (!ask || !this.editor.data.guesses) return;
    this.of = { one, ask, isFresh: false, tries: 0, labels: null, isOpen: false };
    this.askTimer = setTimeout(() => this.ask(), SELECTED_MS);
  }

  ask() {
    const { one, ask, tries, isFresh } = this.of;
    this.of.tries += 1;
    const { image, memory } = this.editor;
    ask({
      image, id: one.id, box: one.box, label: one.label, previous: memory.previous ?? "",
      attempt: tries, isFresh: isFresh ?? true,
    });
    this.askLater(NO_ANSWER_MS);
  }

  // Send the held drawing.
  release() {
    if (this.isHeld) this.editor.send();
  }

  // The drawing was sent.
  sent() {
    clearTimeout(this.holdTimer);
    this.isHeld = false;
  }

  // A person has done something with the box: its label is theirs.
  touched(one) {
    if (this.of?.one.id === one.id) this.of.isOpen = false;
  }

  hear({ image, id, labels, first, keys, isPending }) {
    const { of, editor } = this;
    if (of?.one.id !== id || image !== editor.image || of.labels) return;
    if (isPending) return this.askLater();
    clearTimeout(this.askTimer);
    of.labels = labels;
    const one = editor.find(id);
    const isLabelled = one && this.mayLabel(one) && first && one.label !== first;
    if (isLabelled) {
      editor.change(one, { label: first });
      editor.pointing.noteGuess(one);
      editor.note(of.seq);
    }
    const isSent = isLabelled || this.isHeld;
    if (isSent) editor.send();
    if (keys.length) this.takeKeys(keys, isSent);
    this.fill();
    editor.drawSoon();
  }

  // The labels above the canvas show the digits too, with the next run of the page.
  takeKeys(keys, isRunning) {
    const { editor } = this;
    const isNew = keys.join("\n") !== editor.given.keyLabels.join("\n");
    editor.data = { ...editor.data, keyLabels: keys };
    if (isNew && !isRunning) editor.act("digits");
  }

  // Whether nobody has done anything with the box, here or in the table.
  mayLabel(one) {
    const { of, editor } = this;
    if (!of.isOpen) return false;
    const isInHand = editor.gesture?.one?.id === one.id || !editor.picker.root.hidden;
    const isAsDrawn = one.label === of.was.label && isSame(one.box, of.was.box);
    const isLate = performance.now() - of.at > LATE_MS;
    return isAsDrawn && !isInHand && !isLate && !editor.isBusy;
  }

  askLater(wait = ASK_AGAIN_MS) {
    clearTimeout(this.askTimer);
    if (this.of.tries >= MOST_TRIES) return;
    this.askTimer = setTimeout(() => this.ask(), wait);
  }

  // The box is finished with: another one is selected or begun.
  end() {
    if (!this.of) return;
    clearTimeout(this.askTimer);
    this.release();
    const { editor } = this;
    editor.memory.previous = editor.find(this.of.one.id)?.label ?? editor.memory.previous;
    this.of = null;
    this.root.hidden = true;
  }

  fill() {
    const { editor, of } = this;
    if (!of?.labels) return;
    const chips = of.labels.map((name) => {
      const button = document.createElement("button");
      Object.assign(button, { type: "button", tabIndex: -1, title: name });
      button.dataset.label = name;
      const number = editor.data.keyLabels.indexOf(name) + 1;
      if (number) button.append(withText("kbd", number));
      const dot = document.createElement("i");
      if (editor.colours.has(name)) dot.style.background = editor.colourOf(name);
      else button.className = "offered";
      button.append(dot, withText("span", name));
      return button;
    });
    const other = withText("button", "…");
    const title = editor.keys.hint("Another label", "pick");
    Object.assign(other, { type: "button", tabIndex: -1, title });
    other.setAttribute("aria-label", "Another label");
    this.root.replaceChildren(...chips, other);
  }

  // Below the box if there is space, else above it, else inside.
  draw() {
    const { of, editor } = this;
    const one = of?.labels?.length && editor.find(of.one.id);
    this.root.hidden = !one || one.id !== editor.selected || Boolean(editor.gesture?.mode);
    if (this.root.hidden) return;
    for (const button of this.root.children) {
      button.setAttribute("aria-pressed", String(button.dataset.label === one.label));
    }
    const [x0, y0, , y1] = editor.toScreen(one.box);
    const [width, height] = editor.room;
    const { offsetWidth, offsetHeight } = this.root;
    const above = y0 - CHIP_PX - GAP_PX - offsetHeight;
    let top = y1 + GAP_PX + HANDLE_PX / 2;
    if (top + offsetHeight > height - BAR_PX && above >= 0) top = above;
    top = limited(top, GAP_PX, height - BAR_PX - offsetHeight);
    const left = limited(x0 - 1, GAP_PX, width - offsetWidth - GAP_PX);
    this.root.style.transform = `translate(${Math.round(left)}px, ${Math.round(top)}px)`;
  }
}

const withText = (name, text) =>
  Object.assign(document.createElement(name), { textContent: text });
