"""What a page shows frame by frame: what stands there twice, how tall it is."""

from typing import Any, Final, NamedTuple

from playwright.sync_api import Page

# Runs before the page's own scripts, and notes a frame where it differs from the last.
_WATCH: Final = """
(() => {
  const begin = () => {
    const seen = (element) => {
      const box = element.getBoundingClientRect();
      return box.width > 0 && box.height > 0;
    };
    const keyOf = (element) =>
      [...element.classList].find((name) => name.startsWith("st-key-"));
    window.frames_ = [];
    let last = "";
    const note = () => {
      const keys = [...document.querySelectorAll('[class*="st-key-"]')]
        .filter(seen).map(keyOf);
      const main = document.querySelector('[data-testid="stMain"]');
      const frame = {
        twice: [...new Set(keys.filter((key, i) => keys.indexOf(key) !== i))],
        links: [...document.querySelectorAll('[data-testid="stSidebarNavLink"]')]
          .map((link) => link.innerText.trim()),
        height: main ? main.scrollHeight : 0,
      };
      const text = JSON.stringify(frame);
      if (text !== last) {
        last = text;
        window.frames_.push({ at: performance.now(), ...frame });
      }
      requestAnimationFrame(note);
    };
    note();
  };
  if (document.body) begin();
  else document.addEventListener("DOMContentLoaded", begin);
})();
"""


class Frame(NamedTuple):
    """A frame that differs from the one before it.

    at: milliseconds. twice: keys of widgets that are seen twice. links: of Streamlit's
    own list of pages. height: of the page, in pixels.
    """

    at: float
    twice: list[str]
    links: list[str]
    height: float


def watch(page: Page) -> None:
    """Note every frame of what is opened from now on; call it before `goto`."""
    page.add_init_script(_WATCH)


def frames(page: Page) -> list[Frame]:
    """Return what was noted since the last call, and begin anew."""
    noted: list[dict[str, Any]] = page.evaluate("window.frames_.splice(0)")
    return [Frame(**noted_frame) for noted_frame in noted]


def shown_twice(noted: list[Frame]) -> list[str]:
    """Return the keys of widgets that any frame showed twice."""
    return sorted({key for noted_frame in noted for key in noted_frame.twice})
