"""Result of a training run: metrics, examples, curves, earlier runs."""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any, Final

import altair as alt
import pandas as pd
import streamlit as st

from imagebase.annotation import ReviewStatus
from imagebase.detection.model_files import Model
from imagebase.jobs.training import KIND, last_round, parts_known, rounds_of
from imagebase.settings import DEFAULT_MODEL
from imagebase.store import JobState
from imagebase.training.checks import few_boxes
from imagebase.training.data import TRAIN
from imagebase.training.run_folder import Evaluation, thinned
from imagebase.training.run_page import ExampleImage
from imagebase.training.sources import AGAIN_AFTER, Round, model_to_use, news_since
from imagebase.ui import cache, services, state, widgets
from imagebase.ui.annotate import page as annotate_page
from imagebase.ui.models import page as models_page
from imagebase.ui.train import setup
from imagebase.wording import plural

_CURVE_PX: Final = 260
ALL: Final = "all labels"
_STEPS: Final = alt.Axis(format=",d", tickMinStep=1)
_PX: Final = 220
OF_ROUND: Final = "new model"
BEFORE: Final = "previous model, same images"
_COLOURS: Final = {OF_ROUND: "#4A90D9", BEFORE: "#E69F00"}
_SHAPES: Final = {OF_ROUND: "circle", BEFORE: "diamond"}
_SHOWN: Final = 4


def rounds(trainings: Sequence[Round]) -> None:
    """Draw the AP50 of each training run, where two or more were evaluated."""
    points = points_of(trainings)
    evaluated = [point for point in points if point["what"] == OF_ROUND]
    if len(evaluated) < 2:
        return
    st.markdown("**AP50 by training run**")
    st.altair_chart(_chart(points), width="stretch")
    compared = (
        "Each run holds out more images: compare the two marks of one run."
        if len(points) > len(evaluated)
        else "Each run holds out more images: the values compare only roughly."
    )
    st.caption(f"{compared} Grey lines: 95 % bootstrap confidence intervals.")


def points_of(trainings: Sequence[Round]) -> list[dict[str, Any]]:
    """Return a row for each mark of the evaluated runs.

    The previous model has a mark where the run started from it.
    """
    rows = []
    for number, (last, run) in enumerate(pairwise([None, *trainings]), start=1):
        if run is None or run.ap50 is None:
            continue
        place = f"{number}: {plural(run.images, 'image')}"
        low, high = run.interval or (run.ap50, run.ap50)
        if run.base_ap50 is not None and last and _is_same(run.base, last.model):
            mark = {"round": place, "what": BEFORE, "AP50": run.base_ap50}
            rows.append(mark | {"model": run.base})
        mark = {"round": place, "what": OF_ROUND, "AP50": run.ap50}
        rows.append(mark | {"model": run.model, "low": low, "high": high})
    return rows


def _is_same(name: str, other: str) -> bool:
    """Say whether two names mean one model, which may have been renamed since."""
    if name == other:
        return True
    model = cache.model_called(name)
    return model is not None and model == cache.model_called(other)


def _chart(points: Sequence[dict[str, Any]]) -> alt.LayerChart:
    kinds = {point["what"] for point in points}
    used = [colour for colour in _COLOURS if colour in kinds]
    scale = alt.Scale(domain=[0, 1])
    base = alt.Chart(pd.DataFrame(points)).encode(
        x=alt.X("round:N", sort=None, title=None, axis=alt.Axis(labelAngle=0))
    )
    of_round = base.transform_filter(alt.datum.what == OF_ROUND)
    legend = alt.Legend(title=None, orient="top", labelLimit=400, symbolOpacity=1)
    marks = base.mark_point(filled=True, opacity=1).encode(
        y=alt.Y("AP50:Q", scale=scale, title=None),
        color=alt.Color(
            "what:N",
            scale=alt.Scale(domain=used, range=[_COLOURS[model] for model in used]),
            legend=legend,
        ),
        shape=alt.Shape(
            "what:N",
            scale=alt.Scale(domain=used, range=[_SHAPES[model] for model in used]),
            legend=legend,
        ),
        # The larger mark stays visible behind the smaller one.
        size=alt.condition(alt.datum.what == BEFORE, alt.value(260), alt.value(70)),
        tooltip=["model:N", "what:N", alt.Tooltip("AP50:Q", format=".3f")],
    )
    around = of_round.mark_rule(color="#888888", strokeWidth=2).encode(
        y=alt.Y("low:Q", scale=scale, title=None), y2="high:Q"
    )
    line = of_round.mark_line(color=_COLOURS[OF_ROUND], strokeWidth=1.5).encode(
        y=alt.Y("AP50:Q", scale=scale, title=None)
    )
    return alt.LayerChart(layer=[around, line, marks]).properties(height=_PX)


def show() -> bool:
    """Draw the last finished training run; say whether there is one."""
    all_jobs = services.store().jobs(state.scope())
    done = [job for job in all_jobs if job.kind == KIND and job.result]
    result = next((job.result for job in done if job.state is JobState.DONE), None)
    if result is None:
        return False
    model = cache.model_called(result["model"])
    name = model.name if model else result["model"]
    last = last_round(all_jobs)
    with st.container(border=True):
        if last is not None and last.is_poor:
            _disappointment(name, model, last, result)
        else:
            _next_steps(name, model)
        _figures(result)
    _again(last)
    _before_and_after(result, name)
    with st.expander("Training curves", icon=":material/show_chart:"):
        curves([], [Evaluation(**entry) for entry in result["evaluations"]])
    rounds(rounds_of(all_jobs))
    return True


def _figures(result: Mapping[str, Any]) -> None:
    metrics = result["metrics"]
    cells = st.columns(4)
    ap50, around = metrics["AP50"], metrics["AP50_interval"]
    before = metrics.get("base_AP50")
    change = None if None in (ap50, before) else f"{ap50 - before:+.3f}"
    is_none = change in ("+0.000", "-0.000")
    cells[0].metric(
        "AP50",
        "–" if ap50 is None else f"{ap50:.3f}",
        delta="unchanged" if is_none else change,
        delta_color="off" if is_none else "normal",
        delta_arrow="off" if is_none else "auto",
        help=_about(metrics),
    )
    if around:
        cells[1].metric(
            "95 % confidence interval",
            f"{around[0]:.2f} – {around[1]:.2f}",
            help="Bootstrap confidence interval of AP50.",
        )
    cells[2].metric("Training images", f"{metrics['images']['train']:,}")
    cells[3].metric("Minutes", f"{metrics['minutes']:.1f}")
    for warning in metrics["warnings"]:
        st.caption(f":material/warning: {widgets.escape(warning)}")


def _about(metrics: Mapping[str, Any]) -> str:
    about = f"Measured on {metrics['measured_on']}."
    if metrics.get("base_AP50") is None:
        return about
    return f"{about} Change relative to {widgets.escape(metrics['base'])}."


def _next_steps(name: str, model: Model | None) -> None:
    """Draw the model's name and the next steps; model: None if it was deleted."""
    rest_count = annotate_page.left(services.store().progress(state.scope()))
    left, right = st.columns([3, 1], vertical_alignment="center")
    left.markdown(f"#### :material/check_circle: {widgets.escape(name)}")
    with right:
        _label_rest(name, model, is_main=True)
        if model is not None:
            models_page.download_button(model, key="train.download", width="stretch")
    if model is None:
        left.caption(
            "This model was deleted. Training again "
            f"starts from {widgets.escape(DEFAULT_MODEL)}."
        )
    elif rest_count:
        left.caption(
            f"{widgets.plural(rest_count, 'image')} left to label. The model is on "
            "**Annotate** and **Models**."
        )
    else:
        left.caption(
            "All images are approved. The model is on **Annotate** and **Models**."
        )


def _label_rest(name: str, model: Model | None, *, is_main: bool) -> None:
    rest_count = annotate_page.left(services.store().progress(state.scope()))
    st.button(
        "Label the rest →",
        key="train.label_rest",
        type="primary" if is_main else "secondary",
        width="stretch",
        disabled=not rest_count or model is None,
        on_click=_label_the_rest,
        args=(name,),
    )


def _disappointment(
    name: str, model: Model | None, last: Round, result: Mapping[str, Any]
) -> None:
    """Show that a model is worse, by how much and why, and what to do."""
    base, left, right = widgets.escape(last.base), *st.columns([3, 1])
    name_shown = widgets.escape(name)
    with left:
        if last.is_worse:
            st.markdown(f"#### :material/warning: {name_shown} is worse than {base}")
            st.markdown(
                f"AP50 fell from **{last.base_ap50:.3f}** to **{last.ap50:.3f}** on "
                "the same validation images. The next training run starts from "
                f"**{base}**."
            )
        else:
            st.markdown(f"#### :material/warning: {name_shown} detects almost nothing")
            st.markdown(f"Its AP50 on validation images is **{last.ap50:.3f}**.")
        st.markdown(f"{_why(last, result)} Approve more images or train longer.")
    with right:
        st.page_link(
            "pages/review.py",
            label="**Approve more images**",
            icon=":material/fact_check:",
            width="stretch",
        )
        minutes = setup.longer(last.minutes)
        if minutes is not None:
            st.button(
                f"Train for {widgets.plural(minutes, 'minute')}",
                key="train.longer",
                type="primary",
                icon=":material/model_training:",
                width="stretch",
                on_click=setup.start_longer,
                args=(minutes,),
            )
        _label_rest(name, model, is_main=False)


def _why(last: Round, result: Mapping[str, Any]) -> str:
    counts = result["metrics"].get("boxes", {}).get(TRAIN, {})
    learned = (
        f"It was trained on {widgets.plural(last.images, 'image')} for "
        f"{last.minutes:.0f} min."
    )
    return widgets.escape(" ".join([learned, *few_boxes(counts)]))


@state.reports_errors
def _label_the_rest(model: str) -> None:
    annotate_page.label_with(model)
    widgets.go_to("pages/annotate.py")


def _again(last: Round | None) -> None:
    approved = services.store().image_ids(
        state.scope(), statuses=[ReviewStatus.APPROVED]
    )
    news = news_since(parts_known(state.scope(), last), approved)
    if news >= AGAIN_AFTER:
        st.info(
            f"{widgets.plural(news, 'image')} approved since then. Train again "
            f"below{_from(last)}.",
            icon=":material/refresh:",
        )
    elif news:
        st.caption(
            f":material/refresh: {widgets.plural(news, 'image')} approved since then. "
            f"Training again is worth it from about {AGAIN_AFTER}."
        )


def _from(last: Round | None) -> str:
    """Return the model that the next run starts from, as the end of a sentence."""
    model = cache.model_called(model_to_use(last)) if last is not None else None
    return f", starting from {widgets.escape(model.name)}" if model else ""


def _before_and_after(result: Mapping[str, Any], name: str) -> None:
    examples = [ExampleImage.of_json(entry) for entry in result["examples"]][:_SHOWN]
    records = {
        record.image_id: record
        for record in services.store().records(
            state.scope(), image_ids=[example.image_id for example in examples]
        )
    }
    shown = [example for example in examples if example.image_id in records]
    if not shown:
        return
    base = widgets.escape(result["metrics"]["base"])
    st.markdown(
        f"**Before and after** on validation images: {base} and {widgets.escape(name)}"
    )
    labels = services.store().labels(state.scope())
    cells = st.columns(2 * min(2, len(shown)))
    for place, example in enumerate(shown):
        record = records[example.image_id]
        for offset, boxes in enumerate((example.before, example.after)):
            annotations = [box.annotation() for box in boxes]
            names = labels.with_labels(dict.fromkeys(box.label for box in boxes))
            cell = cells[(2 * place + offset) % len(cells)]
            cell.image(
                cache.labelled_tile(state.scope(), record, names, annotations),
                caption=f"{'after' if offset else 'before'}: "
                f"{widgets.plural(len(annotations), 'box')}",
                width="stretch",
            )


def curves(
    losses: Sequence[tuple[int, float]], evaluations: Sequence[Evaluation]
) -> None:
    """Draw loss and AP50 side by side."""
    left, right = st.columns(2)
    points = thinned(losses) or [
        (evaluation.step, evaluation.loss)
        for evaluation in evaluations
        if evaluation.loss is not None
    ]
    if points:
        left.markdown("**Loss**")
        left.altair_chart(_loss_chart(points), width="stretch")
    measured = [evaluation for evaluation in evaluations if evaluation.ap50 is not None]
    if measured:
        right.markdown("**AP50 on validation images**")
        right.altair_chart(_ap_chart(measured), width="stretch")
    elif losses:
        right.caption("AP50 is measured after the first epoch.")


def _loss_chart(points: Sequence[tuple[int, float]]) -> alt.Chart:
    frame = pd.DataFrame(points, columns=["step", "loss"])
    chart: alt.Chart = (
        alt.Chart(frame)
        .mark_line(color="#4A90D9")
        .encode(
            x=alt.X("step:Q", title="steps", axis=_STEPS),
            y=alt.Y("loss:Q", title=None, scale=alt.Scale(zero=True)),
            tooltip=["step:Q", alt.Tooltip("loss:Q", format=".2f")],
        )
        .properties(height=_CURVE_PX)
    )
    return chart


def _ap_chart(evaluations: Sequence[Evaluation]) -> alt.LayerChart:
    labels = services.store().labels(state.scope())
    rows = [
        {"step": evaluation.step, "what": what, "AP50": value}
        for evaluation in evaluations
        for what, value in ((ALL, evaluation.ap50), *evaluation.per_label.items())
        if value is not None
    ]
    names = [
        ALL,
        *dict.fromkeys(
            name for evaluation in evaluations for name in evaluation.per_label
        ),
    ]
    colours = ["#888888", *(labels.colour_of(name) for name in names[1:])]
    base = alt.Chart(pd.DataFrame(rows)).encode(
        x=alt.X("step:Q", title="steps", axis=_STEPS),
        y=alt.Y("AP50:Q", title=None, scale=alt.Scale(domain=[0, 1])),
        color=alt.Color(
            "what:N",
            scale=alt.Scale(domain=names, range=colours),
            legend=alt.Legend(title=None, orient="right", labelLimit=120),
        ),
        strokeWidth=alt.condition(alt.datum.what == ALL, alt.value(4), alt.value(1.5)),
        tooltip=["what:N", "step:Q", alt.Tooltip("AP50:Q", format=".3f")],
    )
    dots = base.mark_point(filled=True, size=40)
    return alt.LayerChart(layer=[base.mark_line(), dots]).properties(height=_CURVE_PX)
