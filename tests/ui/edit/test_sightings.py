"""What models see, as the browser gets it; and the points it asks about."""

import numpy as np
import pytest

from imagebase.annotation import Size
from imagebase.assist.pointing import PointCandidates
from imagebase.ui.edit.sightings import packed, point_in

SIZE = Size(640, 480)


def seen(count: int) -> PointCandidates:
    random = np.random.default_rng(0)
    corners = random.uniform(0, 200, (count, 4)).astype(np.float32)
    corners[:, 2:] += corners[:, :2]
    return PointCandidates(
        corners,
        random.uniform(0.01, 1, count).astype(np.float32),
        random.choice(["cat", "dog"], count),
        random.choice([640.0, 80.0], count).astype(np.float32),
    )


def test_packed_candidates_come_out_as_they_went_in() -> None:
    candidates = seen(50)
    head, content = packed(candidates, SIZE)
    rows = np.frombuffer(content, "<u2").reshape(-1, 7)
    assert rows.shape == (50, 7)
    edges = rows[:, :4] / 65535 * np.array([*SIZE, *SIZE])
    np.testing.assert_allclose(edges, candidates.xyxy, atol=0.01)
    np.testing.assert_allclose(rows[:, 4] / 65535, candidates.confidence, atol=1e-5)
    assert [head["names"][name] for name in rows[:, 5]] == [*candidates.label]
    assert [head["sides"][side] for side in rows[:, 6]] == [*candidates.view_side]


def test_of_very_many_the_most_confident_are_sent() -> None:
    candidates = seen(2500)
    _, content = packed(candidates, SIZE)
    sent = np.frombuffer(content, "<u2").reshape(-1, 7)[:, 4] / 65535
    assert len(sent) == 2000
    assert sent.min() >= np.sort(candidates.confidence)[499]


def test_nothing_seen_is_sent_as_nothing() -> None:
    assert packed(seen(0), SIZE) == ({"names": [], "sides": []}, b"")


@pytest.mark.parametrize(
    ("wish", "point"),
    [
        ({"image": "a", "point": [3, 4.5]}, (3.0, 4.5)),
        ({"image": "a", "point": [640, 480]}, (640.0, 480.0)),
        ({"image": "b", "point": [3, 4]}, None),
        ({"image": "a", "point": [641, 4]}, None),
        ({"image": "a", "point": [float("nan"), 4]}, None),
        ({"image": "a", "point": ["3", 4]}, None),
        ({"image": "a", "point": [3]}, None),
        ({"image": "a"}, None),
        ("a", None),
        (None, None),
    ],
)
def test_only_points_on_the_image_are_looked_at(
    wish: object, point: tuple[float, float] | None
) -> None:
    assert point_in(wish, "a", SIZE) == point
