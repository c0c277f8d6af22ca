"""Labels that models doubt, as a queue: what the last evaluation has against them."""

import streamlit as st

from imagebase.ui.evaluate import evaluation_data, evaluation_suspects


def label_errors() -> None:
    """Draw what the newest evaluation finds doubtful in the labels themselves."""
    kept = evaluation_data.runs()
    if not kept:
        st.info(
            "Judge a model on **Evaluate** first: where it is sure and your labels say "
            "something else comes here, the likeliest errors in front."
        )
        st.page_link(
            "pages/evaluate.py", label="**Evaluate**", icon=":material/analytics:"
        )
        return
    evaluation_suspects.draw(kept[0].run_id)
