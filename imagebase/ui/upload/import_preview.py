"""What importing dropped labels would do: in a sentence, in tables, and how."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Final

import pandas as pd
import streamlit as st

from imagebase.annotation import MAX_LABEL_LENGTH, clean_label
from imagebase.formats.base import ReadResult
from imagebase.ingest.box_merging import ImportChoice, Replacing
from imagebase.ingest.image_matching import DroppedImage, How, Match
from imagebase.ingest.import_plan import DryRun, ImportedLabel
from imagebase.ui import widgets

_MOST_ROWS: Final = 2_000
_MOST_NAMES: Final = 5
_TABLE_PX: Final = 260
_REPLACING: Final = {
    Replacing.NOTHING: "Keep them",
    Replacing.MODEL_BOXES: "Replace model boxes",
    Replacing.ALL_BOXES: "Replace all",
}
_MEANINGS: Final = {
    Replacing.NOTHING: "Existing boxes are kept; imported boxes are added.",
    Replacing.MODEL_BOXES: "On these images, untouched model boxes are deleted.",
    Replacing.ALL_BOXES: "All boxes on these images are deleted.",
}


def choose(upload_id: str, dropped: Mapping[str, DroppedImage]) -> ImportChoice:
    """Draw how the labels are to come in; return what is chosen."""
    left, right = st.columns([1, 1], vertical_alignment="top")
    with left:
        replacing = st.segmented_control(
            "Boxes that are here already",
            list(_REPLACING),
            default=Replacing.NOTHING,
            required=True,
            format_func=_REPLACING.__getitem__,
            key=f"import.replacing.{upload_id}",
        )
        st.caption(_MEANINGS[replacing])
    with right:
        takes_new = bool(dropped) and st.checkbox(
            f"Add the images that came with them ({len(dropped):,})",
            value=True,
            key=f"import.new.{upload_id}",
        )
        takes_approved = st.checkbox(
            "Change approved images too",
            key=f"import.approved.{upload_id}",
            help="Otherwise what is approved stays as it is.",
        )
    return ImportChoice(replacing, takes_new=takes_new, takes_approved=takes_approved)


def titles(result: ReadResult) -> list[str]:
    """Return the titles of the three tables, each with how much is in it."""
    remarks = len(result.report.skipped) + len(result.report.changed)
    return [
        f"Labels {len(result.labels):,}",
        f"Images {len(result.images):,}",
        f"Left out or changed {remarks:,}",
    ]


def with_names(
    choice: ImportChoice, rows: Sequence[ImportedLabel], upload_id: str
) -> ImportChoice:
    """Draw the labels with what each is called here; return the choice with that."""
    st.caption(
        "What each label is called in this dataset. Change a name, or clear it to "
        "leave that label out."
    )
    table = pd.DataFrame(
        [(one.number, one.name, one.uses, one.here, one.how) for one in rows],
        columns=["number", "name", "uses", "here", "how"],
    ).astype({"here": "object"})
    edited = st.data_editor(
        table,
        hide_index=True,
        height="content" if len(rows) <= 6 else _TABLE_PX,
        disabled=["number", "name", "uses", "how"],
        column_config={
            "number": st.column_config.NumberColumn("No.", width="small"),
            "name": st.column_config.TextColumn("In the files"),
            "uses": st.column_config.NumberColumn("Uses", width="small"),
            "here": st.column_config.TextColumn(
                "Called here", max_chars=MAX_LABEL_LENGTH
            ),
            "how": st.column_config.TextColumn("Why"),
        },
        key=f"import.labels.{upload_id}.{hash(tuple(rows))}",
    )
    called = [_cleaned(value) for value in edited["here"]]
    names = {row.name: name for row, name in zip(rows, called, strict=True)}
    return ImportChoice(
        choice.replacing, names, choice.takes_new, choice.takes_approved
    )


def _cleaned(value: object) -> str | None:
    """Return a typed name as a label, or None for an empty cell."""
    if not isinstance(value, str):
        return None
    try:
        return clean_label(value)
    except ValueError:
        return None


def draw_images(matches: Sequence[Match]) -> None:
    """Draw which image each image of the labels is, those with a problem first."""
    ordered = sorted(matches, key=lambda one: (not one.problem, not one.note))
    shown = ordered[:_MOST_ROWS]
    st.dataframe(
        {
            "in the labels": [one.name for one in shown],
            "the image": [one.file_name for one in shown],
            "found by": [one.how.value for one in shown],
            "what differs": [one.problem or one.note for one in shown],
            "comes in": [not one.problem for one in shown],
        },
        hide_index=True,
        height="content" if len(shown) <= 6 else _TABLE_PX,
        column_config={"comes in": st.column_config.CheckboxColumn(width="small")},
    )
    if len(ordered) > len(shown):
        st.caption(f"and {len(ordered) - len(shown):,} more")


def draw_remarks(result: ReadResult) -> None:
    """Draw what the reader left out or changed, with its place in the files."""
    report = result.report
    remarks = [(one, "left out") for one in report.skipped]
    remarks += [(one, "changed") for one in report.changed]
    if not remarks:
        st.caption("Everything in the files can be read as it stands.")
        return
    shown = remarks[:_MOST_ROWS]
    st.dataframe(
        {
            "file": [one.file for one, _ in shown],
            "where": [one.at for one, _ in shown],
            "what": [one.reason for one, _ in shown],
            "so it is": [verb for _, verb in shown],
        },
        hide_index=True,
        height="content" if len(shown) <= 6 else _TABLE_PX,
    )
    if len(remarks) > len(shown):
        st.caption(f"and {len(remarks) - len(shown):,} more")


def summarise(told: DryRun, result: ReadResult) -> None:
    """Say what would come in, and what would not."""
    effect = told.effect
    brings = [f"**{widgets.plural(effect.boxes, 'box')}**"]
    if effect.tags:
        brings.append(f"**{widgets.plural(effect.tags, 'tag')}**")
    st.markdown(
        f":material/input: {' and '.join(brings)} would come in on "
        f"**{widgets.plural(effect.images, 'image')}** · {_found(told)}"
    )
    more = []
    if effect.model_boxes:
        more.append(
            f":material/smart_toy: {effect.model_boxes:,} of them by a model, untouched"
        )
    if effect.described:
        boxes = widgets.plural(effect.described, "box")
        verb = "gets" if effect.described == 1 else "get"
        more.append(f":material/sell: {boxes} here {verb} attributes")
    if effect.confirmed:
        more.append(
            f":material/done_all: {effect.confirmed:,} of them confirm a model's box, "
            "which becomes imported"
        )
    if told.new_images:
        more.append(
            ":material/add_photo_alternate: "
            f"**{widgets.plural(told.new_images, 'new image')}**, "
            f"{widgets.megabytes(told.new_bytes)}"
        )
    if told.new_labels:
        more.append(_new_labels(told.new_labels))
    if more:
        st.markdown(" · ".join(more))
    stays_out = [
        (
            sum(bool(one.problem) for one in told.matches),
            "image",
            "not found or not fitting",
        ),
        (effect.approved, "image", "approved and left alone"),
        (effect.full, "image", "full"),
        (effect.present, "box", "here already"),
        (effect.unwanted, "box", "with a label that is left out"),
        (effect.outside, "box", "outside the image"),
        (len(result.report.skipped), "item", "in the files that cannot come in"),
    ]
    words = [f"{widgets.plural(n, noun)} {why}" for n, noun, why in stays_out if n]
    if words:
        st.markdown(f":material/block: Not: {' · '.join(words)}")


def _new_labels(names: Sequence[str]) -> str:
    shown = ", ".join(map(widgets.escape, names[:_MOST_NAMES]))
    more = f" and {len(names) - _MOST_NAMES:,} more" if len(names) > _MOST_NAMES else ""
    count = widgets.plural(len(names), "new label")
    return f":material/new_label: **{count}**: {shown}{more}"


def _found(told: DryRun) -> str:
    """Return how many images of the labels were found, and how."""
    counts = Counter(one.how for one in told.matches if not one.problem)
    ways = {
        How.CONTENT: "by their content",
        How.NAME: "by their name",
        How.NEW: "that came with the labels",
    }
    words = [f"{counts[how]:,} {way}" for how, way in ways.items() if counts[how]]
    total = widgets.plural(len(told.matches), "image")
    return f"{counts.total():,} of {total} found" + (
        f": {', '.join(words)}" if words else ""
    )


def warn(told: DryRun) -> None:
    """Say which boxes are deleted."""
    taken = [
        (told.effect.replaced_model, "model box", "model boxes"),
        (told.effect.replaced, "box of people's", "boxes of people's"),
    ]
    away = [f"**{n:,} {one if n == 1 else many}**" for n, one, many in taken if n]
    if away:
        st.warning(f"{' and '.join(away)} will be deleted.", icon=":material/delete:")


def verb(told: DryRun) -> str:
    """Return what the press that agrees to it would do."""
    effect = told.effect
    if effect.boxes:
        return f"Import {widgets.plural(effect.boxes, 'box')}"
    if effect.tags:
        return f"Import {widgets.plural(effect.tags, 'tag')}"
    if effect.described:
        return f"Import attributes of {widgets.plural(effect.described, 'box')}"
    if told.new_images:
        return f"Add {widgets.plural(told.new_images, 'image')}"
    return "Import these labels"
