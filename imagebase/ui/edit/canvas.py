"""Canvas of the Edit page: overlay, and the adapter to the browser."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from types import MappingProxyType
from typing import Any, Final, NamedTuple

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from imagebase.annotation import Annotation, Box, ImageRecord, LabelSet, Size
from imagebase.annotation.areas import Shape, ShapeKind
from imagebase.errors import ImageBaseError
from imagebase.formats.shapes import corners
from imagebase.ui import widgets
from imagebase.ui.edit import keys
from imagebase.ui.edit.canvas_messages import (
    Action,
    FreshBox,
    LabelOffer,
    Message,
    parcel,
    parse_fresh_box,
    parse_message,
)
from imagebase.ui.edit.canvas_state import Editor, RecordAccess
from imagebase.ui.edit.sightings import RULES, Sight, packed, point_in
from imagebase.ui.state import undisturbed

# Page buttons with the action of a key: the editor counts their clicks like keys, so
# that each runs once, on the image on screen, and after its drawings are saved.
BUTTONS: Final = {
    "edit-previous": "previous",
    "edit-next": "next",
    "edit-undo": "undo",
    "edit-redo": "redo",
    "edit-copy": "copy",
    "edit-copy-on": "copy-on",
    "edit-accept": "accept",
    "edit-empty": "empty",
    "edit-approve": "approve",
}
CANVAS_KEY: Final = "edit.canvas"
_EDITOR: Final = "imagebase.editor."
_WISH: Final = ".wish"
_KNOWN: Final = ".known"
_LOOKS: Final = ".looks"
_FRESH: Final = ".fresh"
_PICTURES: Final = ".pictures"
# Pictures in the browser: of the image on screen, and of those that may be next.
_PICTURE_PLACES: Final = 3
MOST_AHEAD: Final = _PICTURE_PLACES - 1
_BELOW_PX: Final = 90
# The text of one module.
_SCRIPTS: Final = (
    "boxes.js",
    "outbox.js",
    "ahead.js",
    "picker.js",
    "pointing.js",
    "guesses.js",
    "keys.js",
    "display.js",
    "editor.js",
)


def overlay(record: ImageRecord, marks: Iterable[Shape]) -> dict[str, Any]:
    """Return ignore areas and a reviewer's marks as SVG paths for the editor.

    In pixels of the image; width: of a brush stroke.
    """
    kinds = (("ignored", record.ignored), ("mark", marks))
    return {
        "image": record.image_id,
        "paths": [
            {"kind": kind, "d": svg_path(shape), "width": shape.width}
            for kind, shapes in kinds
            for shape in shapes
        ],
    }


def svg_path(shape: Shape) -> str:
    """Return the SVG path of a shape."""
    if shape.kind is ShapeKind.ELLIPSE:
        box = shape.bounds.normalised()
        middle = (box.y_min + box.y_max) / 2
        turn = f"A{box.width / 2:g} {box.height / 2:g} 0 0 1"
        return (
            f"M{box.x_min:g} {middle:g} {turn} {box.x_max:g} {middle:g} "
            f"{turn} {box.x_min:g} {middle:g}Z"
        )
    is_brush = shape.kind is ShapeKind.BRUSH
    points = list(shape.points) if is_brush else corners(shape)
    # A single point: a line of length 0 with round ends draws a dot.
    line = [*points, *points] if len(points) == 1 else points
    path = " ".join(f"{x:g} {y:g}" for x, y in line)
    return f"M{path}" if is_brush else f"M{path}Z"


class AheadImage(NamedTuple):
    """An image that may be shown next, as the editor would show it.

    suggested: boxes that are not stored. picture, learned: as of `draw_editor`.
    """

    record: ImageRecord
    suggested: Sequence[Annotation]
    picture: bytes
    learned: str = ""


def draw_editor(
    record: ImageRecord,
    *,
    picture: bytes,
    labels: LabelSet,
    current_label: str,
    key_labels: Sequence[str],
    access: RecordAccess,
    on_action: Callable[[Action], None],
    detail: Callable[[Box], bytes],
    sight: Sight | None = None,
    guess: Callable[[FreshBox], LabelOffer | None] | None = None,
    suggested: Sequence[Annotation] = (),
    learned: str = "",
    offered_labels: Sequence[str] = (),
    pills: Sequence[str] = (),
    labels_chosen: int = 0,
    pinned: Mapping[str, int] = MappingProxyType({}),
    marks: Sequence[Shape] = (),
    is_news: bool = False,
    below_px: int = _BELOW_PX,
    key: str = CANVAS_KEY,
) -> Sequence[DeltaGenerator]:
    """Draw the editor with the record's boxes; edits are saved at once.

    Call `settle` first and pass the record read after it. Returns the places for
    `draw_ahead`.

    Args:
        picture: the whole image as JPEG, PNG or WebP bytes, possibly smaller.
        current_label: label of the next box.
        key_labels: labels of the keys 1 to 9.
        on_action: is called with an action: its name is one in `keys.KEYS`, or `label:`
            and the name of a label, or `show:` and the id of an image, or `pins:` and
            the digits of the pinned labels as JSON, or `keys:` and what `keys.keep`
            takes, or `digits`: they have changed; or `stay:` and what was `learned`:
            the person has begun with those suggestions, so they are to stay.
            Earlier drawings are saved by then.
        detail: returns a region of the image at full sharpness.
        sight: what models see on the image; None suggests nothing where one points.
        guess: returns the likely labels of a box, or None while they are not ready;
            without it, no labels are guessed.
        suggested: boxes that are not stored; editing one saves it.
        learned: name of what was learned, by which they are suggested.
        offered_labels: labels of models that are not in the dataset.
        pills: the labels above the editor, in order.
        pinned: digits of the pinned labels.
        labels_chosen: how often `current_label` was chosen beside the editor.
        marks: of reviewers, shown like ignore areas.
        is_news: somebody else has saved the record since it was on screen.
        below_px: CSS pixels of the window to leave free below the editor.
    """
    editor = _editor(key)
    editor.access = access
    editor.note_choices()
    was_left = key not in st.session_state  # the browser has dropped the editor
    view = record.with_annotations([*record.annotations, *suggested])
    if was_left or not editor.shows(view):
        editor.fill(view, _by_id(suggested), is_new=was_left, learned=learned)
    if is_news:
        editor.outdate(record.image_id)
    # Without a gap between the invisible components.
    with st.container(gap=None):
        places = [st.container(gap=None) for _ in range(_PICTURE_PLACES + 1)]
        _picture(places, record.image_id, picture, key)
        _component()(
            key=key,
            data={
                "key": key,
                "filling": editor.filling,
                "labels": _colours(view, labels),
                "label": current_label,
                "keyLabels": list(key_labels[:9]),
                "keys": keys.packed(),
                "keysKept": keys.kept(),
                "below": below_px,
                "place": access.place,
                "done": editor.actions_done,
                "offered": list(offered_labels),
                "guesses": guess is not None,
                "buttons": BUTTONS,
                "pills": list(pills),
                "labelsChosen": labels_chosen,
                "pinned": dict(pinned),
                "shapes": overlay(record, marks),
            },
            on_message_change=partial(_listen, on_action, key),
            on_parting_change=partial(settle, key=key),
        )
        _details(record.image_id, detail, key)
        if sight is not None:
            _known(record.image_id, record.size, sight, key)
            _looks(record.image_id, record.size, sight, key)
        if guess is not None:
            _guesses(record.image_id, guess, key)
        _relay(key, "answer", editor.answer())
    return places


def draw_ahead(
    places: Sequence[DeltaGenerator],
    images: Sequence[AheadImage],
    *,
    following: Mapping[str, Mapping[str, str]],
    labels: LabelSet,
    key: str = CANVAS_KEY,
) -> None:
    """Send the images that may be next, so that the editor can show them at once.

    Call it last: what the person waits for comes first.

    Args:
        places: from `draw_editor`.
        images: at most `MOST_AHEAD`.
        following: by image on screen and action, the image that it leads to.
    """
    editor = _editor(key)
    fillings, colours = [], dict[str, str]()
    editor.forget_ahead([image.record.image_id for image in images])
    for record, suggested, _, learned in images:
        view = record.with_annotations([*record.annotations, *suggested])
        filling = editor.fill_ahead(record, view, _by_id(suggested), learned)
        fillings.append({**filling, "shapes": overlay(record, ())})
        colours |= dict(_colours(view, labels))
    head = {"fillings": fillings, "following": following, "labels": [*colours.items()]}
    with places[_PICTURE_PLACES]:
        _relay(key, "ahead", head)
    for image in images:
        _picture(places, image.record.image_id, image.picture, key)


def _by_id(annotations: Iterable[Annotation]) -> dict[str, Annotation]:
    return {annotation.annotation_id: annotation for annotation in annotations}


def _picture(
    places: Sequence[DeltaGenerator], image_id: str, picture: bytes, key: str
) -> None:
    """Send a picture in the place that it has; else in that of the oldest one."""
    name = _EDITOR + key + _PICTURES
    # By image, the oldest first.
    known: dict[str, int] = st.session_state.setdefault(name, {})
    if image_id in known:
        place = known.pop(image_id)
    elif len(known) < _PICTURE_PLACES:
        place = len(known)
    else:
        place = known.pop(next(iter(known)))
    known[image_id] = place
    with places[place]:
        _relay(key, "picture", {"image": image_id, "place": place}, picture)


def settle(*, key: str = CANVAS_KEY) -> None:
    """Save what the editor has sent since the last call.

    Call it first in the fragment, and in every callback that changes a record or the
    image: the browser sends the drawing before the button, but their callbacks may come
    in one run, in any order. Calling it twice does no harm.
    """
    interruptions: list[BaseException] = []
    _settle(key, interruptions)
    if interruptions:
        raise interruptions[-1]


def refill(*, key: str = CANVAS_KEY) -> None:
    """Fill the editor again at the next run."""
    _editor(key).refill()


def suggested_under(
    tag: str, image_id: str, *, key: str = CANVAS_KEY
) -> tuple[Annotation, ...] | None:
    """Return the suggestions that a tag showed; None if this session cannot know."""
    return _editor(key).suggested_under(tag, image_id)


def is_strange(tag: str, *, key: str = CANVAS_KEY) -> bool:
    """Say whether this session cannot know what a tag shows: it began after that."""
    showing = _editor(key).showings.get(tag)
    return bool(tag) and (showing is None or not showing.is_own)


def is_of_other(tag: str, dataset_id: str, *, key: str = CANVAS_KEY) -> bool:
    """Say whether a tag shows an image of another dataset."""
    return _editor(key).is_of_other(tag, dataset_id)


def is_outdated(tag: str, *, key: str = CANVAS_KEY) -> bool:
    """Say whether somebody else has saved another version than a tag shows."""
    showing = _editor(key).showings.get(tag)
    return showing is not None and showing.is_outdated


def report(problem: str, *, key: str = CANVAS_KEY) -> None:
    """Keep an error message for `take_problem`."""
    _editor(key).problem = problem


def take_problem(*, key: str = CANVAS_KEY) -> str:
    """Return the error message once; empty if there is none."""
    editor = _editor(key)
    problem, editor.problem = editor.problem, ""
    return problem


def _editor(key: str) -> Editor:
    editor: Editor = st.session_state.setdefault(_EDITOR + key, Editor())
    return editor


def _settle(key: str, interruptions: list[BaseException]) -> Message:
    editor = undisturbed(lambda: _editor(key), interruptions)
    state = undisturbed(lambda: st.session_state.get(key), interruptions)
    message = parse_message((state or {}).get("message"))
    parting = parse_message((state or {}).get("parting"))
    for received in (parting, message):
        editor.book(received, interruptions)
    return message


def _listen(on_action: Callable[[Action], None], key: str) -> None:
    """Save the drawings and run the actions of a message, in the order they were made.

    The drawings after the last action are saved by the run that follows.
    """
    interruptions: list[BaseException] = []
    editor = undisturbed(lambda: _editor(key), interruptions)
    try:
        editor.running = editor.actions_done + 1
        message = _settle(key, interruptions)
        while action := editor.take_action(message, interruptions):
            editor.enter(action.then_tag)
            on_action(action)
    finally:
        editor.running = 0
    if interruptions:
        raise interruptions[-1]


def _colours(record: ImageRecord, labels: LabelSet) -> list[tuple[str, str]]:
    shown = {label.name: label.colour for label in labels.shown}
    others = [label for label in record.labels if label not in shown]
    return [*shown.items(), *((other, labels.colour_of(other)) for other in others)]


@st.fragment
def _details(image_id: str, detail: Callable[[Box], bytes], key: str) -> None:
    """Send a sharper picture of the region in view; reruns nothing else."""
    region = _region(st.session_state.get(_EDITOR + key + _WISH), image_id)
    content = b""
    if region is not None:
        try:
            content = detail(region)
        except ImageBaseError:
            region = None  # the coarser picture stays
    head = {"image": image_id, "box": None if region is None else list(region)}
    _relay(key, "detail", head, content, on_ask_change=partial(_keep_wish, key))


def _keep_wish(key: str) -> None:
    wish = (st.session_state.get(f"{key}.detail") or {}).get("ask")
    if wish:
        st.session_state[_EDITOR + key + _WISH] = wish


@st.fragment
def _known(image_id: str, size: Size, sight: Sight, key: str) -> None:
    """Send what models see on the whole image, once the editor asks for it."""
    name = _EDITOR + key + _KNOWN
    asked, head, content = st.session_state.get(name) or ("", None, b"")
    is_stale = head is None or head.get("version") != sight.version
    if asked == image_id and is_stale:
        try:
            head, content = packed(sight.known(), size)
        except ImageBaseError:
            head = {"names": [], "sides": []}  # nothing is suggested
        rules = {**RULES, "labels": [*sight.labels()]}
        head |= {"image": image_id, "version": sight.version, "rules": rules}
        st.session_state[name] = (image_id, head, content)
    _relay(key, "known", head or {}, content, on_ask_change=partial(_ask_known, key))


def _ask_known(key: str) -> None:
    wish = (st.session_state.get(f"{key}.known") or {}).get("ask")
    match wish:
        case {"image": str(image)}:
            st.session_state[_EDITOR + key + _KNOWN] = (image, None, b"")


@st.fragment
def _looks(image_id: str, size: Size, sight: Sight, key: str) -> None:
    """Send what a model sees in closer views around a point that the editor names."""
    name = _EDITOR + key + _LOOKS
    wish, head, content = st.session_state.get(name) or (None, {}, b"")
    point = point_in(wish, image_id, size)
    if point is not None:
        try:
            head, content = packed(sight.closer(point), size)
        except ImageBaseError:
            head, content = {"names": [], "sides": []}, b""
        head |= {"image": image_id, "point": list(point)}
        st.session_state[name] = (None, head, content)
    _relay(key, "looks", head, content, on_ask_change=partial(_ask_looks, key))


def _ask_looks(key: str) -> None:
    wish = (st.session_state.get(f"{key}.looks") or {}).get("ask")
    if wish:
        _, head, content = st.session_state.get(_EDITOR + key + _LOOKS) or (0, {}, b"")
        st.session_state[_EDITOR + key + _LOOKS] = (wish, head, content)


@st.fragment
def _guesses(
    image_id: str, guess: Callable[[FreshBox], LabelOffer | None], key: str
) -> None:
    """Answer with the likely labels of the box finished last; reruns nothing else."""
    fresh = parse_fresh_box(st.session_state.get(_EDITOR + key + _FRESH))
    head: dict[str, object] = {"image": image_id, "id": ""}
    if fresh is not None and fresh.image_id == image_id:
        offer = guess(fresh)
        head |= {
            "id": fresh.annotation_id,
            "attempt": fresh.attempt,  # so that each answer differs
            "isPending": offer is None,
            **(offer or LabelOffer())._asdict(),
        }
    _relay(key, "guess", head, on_ask_change=partial(_keep_fresh, key))


def _keep_fresh(key: str) -> None:
    fresh = (st.session_state.get(f"{key}.guess") or {}).get("ask")
    if fresh:
        st.session_state[_EDITOR + key + _FRESH] = fresh


def _region(wish: object, image_id: str) -> Box | None:
    """Return the requested region; None if it is of another image."""
    match wish:
        case {"image": str(image), "box": [x0, y0, x1, y1]} if image == image_id:
            edges = (x0, y0, x1, y1)
            if all(isinstance(edge, int | float) for edge in edges):
                box = Box(*map(float, edges))
                return box if box.is_finite and box.area > 0 else None
    return None


def _relay(
    key: str,
    kind: str,
    head: Mapping[str, object],
    content: bytes = b"",
    on_ask_change: Callable[[], None] | None = None,
) -> None:
    """Send data to the editor; Streamlit sends large data only once."""
    relay = st.components.v2.component("imagebase_relay", js=widgets.asset("relay.js"))
    relay(
        key=f"{key}.{kind}{head.get('place', '')}",
        data=parcel({"editor": key, "kind": kind, **head}, content),
        on_ask_change=on_ask_change,
    )


def _component() -> Callable[..., Any]:
    return st.components.v2.component(
        "imagebase_editor",
        html=widgets.asset("editor.html"),
        css=widgets.asset("editor.css"),
        js="".join(map(widgets.asset, _SCRIPTS)),
    )
