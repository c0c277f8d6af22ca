// Keys, tool buttons and a steady hand for streamlit-drawable-canvas.
// The canvas lives in an open shadow root under the element with class data.canvas.

const DEBOUNCE_MS = 260; // the canvas waits 200 ms after a mouse-up before it speaks
const POLL_MS = 100;
const DRAG_PX = 3; // less is a click
const REPLY_MS = 2000; // longest wait for the page's answer to a key
const ROOM_MS = 300; // the room for the canvas has to stay the same for so long
const REDRAW_MS = 120; // from that answer to a canvas that has taken it in
const ESCAPE = 27;
const PLAIN = {
  n: "next", arrowright: "next", p: "previous", arrowleft: "previous",
  enter: "approve", a: "accept", "?": "help",
};
const ONCE = new Set(["approve", "accept", "help"]);
const LEAVING = new Set(["next", "previous", "approve"]);
const TYPING =
  "input, textarea, select, [contenteditable='true'], [role='dialog'], " +
  "[role='combobox'], [role='listbox'], [role='slider'], [role='radiogroup'], " +
  "[data-testid='stDataFrame'], [data-testid='stDataFrameResizable']";
// Elements that have a use of their own for Enter and the arrows.
const PRESSABLE = "button, a, summary, [role='tab'], [role='radio'], [role='button']";

// A module lives as long as the page, a component only as long as its element does.
const canvases = new Map();
const helpers = new WeakMap();

export default function (component) {
  const { parentElement } = component;
  const helper = helpers.get(parentElement) ?? start(component);
  helpers.set(parentElement, helper);
  helper.update(component);
  return () => {
    helper.stop();
    helpers.delete(parentElement);
  };
}

function start({ data, parentElement, setTriggerValue }) {
  const stop = new AbortController();
  const tools = Object.fromEntries(
    [...parentElement.querySelectorAll("[data-tool]")].map((b) => [b.dataset.tool, b]),
  );
  let lastPress = 0;
  let lastPoint = null;
  let isDragging = false;
  let waiting = null; // an action that the page has not answered yet
  const queue = []; // what comes after it: functions, and presses not shown yet

  const shadow = () => {
    const holder = document.querySelector(`.${data.canvas}`);
    const found = holder && [...holder.querySelectorAll("*")].find(
      (one) => one.shadowRoot?.querySelector(".dc-container"),
    );
    return found?.shadowRoot ?? null;
  };
  const button = (label) => shadow()?.querySelector(`button[aria-label="${label}"]`);
  const surface = () => shadow()?.querySelector("canvas.upper-canvas");
  const typing = () => shadow()?.querySelector("textarea");
  const isEditing = () => button("Edit")?.getAttribute("aria-pressed") === "true";
  const hasSelection = () => isEditing() && !button("Delete selected")?.disabled;

  const press = (label) => {
    const one = button(label);
    if (one && !one.disabled) one.click();
  };
  const closeText = () => {
    const area = typing();
    if (!area) return false;
    area.dispatchEvent(
      new KeyboardEvent("keydown", { key: "Escape", keyCode: ESCAPE, bubbles: true }),
    );
    return true;
  };
  // Send what the canvas has not sent yet: nothing may overtake a drawing.
  const flush = () => {
    const hadText = closeText();
    if (hadText || performance.now() - lastPress < DEBOUNCE_MS) {
      lastPress = 0;
      press("Update the app with this drawing");
    }
  };
  // The answer to an action may give the canvas another tool, label or drawing, which
  // would cut a drag in progress, and an action would do so itself. So everything takes
  // its turn: what is pressed meanwhile is shown to the canvas afterwards.
  const enqueue = (item) => {
    queue.push(item);
    pump();
  };
  const pump = () => {
    while (queue.length && !waiting && !(isDragging && !queue[0].start)) {
      const item = queue[0];
      const isPress = item.start !== undefined;
      if (isPress && !item.isUp && !item.hasMoved) return;
      queue.shift();
      if (!isPress) item();
      else if (item.hasMoved || isEditing()) release(item);
    }
  };
  const answered = () => {
    waiting = null;
    pump();
  };
  const hurry = () => {
    clearTimeout(waiting.timer);
    answered();
  };
  const send = (name) => {
    flush();
    waiting = { name, done: data.done, timer: setTimeout(answered, REPLY_MS) };
    setTriggerValue("action", name);
  };
  const act = (name) => enqueue(Object.assign(() => send(name), { action: name }));
  const setMode = (wantsEdit) => enqueue(() => {
    flush();
    if (isEditing() !== wantsEdit) press("Edit");
    refresh();
  });
  const remove = () => enqueue(() => {
    flush();
    if (hasSelection()) press("Delete selected");
    refresh();
  });

  const mouse = (target, type, point, buttons) => target.dispatchEvent(
    new MouseEvent(type, {
      ...point, buttons, button: 0, bubbles: true, composed: true, cancelable: true,
      view: window,
    }),
  );
  // A second click on a selected box opens its label for typing; type it.
  const relabelSelected = (label) => {
    const canvas = surface();
    if (!hasSelection() || !lastPoint || !canvas) return;
    mouse(canvas, "mousedown", lastPoint, 1);
    mouse(document, "mouseup", lastPoint, 0);
    const area = typing();
    if (!area) return;
    area.value = label;
    area.dispatchEvent(new InputEvent("input", { bubbles: true }));
    lastPress = performance.now();
    flush();
  };

  const isBusyElsewhere = (event) =>
    document.querySelector("[role='dialog']") ||
    event.composedPath().some((one) => one instanceof Element && one.matches(TYPING));

  const onKey = (event) => {
    if (event.defaultPrevented || event.isComposing || event.altKey) return;
    if (isBusyElsewhere(event) || !surface()) return;
    const key = event.key.toLowerCase();
    if (event.ctrlKey || event.metaKey) {
      if (key !== "z" && key !== "y") return;
      act(key === "y" || event.shiftKey ? "redo" : "undo");
    } else if (key === "d" || key === "v") {
      setMode(key === "v");
    } else if (key === "delete" || key === "backspace") {
      remove();
    } else if (/^[1-9]$/.test(key)) {
      if (Number(key) > data.labels.length) return;
      enqueue(() => {
        flush();
        relabelSelected(data.labels[Number(key) - 1]);
      });
      act(`label:${key}`);
    } else if (PLAIN[key]) {
      const isOnButton = event.composedPath().some(
        (one) => one instanceof Element && one.matches(PRESSABLE),
      );
      if (isOnButton && key.length > 1) return;
      if (event.repeat && ONCE.has(PLAIN[key])) return;
      act(PLAIN[key]);
    } else {
      return;
    }
    event.preventDefault();
    event.stopPropagation();
  };

  const isOnCanvas = (event) => event.composedPath().includes(surface());
  const swallow = (event) => {
    event.stopImmediatePropagation();
    event.preventDefault();
  };
  const pointOf = (event) => ({ clientX: event.clientX, clientY: event.clientY });

  const onPointerDown = (event) => {
    if (isOnCanvas(event)) document.activeElement?.blur?.();
    else if (!event.composedPath().includes(shadow())) {
      if (waiting) hurry();
      flush();
    }
  };
  const isLeaving = () =>
    LEAVING.has(waiting?.name) || queue.some((item) => LEAVING.has(item.action));
  const held = () => queue.findLast((item) => item.start && !item.isUp);

  // A press draws only once it has moved: a click would leave a stray box.
  const onDown = (event) => {
    if (!event.isTrusted || event.button !== 0 || !isOnCanvas(event)) return;
    if (isLeaving()) return swallow(event);
    isDragging = true;
    if (isEditing() && !waiting && !queue.length) return;
    const start = pointOf(event);
    enqueue({ start, end: start, hasMoved: false, isUp: false });
    swallow(event);
  };
  const onUp = (event) => {
    if (!event.isTrusted || !isDragging) return;
    isDragging = false;
    lastPoint = clamped(event) ?? pointOf(event);
    const press = held();
    if (press) {
      Object.assign(press, { isUp: true, end: lastPoint });
      swallow(event);
    }
    lastPress = performance.now();
    setTimeout(() => {
      pump();
      refresh();
    }, 0);
  };
  const release = ({ start, end, isUp }) => {
    mouse(surface(), "mousedown", start, 1);
    mouse(document, "mousemove", end, 1);
    if (!isUp) return;
    mouse(document, "mouseup", end, 0);
    lastPress = performance.now();
  };
  // The canvas ends a box where the pointer leaves it. Keep the pointer on the picture
  // instead, so that a box can be drawn to the very edge.
  const clamped = (event) => {
    const box = surface()?.getBoundingClientRect();
    if (!box) return null;
    const x = Math.min(Math.max(event.clientX, box.left), box.right);
    const y = Math.min(Math.max(event.clientY, box.top), box.bottom);
    const isOutside = x !== event.clientX || y !== event.clientY;
    return isOutside ? { clientX: x, clientY: y } : null;
  };
  const onLeave = (event) => {
    if (isDragging && event.isTrusted && isOnCanvas(event)) event.stopImmediatePropagation();
  };
  const onMove = (event) => {
    if (!isDragging || !event.isTrusted) return;
    const point = clamped(event);
    const press = held();
    if (press) {
      press.end = point ?? pointOf(event);
      const dx = press.end.clientX - press.start.clientX;
      const dy = press.end.clientY - press.start.clientY;
      press.hasMoved ||= Math.hypot(dx, dy) >= DRAG_PX;
      swallow(event);
      pump();
    } else if (point) {
      event.stopImmediatePropagation();
      mouse(document, "mousemove", point, 1);
    }
  };

  const refresh = () => {
    const isOn = isEditing();
    tools.draw.setAttribute("aria-pressed", String(!isOn));
    tools.edit.setAttribute("aria-pressed", String(isOn));
    tools.delete.disabled = !hasSelection();
  };
  // The canvas's own toolbar would undo and reset behind the record's back.
  const hideToolbar = (root) => {
    if (root.querySelector("style[data-imagebase]")) return;
    const style = document.createElement("style");
    style.dataset.imagebase = "";
    style.textContent = ".dc-toolbar { display: none !important; }";
    root.appendChild(style);
  };
  // The page sizes the canvas by the room there is. It is asked in turn with all else:
  // a new size would cut a drag in progress.
  let room = "";
  let roomSince = 0;
  let roomTold = "";
  const measure = () => {
    const main = document.querySelector("[data-testid='stMainBlockContainer']");
    if (!main || data.room === null) return;
    const style = getComputedStyle(main);
    const sides = parseFloat(style.paddingLeft) + parseFloat(style.paddingRight);
    const now = `${Math.round(main.clientWidth - sides)}x${window.innerHeight}`;
    if (now !== room) {
      room = now;
      roomSince = performance.now();
    } else if (now === data.room) {
      roomTold = now;
    } else if (now !== roomTold && performance.now() - roomSince > ROOM_MS) {
      roomTold = now;
      act(`room:${now}`);
    }
  };
  const watch = () => {
    const root = shadow();
    const container = root?.querySelector(".dc-container");
    if (!container) return;
    hideToolbar(root);
    refresh();
    measure();
    const before = canvases.get(data.canvas);
    if (before === container) return;
    canvases.set(data.canvas, container);
    if (before) setTriggerValue("remount", true);
  };

  const listen = (target, type, handler) =>
    target.addEventListener(type, handler, { capture: true, signal: stop.signal });
  listen(window, "keydown", onKey);
  listen(window, "pointerdown", onPointerDown);
  listen(window, "mousedown", onDown);
  listen(window, "mouseup", onUp);
  listen(window, "mouseout", onLeave);
  listen(window, "mousemove", onMove);
  listen(window, "pagehide", () => {
    if (waiting) hurry();
    flush();
  });
  tools.draw.onclick = () => setMode(false);
  tools.edit.onclick = () => setMode(true);
  tools.delete.onclick = remove;
  const timer = setInterval(watch, POLL_MS);
  watch();

  return {
    update(component) {
      ({ data, setTriggerValue } = component);
      if (!waiting || waiting.done === data.done) return;
      clearTimeout(waiting.timer);
      waiting.timer = setTimeout(answered, REDRAW_MS);
    },
    stop() {
      stop.abort();
      clearInterval(timer);
    },
  };
}
