// Contact sheet of crops: a click selects, Shift + click selects a range, A selects or
// deselects all. The selection is sent shortly after the last change, so that quick clicks
// are one message.

const PAUSE_MS = 120;
const sheets = new WeakMap();

export default function (component) {
  const { parentElement } = component;
  let sheet = sheets.get(parentElement);
  if (!sheet) {
    sheet = new Sheet(parentElement.querySelector(".sheet"));
    sheets.set(parentElement, sheet);
  }
  sheet.update(component);
  return () => sheets.delete(parentElement);
}

class Sheet {
  constructor(root) {
    this.root = root;
    this.filling = null;
    this.version = null;
    this.last = null;
    root.addEventListener("click", (event) => this.clicked(event));
    root.addEventListener("keydown", (event) => this.pressed(event));
  }

  update({ data, setStateValue }) {
    this.send = (selected) => setStateValue("selected", selected);
    if (data.filling === this.filling) return;
    this.filling = data.filling;
    this.last = null;
    this.ids = data.tiles.map((tile) => tile.id);
    // Under the same version, new tiles keep the selection, sent or not yet sent.
    if (data.version !== this.version) {
      clearTimeout(this.timer);
      this.version = data.version;
      this.selected = new Set(data.selected);
    }
    this.root.replaceChildren(...data.tiles.map(drawn));
    this.mark();
  }

  clicked(event) {
    const tile = event.target.closest(".tile");
    if (!tile) return;
    const place = this.ids.indexOf(tile.dataset.id);
    if (event.shiftKey && this.last !== null) {
      const [from, to] = [this.last, place].sort((a, b) => a - b);
      for (const id of this.ids.slice(from, to + 1)) this.selected.add(id);
    } else {
      this.toggle(tile.dataset.id);
    }
    this.last = place;
    this.changed();
  }

  pressed(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key.toLowerCase() !== "a") return;
    const isAll = this.ids.every((id) => this.selected.has(id));
    this.selected = new Set(isAll ? [] : this.ids);
    event.preventDefault();
    event.stopPropagation();
    this.changed();
  }

  toggle(id) {
    if (!this.selected.delete(id)) this.selected.add(id);
  }

  changed() {
    this.mark();
    clearTimeout(this.timer);
    // Deselect tiles that are no longer shown.
    this.selected = new Set(this.ids.filter((id) => this.selected.has(id)));
    const answer = { version: this.version, ids: [...this.selected] };
    this.timer = setTimeout(() => this.send(answer), PAUSE_MS);
  }

  mark() {
    for (const tile of this.root.children) {
      tile.setAttribute("aria-checked", String(this.selected.has(tile.dataset.id)));
    }
  }
}

function drawn(tile) {
  const button = element("button", "tile");
  button.type = "button";
  button.setAttribute("role", "checkbox");
  button.setAttribute("aria-label", `${tile.name} ${tile.value}, ${tile.title}`);
  button.title = tile.title;
  button.dataset.id = tile.id;
  const picture = element("span", "picture");
  const image = element("img", "");
  image.src = tile.url;
  image.alt = "";
  picture.append(image);
  const words = element("span", "words");
  const dot = element("span", "dot");
  dot.style.background = tile.colour;
  words.append(dot, element("span", "name", tile.name), element("span", "value", tile.value));
  button.append(picture, element("span", "tick", "✓"), words);
  return button;
}

function element(tag, className, text = "") {
  const made = document.createElement(tag);
  made.className = className;
  made.textContent = text;
  return made;
}
