"""NAME[@SIZE][+accurate][+f32|+bf16], and labels by name, synonym and choice."""

import pytest

from imagebase.detection.label_mapping import map_labels
from imagebase.errors import EvaluationError
from imagebase.evaluation.detection_pass import ModelSpec, parse_model_spec


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ("a", ModelSpec("a", ("a",))),
        ("a@608", ModelSpec("a@608", ("a",), 608)),
        ("a+accurate", ModelSpec("a+accurate", ("a",), is_accurate=True)),
        ("a+f32", ModelSpec("a+f32", ("a",), precision="f32")),
        (
            "a@320+accurate+bf16",
            ModelSpec("a@320+accurate+bf16", ("a",), 320, True, "bf16"),
        ),
        ("a+bf16+accurate", ModelSpec("a+bf16+accurate", ("a",), None, True, "bf16")),
        (
            "me@home/c++/m.onnx",
            ModelSpec("me@home/c++/m.onnx", ("me@home/c++/m.onnx",)),
        ),
        (" a ", ModelSpec("a", ("a",))),
        ("a&b+accurate", ModelSpec("a&b+accurate", ("a", "b"), is_accurate=True)),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_spec(spec: str, expected: ModelSpec) -> None:
    assert parse_model_spec(spec) == expected


@pytest.mark.parametrize(
    ("spec", "says"),
    [
        ("a@600", "try 608"),
        ("a@0", "try 32"),
        ("a@4096", "try 2048"),
        ("a+f32+bf16", "two precisions"),
        ("+accurate", "names no model"),
        ("", "names no model"),
        ("a&", "names no model"),
    ],
)
def test_spec_that_cannot_be(spec: str, says: str) -> None:
    with pytest.raises(EvaluationError, match=says):
        parse_model_spec(spec)


def test_labels_are_mapped_by_choice_name_and_synonym() -> None:
    mapping = map_labels(
        ["person", "Dog", "tvmonitor", "aeroplane", "lorry", "tree", "cat"],
        ["person", "dog", "tv", "airplane", "truck", "boat", "cat"],
        choices={"lorry": "truck", "cat": None},
    )
    assert mapping.names == {
        "person": "person",
        "Dog": "dog",
        "tvmonitor": "tv",
        "aeroplane": "airplane",
        "lorry": "truck",
    }
    assert mapping.unmapped == ("tree", "cat")
    assert mapping.unknown == ("boat", "cat")


def test_a_label_of_the_truth_is_itself_before_it_is_a_synonym() -> None:
    mapping = map_labels(["sofa", "couch"], ["sofa", "couch"])
    assert mapping.names == {"sofa": "sofa", "couch": "couch"}


def test_words_may_be_joined_differently() -> None:
    assert map_labels(["traffic_light"], ["Traffic light"]).names == {
        "traffic_light": "Traffic light"
    }
