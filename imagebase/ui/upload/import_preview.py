"""Preview of an import: options, summary, and tables of labels and images."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Final

import pandas as pd
import streamlit as st

from imagebase.annotation import MAX_LABEL_LENGTH, clean_label
from imagebase.formats.base import ReadResult
from imagebase.ingest.box_merging import ImportChoice, Replacing
from imagebase.ingest.image_matching import DroppedImage, How, Match
from imagebase.ingest.import_plan import ImportedLabel, ImportPlan
from imagebase.ui import widgets

_MOST_NAMES: Final = 5
_TABLE_PX: Final = 260
_REPLACING: Final = {
    Replacing.NOTHING: "Keep",
    Replacing.MODEL_BOXES: "Replace model boxes",
    Replacing.ALL_BOXES: "Replace all",
}
_MEANINGS: Final = {
    Replacing.NOTHING: "Existing boxes are kept; imported boxes are added.",
    Replacing.MODEL_BOXES: "Model boxes not accepted or edited yet are deleted.",
    Replacing.ALL_BOXES: "All existing boxes on these images are deleted.",
}


def choose(upload_id: str, dropped: Mapping[str, DroppedImage]) -> ImportChoice:
    """Draw the options of the import; return the choice."""
    left, right = st.columns([1, 1], vertical_alignment="top")
    with left:
        replacing = st.segmented_control(
            "Existing boxes",
            list(_REPLACING),
            default=Replacing.NOTHING,
            required=True,
            format_func=_REPLACING.__getitem__,
            key=f"import.replacing.{upload_id}",
        )
        st.caption(_MEANINGS[replacing])
    with right:
        takes_new = bool(dropped) and st.checkbox(
            f"Add the {widgets.plural(len(dropped), 'image')} among the files",
            value=True,
            key=f"import.new.{upload_id}",
        )
        takes_approved = st.checkbox(
            "Change approved images",
            key=f"import.approved.{upload_id}",
            help="Without it, approved images are skipped.",
        )
    return ImportChoice(replacing, takes_new=takes_new, takes_approved=takes_approved)


def titles(result: ReadResult) -> list[str]:
    """Return the titles of the three tables, with their row counts."""
    remarks = len(result.report.skipped) + len(result.report.changed)
    return [
        f"Labels {len(result.labels):,}",
        f"Images {len(result.images):,}",
        f"Skipped or changed {remarks:,}",
    ]


def with_names(
    choice: ImportChoice, rows: Sequence[ImportedLabel], upload_id: str
) -> ImportChoice:
    """Draw the table of label names; return the choice with the edited names."""
    st.caption(
        "Edit a name to import the label under another one. Clear it to skip the label."
    )
    table = pd.DataFrame(
        [(row.number, row.name, row.uses, row.here, row.how) for row in rows],
        columns=["number", "name", "uses", "here", "how"],
    ).astype({"here": "object"})
    edited = st.data_editor(
        table,
        hide_index=True,
        height="content" if len(rows) <= 6 else _TABLE_PX,
        disabled=["number", "name", "uses", "how"],
        column_config={
            "number": st.column_config.NumberColumn("ID", width="small"),
            "name": st.column_config.TextColumn("Label in the files"),
            "uses": st.column_config.NumberColumn("Uses", width="small"),
            "here": st.column_config.TextColumn(
                "Label here", max_chars=MAX_LABEL_LENGTH
            ),
            "how": st.column_config.TextColumn("Match"),
        },
        key=f"import.labels.{upload_id}.{hash(tuple(rows))}",
    )
    cleaned = [_cleaned(value) for value in edited["here"]]
    names = {row.name: name for row, name in zip(rows, cleaned, strict=True)}
    return ImportChoice(
        choice.replacing, names, choice.takes_new, choice.takes_approved
    )


def _cleaned(value: object) -> str | None:
    if not isinstance(value, str):
        return None
    try:
        return clean_label(value)
    except ValueError:
        return None


def draw_images(matches: Sequence[Match]) -> None:
    """Draw which dataset image each labelled image matches, problems first."""
    ordered = sorted(matches, key=lambda match: (not match.problem, not match.note))
    widgets.table(
        ordered,
        {
            "in the label files": lambda match: match.name,
            "in the dataset": lambda match: match.file_name,
            "matched by": lambda match: match.how.value,
            "note": lambda match: match.problem or match.note,
            "imported": lambda match: not match.problem,
        },
        config={"imported": st.column_config.CheckboxColumn(width="small")},
    )


def draw_remarks(result: ReadResult) -> None:
    """Draw the entries that the reader skipped or changed, with file and line."""
    report = result.report
    remarks = [(remark, "skipped") for remark in report.skipped]
    remarks += [(change, "changed") for change in report.changed]
    if not remarks:
        st.caption("Nothing was skipped or changed.")
        return
    widgets.table(
        remarks,
        {
            "file": lambda row: row[0].file,
            "where": lambda row: row[0].at,
            "reason": lambda row: row[0].reason,
            "result": lambda row: row[1],
        },
    )


def summarise(preview: ImportPlan, result: ReadResult) -> None:
    """Show what would be imported, and what would be skipped."""
    effect = preview.effect
    parts = [f"**{widgets.plural(effect.boxes, 'box')}**"]
    if effect.tags:
        parts.append(f"**{widgets.plural(effect.tags, 'tag')}**")
    st.markdown(
        f":material/input: {' and '.join(parts)} on "
        f"**{widgets.plural(effect.images, 'image')}** will be imported · "
        f"{_matched(preview)}"
    )
    more = []
    if effect.model_boxes:
        more.append(
            f":material/smart_toy: {effect.model_boxes:,} of them unaccepted model "
            "boxes"
        )
    if effect.described:
        boxes = widgets.plural(effect.described, "box")
        verb = "gets" if effect.described == 1 else "get"
        more.append(f":material/sell: {boxes} in the dataset {verb} attributes")
    if effect.confirmed:
        more.append(
            f":material/done_all: {effect.confirmed:,} of them confirm model boxes, "
            "which count as imported from then on"
        )
    if preview.new_images:
        more.append(
            ":material/add_photo_alternate: "
            f"**{widgets.plural(preview.new_images, 'new image')}**, "
            f"{widgets.megabytes(preview.new_bytes)}"
        )
    if preview.new_labels:
        more.append(_new_labels(preview.new_labels))
    if more:
        st.markdown(" · ".join(more))
    skipped = [
        (
            sum(bool(match.problem) for match in preview.matches),
            "image",
            "not found or of another size",
        ),
        (effect.approved, "image", "approved"),
        (effect.full, "image", "with the maximum number of boxes"),
        (effect.present, "box", "already in the dataset"),
        (effect.unwanted, "box", "with a skipped label"),
        (effect.outside, "box", "outside the image"),
        (len(result.report.skipped), "item", "that cannot be read"),
    ]
    words = [f"{widgets.plural(n, noun)} {why}" for n, noun, why in skipped if n]
    if words:
        st.markdown(f":material/block: Skipped: {' · '.join(words)}")


def _new_labels(names: Sequence[str]) -> str:
    shown = ", ".join(map(widgets.escape, names[:_MOST_NAMES]))
    more = f" and {len(names) - _MOST_NAMES:,} more" if len(names) > _MOST_NAMES else ""
    count = widgets.plural(len(names), "new label")
    return f":material/new_label: **{count}**: {shown}{more}"


def _matched(preview: ImportPlan) -> str:
    counts = Counter(match.how for match in preview.matches if not match.problem)
    ways = {
        How.CONTENT: "by content",
        How.NAME: "by name",
        How.NEW: "from the dropped files",
    }
    words = [f"{counts[how]:,} {way}" for how, way in ways.items() if counts[how]]
    total = widgets.plural(len(preview.matches), "image")
    return f"{counts.total():,} of {total} matched" + (
        f": {', '.join(words)}" if words else ""
    )


def warn(preview: ImportPlan) -> None:
    """Warn of boxes that would be deleted."""
    deleted = [
        (preview.effect.replaced_model, "model box", "model boxes"),
        (preview.effect.replaced, "box made by people", "boxes made by people"),
    ]
    words = [
        f"**{n:,} {singular if n == 1 else many}**"
        for n, singular, many in deleted
        if n
    ]
    if words:
        st.warning(f"{' and '.join(words)} will be deleted.", icon=":material/delete:")


def verb(preview: ImportPlan) -> str:
    """Return the text of the import button."""
    effect = preview.effect
    if effect.boxes:
        return f"Import {widgets.plural(effect.boxes, 'box')}"
    if effect.tags:
        return f"Import {widgets.plural(effect.tags, 'tag')}"
    if effect.described:
        return f"Import attributes of {widgets.plural(effect.described, 'box')}"
    if preview.new_images:
        return f"Add {widgets.plural(preview.new_images, 'image')}"
    return "Import labels"
