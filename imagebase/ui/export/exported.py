"""A finished export: its download, what was compared, pictures drawn from its files."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import streamlit as st

from imagebase.export.overlays import PICTURES, read_overlays
from imagebase.ui import widgets


def is_there(result: Mapping[str, Any]) -> bool:
    """Say whether every zip of an export still lies on disk."""
    zips = result.get("zips", [])
    return bool(zips) and all(Path(one["path"]).is_file() for one in zips)


def show(result: Mapping[str, Any]) -> None:
    """Draw the download, the checks and the pictures of an export."""
    _download(result["zips"])
    _checks(result)
    _pictures(Path(result["drawn"]))


def _download(zips: Sequence[Mapping[str, Any]]) -> None:
    # Each button holds its zip in memory: there is never more than one.
    chosen = zips[0] if len(zips) == 1 else _chosen(zips)
    with Path(chosen["path"]).open("rb") as content:
        st.download_button(
            f"Download {widgets.escape(chosen['file_name'])} · "
            f"{widgets.megabytes(chosen['byte_count'])}",
            content,
            file_name=chosen["file_name"],
            mime="application/zip",
            key="export.download",
            type="primary",
            icon=":material/download:",
            on_click="ignore",
        )


def _chosen(zips: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
    st.caption(
        f"The set is in {len(zips)} zips, each a complete label set of its own: unpack "
        "each into a folder of its own."
    )
    number = widgets.page_number(len(zips), key=f"export.zip.{zips[0]['path']}")
    return zips[number - 1]


def _checks(result: Mapping[str, Any]) -> None:
    st.markdown(
        f":material/verified: Read back and compared: **{_compared(result)}** · "
        f"{widgets.plural(result['images'], 'image')}{_parts(result)} · "
        f"{widgets.plural(result['labels'], 'label')} · "
        f"{widgets.plural(result['files_equal'], 'file')} as written"
    )
    if result["warnings"]:
        # Two blanks at its end break a line.
        said = "  \n".join(map(widgets.escape, result["warnings"]))
        st.warning(said, icon=":material/warning:")
    _left_out(result)


def _compared(result: Mapping[str, Any]) -> str:
    if not result["has_boxes"]:
        return "the labels of all images equal"
    if not result["boxes"]:
        return "no box in it yet"
    return (
        f"{result['boxes_equal']:,} of {widgets.plural(result['boxes'], 'box')} equal"
    )


def _parts(result: Mapping[str, Any]) -> str:
    parts = ", ".join(f"{name} {count:,}" for name, count in result["parts"].items())
    return f" ({parts})" if parts else ""


def _left_out(result: Mapping[str, Any]) -> None:
    boxes = [f"{image}: {label}, {why}" for image, label, why in result["left_out"]]
    sentences = [*result["not_in_it"], *boxes]
    if sentences:
        with st.expander(f"Left out: {widgets.plural(len(sentences), 'remark')}"):
            st.dataframe({"what and why": sentences}, hide_index=True)


def _pictures(path: Path) -> None:
    overlays = read_overlays(path)
    if not overlays:
        return
    st.caption("Drawn from the files in the zip:")
    cells = st.columns(PICTURES, gap="small")
    for cell, one in zip(cells, overlays, strict=False):
        cell.image(one.url, width="stretch", alt=one.name)
        cell.caption(widgets.escape(one.line or widgets.short_name(one.name)))
