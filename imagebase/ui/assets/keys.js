// The keys: the command or action of each, their list, and changing them. The table comes from
// the server; what a person changed is kept in this browser, and the server hears of it.

const KEPT_KEYS = "imagebase.keys";
const NO_KEYS = new Set([
  "Shift", "Control", "Alt", "AltGraph", "Meta", "CapsLock", "NumLock", "ScrollLock", "Dead",
  "Unidentified", "Process",
]);

class Keys {
  constructor(editor, root) {
    this.editor = editor;
    this.root = root;
    const find = (selector) => root.querySelector(selector);
    [this.list, this.preset, this.reset] = ["dl", "select", ".reset"].map(find);
    this.says = find(".says");
    this.asking = null; // the row whose new key is awaited
    this.names = new Map();
    this.kept = recalled(KEPT_KEYS) ?? "";
    this.titled = [...editor.root.querySelectorAll("[data-command][title]")]
      .map((button) => ({ button, words: button.title }));
    this.preset.addEventListener("change", () => this.keep(this.preset.value, {}));
    this.reset.addEventListener("click", () => this.keep(this.preset.value, {}));
    this.list.addEventListener("click", (event) => {
      const name = event.target.closest("[data-row]")?.dataset.row;
      if (name) this.ask(this.table.rows.find((row) => row.name === name));
    });
  }

  // Take the server's table, and what was changed in another tab.
  take() {
    this.table = this.editor.data.keys;
    this.kept = recalled(KEPT_KEYS) ?? this.kept;
    const { preset, own } = this.chosen();
    this.keysOf = new Map();
    const taken = new Set(Object.values(own).flat());
    for (const { name, presets } of this.table.rows) {
      const usual = presets[preset] ?? presets[this.table.presets[0]] ?? [];
      this.keysOf.set(name, own[name] ?? usual.filter((key) => !taken.has(key)));
    }
    this.names = new Map(this.table.rows.flatMap(({ name, fixed }) => [
      ...this.keysOf.get(name).map((key) => [key, name]), ...Object.entries(fixed),
    ]));
    for (const { button, words } of this.titled) {
      button.title = this.hint(words, button.dataset.command);
    }
    this.preset.value = preset;
    this.reset.hidden = !Object.keys(own).length;
    if (!this.root.hidden) this.fill();
  }

  // What is kept, as far as the table has it.
  chosen() {
    let kept = null;
    try {
      kept = JSON.parse(this.kept || "null");
    } catch {
      // Not ours: the usual keys.
    }
    const { rows, presets } = this.table;
    if (!this.preset.options.length) {
      this.preset.append(...presets.map((name) => new Option(name, name)));
    }
    const preset = presets.includes(kept?.preset) ? kept.preset : presets[0];
    const own = rows.filter((row) => isChangeable(row) && Array.isArray(kept?.own?.[row.name]))
      .map(({ name }) => [name, kept.own[name].map(String)]);
    return { preset, own: Object.fromEntries(own) };
  }

  keep(preset, own) {
    this.kept = JSON.stringify({ preset, own });
    store(KEPT_KEYS, this.kept);
    this.ask(null);
    this.take();
    this.tell();
  }

  // The server's tooltips name the keys too.
  tell() {
    const { given } = this.editor;
    if (!given.place || !this.kept || this.kept === given.keysKept) return;
    if (this.told === this.kept) return;
    this.told = this.kept;
    this.editor.act(`keys:${this.kept}`);
  }

  // The command or action of a pressed key. Shift is held to draw, too: a letter with it does
  // what the letter does where nothing else has both.
  nameOf(event) {
    const key = combinationOf(event);
    return this.names.get(key) ?? this.names.get(key.replace(/^shift\+(?=.$)/u, ""));
  }

  // Words with the key of a command.
  hint(words, name) {
    const key = this.first(name);
    return key ? `${words} (${key})` : words;
  }

  first(name) {
    const [key] = this.keysOf.get(name) ?? [];
    return key ? this.inWords(key) : "";
  }

  inWords(key) {
    const parts = key.split(/\+(?=.)/);
    const last = parts.pop();
    return [...parts, this.table.words[last] ?? last]
      .map((part) => part[0].toUpperCase() + part.slice(1)).join(" + ");
  }

  shown({ name, shown, beside }) {
    const keys = this.keysOf.get(name).map((key) => this.inWords(key));
    const words = [...shown, ...keys, ...beside];
    const last = words.pop() ?? "none";
    return words.length ? `${words.join(", ")} or ${last}` : last;
  }

  // ------------------------------------------------------------------ the list

  toggle() {
    const isOpen = this.root.toggleAttribute("hidden") === false;
    this.editor.root.querySelector(".tools [data-command='help']")
      .setAttribute("aria-expanded", String(isOpen));
    this.ask(null);
  }

  fill() {
    this.list.replaceChildren(...this.table.rows.map((row) => {
      const entry = document.createElement("div");
      const [keys, words] = [withText("dt", ""), withText("dd", row.words)];
      keys.append(isChangeable(row) ? this.buttonOf(row) : this.shown(row));
      entry.append(keys, words);
      return entry;
    }));
  }

  buttonOf(row) {
    const isAsked = row === this.asking;
    const button = withText("button", isAsked ? "Press a key" : this.shown(row));
    Object.assign(button, { type: "button", title: `Change the key of “${row.words}”` });
    button.dataset.row = row.name;
    button.setAttribute("aria-pressed", String(isAsked));
    return button;
  }

  // Wait for the new key of a row, or for none.
  ask(row) {
    this.asking = row;
    const { activeElement } = this.root.getRootNode();
    const isFocused = this.root.contains(activeElement);
    if (isFocused) this.editor.root.focus({ preventScroll: true, focusVisible: false });
    this.say(row ? `Press the new key for “${row.words}”, or Escape to leave it.` : "");
    if (!this.root.hidden) this.fill();
  }

  say(words) {
    this.says.textContent = words || "Click a key to change it. Kept in this browser.";
    this.says.classList.toggle("is-news", Boolean(words));
  }

  // Take a pressed key for the row that waits for one.
  hear(event) {
    event.preventDefault();
    event.stopPropagation();
    if (event.repeat || NO_KEYS.has(event.key)) return;
    if (event.key === "Escape") return this.ask(null);
    const key = `${event.altKey ? "alt+" : ""}${combinationOf(event)}`;
    const why = this.refusal(key, this.asking);
    if (why) return this.say(why);
    const { preset, own } = this.chosen();
    this.keep(preset, { ...own, [this.asking.name]: [key] });
  }

  refusal(key, row) {
    const { reserved, rows } = this.table;
    const isUsual = Object.values(row.presets).some((usual) => usual.includes(key));
    const again = `press another key for “${row.words}”.`;
    if (!isUsual && (key.startsWith("alt+") || reserved.includes(key))) {
      return `${this.inWords(key)} belongs to the browser; ${again}`;
    }
    const other = rows.find(({ name, fixed }) => name !== row.name &&
      (key in fixed || this.keysOf.get(name).includes(key)));
    return other && `${this.inWords(key)} already means “${other.words}”; ${again}`;
  }
}

// The keys of the other rows are the same in each preset.
const isChangeable = ({ presets }) => Object.keys(presets).length > 0;
