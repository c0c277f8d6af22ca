// The images that may be next. Their pictures and boxes come before they are needed, so that
// a key that leaves the image shows the next one at once, before the server's answer: a leap.
// The key's action says where the editor is by now. Until the server has run it, what it
// sends about the image before is not shown, and the page around the editor is not in reach.

const CALM_MS = 100; // keys that come sooner were meant for the image before
const ONLINE = "[data-testid='stApp'][data-test-connection-state='CONNECTED']";
const AWAY = `
  [data-testid='stMain'] { pointer-events: none; }
  [data-testid='stMain'] :is(.st-key-edit-canvas, [class*='st-key-edit-label-'], %BUTTONS%) {
    pointer-events: auto;
  }
  .st-key-edit-header, .st-key-edit-side { opacity: 0.4; transition: opacity 0.2s 0.3s; }
`;

class Ahead {
  constructor(editor) {
    this.editor = editor;
    this.leaps = []; // that the server has not followed yet
    this.pictures = new Map(); // decoded, by image; null while it is being decoded
    for (const parcel of this.parcels()) this.prepare(parcel);
  }

  parcels() {
    const start = `${this.editor.key}/picture`;
    return [...hub.parcels].filter(([name]) => name.startsWith(start)).map(([, one]) => one);
  }

  pictureOf(image) {
    return this.parcels().find((parcel) => parcel.image === image);
  }

  async prepare({ image, bytes }) {
    if (this.pictures.has(image)) return;
    this.pictures.set(image, null);
    const bitmap = await createImageBitmap(new Blob([bytes])).catch(() => null);
    const isWanted = this.pictures.get(image) === null && image !== this.editor.image;
    if (isWanted && bitmap) this.pictures.set(image, bitmap);
    else bitmap?.close();
    if (isWanted && !bitmap) this.pictures.delete(image);
    this.tidy();
    this.editor.root.dataset.ahead = [...this.pictures.keys()].join(" ");
  }

  tidy() {
    const known = new Set(this.parcels().map(({ image }) => image));
    for (const [image, bitmap] of this.pictures) {
      if (known.has(image)) continue;
      bitmap?.close();
      this.pictures.delete(image);
    }
  }

  // The decoded picture of an image, which is the caller's from now on.
  take(image) {
    const bitmap = this.pictures.get(image);
    this.pictures.delete(image);
    return bitmap;
  }

  // The picture of an image that is left: it may be next again.
  keep({ image, bitmap }) {
    if (this.pictures.get(image) || !this.pictureOf(image)) return bitmap.close();
    this.pictures.set(image, bitmap);
  }

  get parcel() {
    return hub.parcels.get(`${this.editor.key}/ahead`);
  }

  colourOf(label) {
    return new Map(this.parcel?.labels).get(label);
  }

  // What an action would show, if all of it is here and the server answers.
  after(name) {
    const { image, outbox } = this.editor;
    const to = this.parcel?.following[image]?.[name];
    const filling = to && this.parcel.fillings.find((one) => one.image === to);
    if (!filling || !this.pictures.get(to) || this.editor.gesture) return null;
    const isTrouble = outbox.unsaved(image).isOverdue || this.isOverdue;
    return isTrouble || !document.querySelector(ONLINE) ? null : filling;
  }

  // Show an image now; count: number of the action that leads to it.
  leap(filling, count) {
    const { editor } = this;
    const boxes = editor.boxes.map((one) => ({ ...one, box: [...one.box] }));
    const from = { ...editor.filling, tag: editor.tag, boxes };
    this.leaps.push({ count, from, since: performance.now() });
    this.show(filling);
  }

  show(filling) {
    const { editor } = this;
    editor.outbox.settle(editor.outbox.keyOf(filling.image), filling.seq);
    editor.held = filling;
    editor.fill();
    editor.draw();
    editor.seeOnceDrawn();
  }

  // Back to the image before, if the server has not gone on yet.
  back() {
    const leap = this.leaps.pop();
    if (!leap) return false;
    this.editor.outbox.withdraw(leap.count);
    this.show(leap.from);
    return true;
  }

  // The server has run all actions up to this number.
  hear(done) {
    const isAway = this.isPending;
    this.leaps = this.leaps.filter(({ count }) => count > done);
    if (!isAway || this.isPending) return;
    this.editor.onOutbox();
    this.editor.pointing.askKnown();
    this.editor.askSoon();
  }

  get isPending() {
    return this.leaps.length > 0;
  }

  get isOverdue() {
    return this.leaps.some(({ since }) => performance.now() - since > OVERDUE_MS);
  }

  // Rules for the page around the editor.
  get style() {
    const buttons = Object.keys(this.editor.data.buttons).map((key) => `.st-key-${key}`);
    return this.isPending ? AWAY.replace("%BUTTONS%", buttons.join(", ")) : "";
  }

  stop() {
    for (const bitmap of this.pictures.values()) bitmap?.close();
    this.pictures.clear();
  }
}
