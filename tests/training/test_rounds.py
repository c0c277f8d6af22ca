"""Training again: validation images stay validation images."""

from imagebase.formats.split import SplitImage
from imagebase.training.data import TRAIN, VAL
from imagebase.training.sources import Round, news_since, next_parts


def image(number: int, *, difference_hash: int | None = None) -> SplitImage:
    seen = (
        number * 0x0101010101010101 * 37 if difference_hash is None else difference_hash
    )
    return SplitImage(f"{number}", {"a": 1}, f"{seen & (2**64 - 1):016x}")


def test_known_images_keep_their_split_and_new_ones_get_one() -> None:
    before = {str(n): VAL if n % 5 == 0 else TRAIN for n in range(20)}
    parts = next_parts([image(n) for n in range(60)], before)
    assert before.items() <= parts.items()
    assert len(parts) == 60
    fresh = [part for name, part in parts.items() if name not in before]
    assert set(fresh) == {TRAIN, VAL}


def test_a_near_duplicate_gets_the_split_of_the_known_image() -> None:
    before = {"1": VAL, "2": TRAIN}
    twins = [
        image(1),
        image(2),
        image(3, difference_hash=int(image(1).difference_hash or "", 16) ^ 1),
    ]
    twins.append(image(4, difference_hash=int(image(2).difference_hash or "", 16) ^ 2))
    parts = next_parts(twins, before)
    assert (parts["3"], parts["4"]) == (VAL, TRAIN)


def test_deleted_images_are_forgotten() -> None:
    assert set(next_parts([image(1)], {"1": TRAIN, "9": VAL})) == {"1"}


def test_the_training_split_is_never_empty() -> None:
    assert next_parts([image(1)], {"1": VAL}) == {"1": TRAIN}


def test_news_are_approved_images_not_trained_on() -> None:
    assert news_since({"1": TRAIN, "2": VAL}, ["1", "2", "3", "4"]) == 2
    assert news_since({}, ["1"]) == 1


def test_a_round_is_read_from_a_result() -> None:
    metrics = {
        "AP50": 0.5,
        "AP50_interval": [0.4, 0.6],
        "images": {"train": 30, "val": 7},
        "minutes": 2.9,
    }
    found = Round.of_result("job", {"model": "m", "metrics": metrics})
    assert found == Round("job", "m", 0.5, (0.4, 0.6), 30, 2.9)
    metrics |= {"base": "b", "base_AP50": 0.3}
    found = Round.of_result("job", {"model": "m", "metrics": metrics})
    assert (found.base, found.base_ap50) == ("b", 0.3)
