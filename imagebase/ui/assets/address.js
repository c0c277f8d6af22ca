// Where one is, in the page's address: one entry of the browser's history for a page, and
// one for each image. Streamlit would make another entry for each part of an address that
// is written after the page was opened, and Back would come to it, and on again.
//
// A connection that comes back may be to a server that was started anew, which knows
// nothing of this page's parts: then the page is run again.

const CONNECTED = "CONNECTED";
const hub = (window[Symbol.for("imagebase.address")] ??= { push: null, observer: null });

export default function ({ data }) {
  if (!hub.push) keepHistoryShort();
  if (!hub.observer) watchConnection();
  const url = new URL(location.href);
  for (const [name, value] of Object.entries(data)) url.searchParams.set(name, value);
  if (url.search !== location.search) history.replaceState({}, "", url);
}

function keepHistoryShort() {
  hub.push = history.pushState.bind(history);
  history.pushState = (state, title, to) => {
    const [now, then] = [new URL(location.href), new URL(to ?? "", location.href)];
    const images = [now, then].map((url) => url.searchParams.get("image"));
    const isOther = now.pathname !== then.pathname || (images[0] && images[1] &&
      images[0] !== images[1]);
    if (isOther) hub.push(state, title, to);
    else history.replaceState(state, title, to);
  };
}

function watchConnection() {
  const app = document.querySelector("[data-testid='stApp']");
  if (!app) return;
  const state = () => app.getAttribute("data-test-connection-state");
  let last = state();
  hub.observer = new MutationObserver(() => {
    const isBack = state() === CONNECTED && last !== CONNECTED;
    last = state();
    if (isBack) setTimeout(runPage);
  });
  hub.observer.observe(app, { attributes: true });
}

// As when somebody comes to this page by Back: the page of the address is run.
function runPage() {
  window.dispatchEvent(new PopStateEvent("popstate", { state: { isRerun: true } }));
}
