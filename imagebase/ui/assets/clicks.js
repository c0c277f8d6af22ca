// Ignore a click when another button has appeared under a pointer that did not move: it was
// the second half of a double click, or meant for the previous button.

const NOT_SEEN_MS = 1000;
const STILL_PX = 4;

const known = Symbol.for("imagebase.clicks");

function nameOf(button) {
  const keyed = button.closest("[class*='st-key-']");
  const key = keyed && [...keyed.classList].find((one) => one.startsWith("st-key-"));
  return key ?? button.textContent;
}

function onClick(event) {
  const button = event.composedPath().find((one) => one.matches?.("button"));
  if (!button || event.detail === 0) return; // Enter or Space
  const now = { name: nameOf(button), at: event.timeStamp, x: event.clientX, y: event.clientY };
  const last = window[known];
  const isStill = last && Math.hypot(now.x - last.x, now.y - last.y) <= STILL_PX;
  if (isStill && now.name !== last.name && now.at - last.at < NOT_SEEN_MS) {
    event.preventDefault();
    event.stopImmediatePropagation();
    return;
  }
  window[known] = now;
}

if (!(known in window)) {
  window[known] = null;
  window.addEventListener("click", onClick, { capture: true });
}

export default function () {}
