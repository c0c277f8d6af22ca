"""metrics.json, and a report that needs nothing but itself."""

import json
import re
from html.parser import HTMLParser

import numpy as np
import pytest

from imagebase.detection.label_mapping import LabelMapping
from imagebase.evaluation.arrays import Predictions, Truth
from imagebase.evaluation.average_precision import NAMES
from imagebase.evaluation.comparison import ModelResult, image_changes, judge_models
from imagebase.evaluation.detection_pass import Cost, DetectionPass
from imagebase.evaluation.figures import (
    label_rows,
    model_rows,
    notes_about,
    short,
    signed,
    summary_sentences,
)
from imagebase.evaluation.report import ReportHeader, report
from imagebase.evaluation.storage import metrics
from imagebase.images.decode import RgbArray
from tests.evaluation.builders import found, truth

A = (10.0, 10.0, 60.0, 60.0)
B = (100.0, 100.0, 150.0, 150.0)
EVIL = "<script>alert(1)</script>"


def passed(
    spec: str, said: Predictions, mapping: LabelMapping | None = None
) -> DetectionPass:
    known = mapping or LabelMapping({"cat": "cat"}, (), ())
    return DetectionPass(spec, f"{spec}-1", said, known, Cost(20.0, 0.5, 9_000_000), {})


def two(labels: tuple[str, str] = ("cat", "dog")) -> list[ModelResult]:
    """Return a model that is right on both images, and one that mixes up the second."""
    cat, dog = labels
    things = truth((0, cat, A), (1, dog, B), images=2, labels=labels)
    good = found((0, cat, A, 0.9), (1, dog, B, 0.8), labels=labels)
    bad = found((0, cat, A, 0.9), (1, cat, B, 0.8), labels=labels)
    return judge_models(things, [passed("good", good), passed("bad", bad)])


def grey(image: int) -> RgbArray:
    return np.full((50, 50, 3), 120, np.uint8)


def test_metrics_have_what_the_command_promises() -> None:
    document = json.loads(json.dumps(metrics(two())))
    assert list(document) == ["good", "bad"]
    assert set(NAMES) <= set(document["good"])
    assert document["good"]["AP"] == pytest.approx(1)
    assert document["good"]["AP_small"] == -1  # COCO's word for nothing to judge
    assert document["good"]["per_label"]["cat"] | {} == {
        "AP": pytest.approx(1),
        "AP50": pytest.approx(1),
        "images": 1,
        "boxes": 1,
        "precision": 1,
        "recall": 1,
        "F1": 1,
    }
    assert document["good"]["images_per_second"] == 20
    assert document["bad"]["recall"] == 0.5
    assert document["bad"]["clicks_per_image"] == 0.5


def test_metrics_of_another_programs_detections_have_no_speed() -> None:
    things = truth((0, "cat", A))
    said = found((0, "cat", A, 0.9))
    theirs = DetectionPass("x", "x", said, LabelMapping({}, (), ()), None, {})
    assert metrics(judge_models(things, [theirs]))["x"]["images_per_second"] is None


class _Checker(HTMLParser):
    """Notes the tags, and where each would fetch something from."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.sources: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.sources += [v or "" for name, v in attrs if name in ("src", "href")]


def checked(text: str) -> _Checker:
    checker = _Checker()
    checker.feed(text)
    return checker


def test_report_fetches_nothing_and_runs_nothing() -> None:
    text = report(ReportHeader("Title", "today"), two(), grey)
    checker = checked(text)
    assert "script" not in checker.tags
    assert "link" not in checker.tags
    assert all(
        source.startswith("data:image/jpeg;base64,") for source in checker.sources
    )
    assert checker.sources  # the image that the bad one got wrong
    assert not re.search(r"url\(|@import|https?:", text)


def test_report_shows_names_as_text() -> None:
    results = two((EVIL, "dog"))
    unmapped = LabelMapping({}, (EVIL,), ())
    truth_of = results[0].truth
    more = judge_models(truth_of, [passed(EVIL, results[0].passed.found, unmapped)])
    text = report(ReportHeader(EVIL, EVIL, (EVIL,)), [*results, *more], grey)
    assert EVIL not in text
    assert "script" not in checked(text).tags
    assert "&lt;script&gt;" in text


def test_report_tells_what_went_wrong_in_words() -> None:
    text = report(ReportHeader("Title", "today"), two(), grey)
    assert "wrong label: dog detected as cat 80 %" in text
    assert "Only 2 images" in text


def test_report_has_the_tables_of_the_page() -> None:
    results = two()
    text = report(ReportHeader("Title", "today"), results, grey)
    cells = {cell for row in model_rows(results) for cell in row.values()}
    assert len(cells) > 5
    assert {cell for cell in cells if f"<td>{cell}</td>" not in text} == set()
    assert all(f"<td>{row['label']}</td>" in text for row in label_rows(results[1]))


def test_summary_names_the_best_model_and_the_clicks_without_one() -> None:
    verdict, by_hand = summary_sentences(two())
    assert verdict.startswith("good is")
    assert "bad" in verdict
    assert "2.0 clicks" in by_hand


def test_notes_leave_out_labels_that_nobody_asked_about() -> None:
    mapping = LabelMapping({"aeroplane": "cat"}, ("boat",), ("dog",))
    (model,) = judge_models(
        truth((0, "cat", A)), [passed("m", found((0, "cat", A, 0.9)), mapping)]
    )
    notes = " ".join(notes_about(model))
    assert all(name in notes for name in ("aeroplane as cat", "boat", "dog"))
    assert "boat" not in " ".join(notes_about(model, brief=True))


def test_report_without_pictures_is_whole() -> None:
    assert "<figure>" not in report(
        ReportHeader("Title", "today"), two(), lambda _: None
    )


@pytest.mark.parametrize(
    ("value", "text"), [(0.2641, ".264"), (1.0, "1.000"), (None, "–"), (0.0, ".000")]
)
def test_short(value: float | None, text: str) -> None:
    assert short(value) == text


def test_signed() -> None:
    assert signed(-0.0761) == "−.076"
    assert signed(0.02) == "+.020"


def test_images_that_got_better_and_worse() -> None:
    good, bad = two()
    (change,) = image_changes(bad, good)
    assert (change.name, change.before, change.after) == ("1.jpg", 1, 0)
    (back,) = image_changes(good, bad)
    assert back.gained == -1


def test_only_images_that_both_judged_are_compared() -> None:
    good, bad = two()
    part: Truth = bad.truth.only([0])
    first = judge_models(part, [passed("bad", bad.passed.found.only([0], of=2))])
    assert image_changes(first[0], good) == []


def test_another_threshold_keeps_what_does_not_depend_on_it() -> None:
    good, _ = two()
    figures = good.figures
    again = good.at(0.85)
    assert again.figures is figures
    assert again.point().missed == 1
