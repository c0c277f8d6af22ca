// The page's address: one entry in the browser's history per page and per image. Streamlit
// would add an entry for every query parameter written after the page was opened, and Back
// would stop at each.
//
// After a lost connection the server may have been restarted and not know this page's
// elements: the page is rerun.

const CONNECTED = "CONNECTED";
const hub = (window[Symbol.for("imagebase.address")] ??= { push: null, observer: null });

export default function ({ data }) {
  if (!hub.push) keepHistoryShort();
  if (!hub.observer) watchConnection();
  const url = new URL(location.href);
  for (const [name, value] of Object.entries(data.place ?? {})) url.searchParams.set(name, value);
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

// As after Back: run the page of the address.
function runPage() {
  window.dispatchEvent(new PopStateEvent("popstate", { state: { isRerun: true } }));
}
