// Geometry of boxes: [x0, y0, x1, y1] in pixels of the image, or of the screen.

const GRIP_PX = 7; // distance from an edge within which the pointer grabs it

// To a hundredth of a pixel, as in the store.
const rounded = (value) => Math.round(value * 100) / 100;
const limited = (value, low, high) => Math.min(Math.max(value, low), Math.max(low, high));
const normalised = ([x0, y0, x1, y1]) => [
  Math.min(x0, x1), Math.min(y0, y1), Math.max(x0, x1), Math.max(y0, y1),
];
const areaOf = ([x0, y0, x1, y1]) => (x1 - x0) * (y1 - y0);
const isInside = ([x, y], [x0, y0, x1, y1], slack = 0) =>
  x >= x0 - slack && x <= x1 + slack && y >= y0 - slack && y <= y1 + slack;
const isWithin = ([x0, y0, x1, y1], around) =>
  isInside([x0, y0], around) && isInside([x1, y1], around);
// The edges around some boxes.
const aroundAll = (boxes) => [Math.min, Math.min, Math.max, Math.max]
  .map((outer, i) => boxes.map((box) => box[i]).reduce((a, b) => outer(a, b)));
const isSame = (a, b) => a.every((edge, i) => edge === b[i]);
const distance = ([ax, ay], [bx, by]) => Math.hypot(ax - bx, ay - by);

// Move a box; it stays within the image, or the edges around it and others do.
function moved(box, dx, dy, [width, height], around = box) {
  const x = limited(dx, -around[0], width - around[2]);
  const y = limited(dy, -around[1], height - around[3]);
  return box.map((edge, i) => {
    const by = i % 2 ? y : x;
    return by === 0 ? edge : rounded(edge + by);
  });
}

// Move edges (0 to 3, null for none); they may cross.
function resized(box, edges, dx, dy, [width, height]) {
  const [across, down] = edges;
  const now = [...box];
  if (across !== null) now[across] = rounded(limited(box[across] + dx, 0, width));
  if (down !== null) now[down] = rounded(limited(box[down] + dy, 0, height));
  return normalised(now);
}

// Move the right and bottom edges, or the left and top ones: they stay within the image, and
// a pixel away from the opposite ones.
function stretched(box, isFar, dx, dy, size) {
  const now = [...box];
  for (const [axis, by] of [dx, dy].entries()) {
    if (by === 0) continue;
    const [low, high] = [box[axis], box[axis + 2]];
    const least = Math.min(1, high - low);
    const edge = isFar ? axis + 2 : axis;
    const limits = isFar ? [low + least, size[axis]] : [0, high - least];
    now[edge] = limited(rounded(box[edge] + by), ...limits);
  }
  return now;
}

// The edges under the pointer: [0 | 2 | null, 1 | 3 | null]; null if none. The middle of a
// small box stays free, to move it by.
function gripOf([x, y], box) {
  if (!isInside([x, y], box, GRIP_PX)) return null;
  const near = (at, low, high) => {
    const inner = Math.min(GRIP_PX, (high - low) / 4);
    if (at <= low + inner) return 0;
    return at >= high - inner ? 2 : null;
  };
  const across = near(x, box[0], box[2]);
  const down = near(y, box[1], box[3]);
  if (across === null && down === null) return null;
  return [across, down === null ? null : down + 1];
}

const CURSORS = { "0,1": "nwse", "2,3": "nwse", "2,1": "nesw", "0,3": "nesw" };

function cursorOf([across, down]) {
  if (across === null) return "ns-resize";
  return down === null ? "ew-resize" : `${CURSORS[`${across},${down}`]}-resize`;
}

// The boxes under a point, the smallest first.
function under(point, boxes, slack) {
  return boxes
    .filter((one) => isInside(point, one.box, slack))
    .sort((a, b) => areaOf(a.box) - areaOf(b.box));
}

// 32 hex digits; `crypto.randomUUID` needs https.
function newId() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  bytes[6] = (bytes[6] & 0x0f) | 0x40;
  bytes[8] = (bytes[8] & 0x3f) | 0x80;
  return [...bytes].map((one) => one.toString(16).padStart(2, "0")).join("");
}

// Whether black is more readable than white on a colour, by relative luminance.
function isLight(colour) {
  const [r, g, b] = [1, 3, 5].map((i) => parseInt(colour.slice(i, i + 2), 16) / 255);
  return 0.2126 * r ** 2.2 + 0.7152 * g ** 2.2 + 0.0722 * b ** 2.2 > 0.18;
}
