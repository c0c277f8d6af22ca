// How the canvas shows image and boxes: brightness, contrast and gamma of the image, width
// of the lines, boxes and labels shown or hidden. Kept in this browser; the stored image and
// what models see stay as they are.

const DISPLAY = "imagebase.display";
const AS_IT_IS = { brightness: 100, contrast: 100, gamma: 1, width: 2, boxes: true, chips: true };
const PICTURE = ["brightness", "contrast", "gamma"];
const STEP = 10; // percent of brightness or contrast, by a key
const PEEK_MS = 400; // a key held for longer hides boxes only while it is held
const SHOWN_AGAIN = "The boxes are shown again: check them, then press once more.";

class Display {
  constructor(editor, root) {
    this.editor = editor;
    this.root = root;
    this.button = editor.root.querySelector(".tools [data-command='display']");
    this.fields = [...root.querySelectorAll("[data-setting]")];
    this.gammas = editor.root.querySelectorAll(".gamma > *");
    this.settings = { ...AS_IT_IS, ...understood(recalled(DISPLAY)) };
    root.addEventListener("input", ({ target }) => this.onInput(target));
    root.addEventListener("keydown", (event) => this.onKey(event));
    // After the pointer has moved a slider, the editor's keys work again.
    root.addEventListener("pointerdown", () => { this.isPointer = true; });
    root.addEventListener("change", () => this.isPointer && this.takeFocusBack());
    this.apply();
  }

  get isOpen() {
    return !this.root.hidden;
  }

  // hasKeys: the sliders are moved by keys.
  toggle(hasKeys) {
    this.root.hidden = this.isOpen;
    this.isPointer = !hasKeys;
    this.button.setAttribute("aria-expanded", String(this.isOpen));
    if (this.isOpen && hasKeys) this.fields[0].focus();
    else this.takeFocusBack();
  }

  takeFocusBack() {
    this.editor.root.focus({ preventScroll: true, focusVisible: false });
  }

  onKey(event) {
    this.isPointer = false;
    if (event.key !== "Escape") return;
    event.preventDefault();
    this.toggle();
  }

  onInput(field) {
    const isSwitch = field.type === "checkbox";
    this.set(field.dataset.setting, isSwitch ? field.checked : Number(field.value));
  }

  set(name, value) {
    const field = this.fields.find((one) => one.dataset.setting === name);
    const isNumber = typeof value === "number";
    this.settings[name] = isNumber ? limited(value, Number(field.min), Number(field.max)) : value;
    store(DISPLAY, JSON.stringify(this.settings));
    this.apply();
    this.editor.drawSoon();
  }

  flip(name) {
    this.set(name, !this.settings[name]);
  }

  // Brightness or contrast by a key.
  step(name, by) {
    this.set(name, this.settings[name] + by * STEP);
    this.editor.pointing.say(`${name[0].toUpperCase()}${name.slice(1)} ${this.settings[name]} %`);
  }

  reset() {
    this.settings = { ...AS_IT_IS };
    this.set("boxes", true);
  }

  // A key that was held: what it did is taken back.
  release(name, ms) {
    if (ms > PEEK_MS) this.flip(name);
  }

  // Nobody decides on boxes that are not shown. Says whether they were.
  showHidden() {
    const isHidden = !this.settings.boxes && this.editor.boxes.length > 0;
    if (isHidden) {
      this.set("boxes", true);
      this.editor.pointing.say(SHOWN_AGAIN);
    }
    return isHidden;
  }

  apply() {
    const { editor, settings } = this;
    const { brightness, contrast, gamma, width, boxes, chips } = settings;
    const isOther = PICTURE.some((name) => settings[name] !== AS_IT_IS[name]);
    const parts = [`brightness(${brightness}%)`, `contrast(${contrast}%)`];
    if (gamma !== 1) parts.unshift("url(#imagebase-gamma)");
    for (const one of this.gammas) one.setAttribute("exponent", 1 / gamma);
    editor.canvas.style.filter = isOther ? parts.join(" ") : "";
    editor.root.style.setProperty("--line-width", `${width}px`);
    editor.root.classList.toggle("hide-boxes", !boxes);
    editor.root.classList.toggle("hide-chips", !chips);
    editor.root.querySelector(".tools [data-command='chips']")
      .setAttribute("aria-pressed", String(chips));
    this.button.classList.toggle("changed", isOther || !boxes);
    for (const field of this.fields) this.fill(field);
  }

  fill(field) {
    const value = this.settings[field.dataset.setting];
    if (field.type === "checkbox") {
      field.checked = value;
      return;
    }
    field.value = value;
    const unit = field.dataset.unit ?? "";
    field.nextElementSibling.value = unit ? `${value}${unit}` : value.toFixed(1);
  }
}

// Kept settings that this version knows.
function understood(text) {
  let kept = null;
  try {
    kept = JSON.parse(text);
  } catch {
    // Something else wrote there.
  }
  const isKnown = ([name, value]) => typeof value === typeof AS_IT_IS[name] && value === value;
  return Object.fromEntries(Object.entries(kept ?? {}).filter(isKnown));
}
