// Passes what the server sends besides the boxes (the image, a sharper detail, what is
// saved) to the editor of the page. A component of its own, so that Streamlit sends an
// image once and not with every change of the boxes.
//
// A parcel is a line of JSON, then the bytes.

const LINE_END = 10;

export default function ({ data, setTriggerValue }) {
  const hub = (window[Symbol.for("imagebase.editor")] ??= {
    parcels: new Map(),
    listeners: new Set(),
  });
  const end = data.indexOf(LINE_END);
  const head = JSON.parse(new TextDecoder().decode(data.subarray(0, end)));
  const parcel = {
    ...head,
    bytes: data.subarray(end + 1),
    ask: (wish) => setTriggerValue("ask", wish),
  };
  hub.parcels.set(`${head.editor}/${head.kind}${head.place ?? ""}`, parcel);
  for (const listener of hub.listeners) listener(parcel);
}
