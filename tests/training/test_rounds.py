"""Training again: who was held out stays held out."""

from imagebase.formats.split import SplitImage
from imagebase.training.data import TRAIN, VAL
from imagebase.training.sources import Round, news_since, next_parts


def image(number: int, *, difference_hash: int | None = None) -> SplitImage:
    seen = (
        number * 0x0101010101010101 * 37 if difference_hash is None else difference_hash
    )
    return SplitImage(f"{number}", {"a": 1}, f"{seen & (2**64 - 1):016x}")


def test_known_images_keep_their_part_and_new_ones_are_dealt_out() -> None:
    before = {str(n): VAL if n % 5 == 0 else TRAIN for n in range(20)}
    parts = next_parts([image(n) for n in range(60)], before)
    assert before.items() <= parts.items()
    assert len(parts) == 60
    fresh = [part for one, part in parts.items() if one not in before]
    assert set(fresh) == {TRAIN, VAL}


def test_a_near_duplicate_goes_with_the_image_that_is_known() -> None:
    before = {"1": VAL, "2": TRAIN}
    twins = [
        image(1),
        image(2),
        image(3, difference_hash=int(image(1).difference_hash or "", 16) ^ 1),
    ]
    twins.append(image(4, difference_hash=int(image(2).difference_hash or "", 16) ^ 2))
    parts = next_parts(twins, before)
    assert (parts["3"], parts["4"]) == (VAL, TRAIN)


def test_images_that_are_gone_are_forgotten() -> None:
    assert set(next_parts([image(1)], {"1": TRAIN, "9": VAL})) == {"1"}


def test_something_is_always_learned_from() -> None:
    assert next_parts([image(1)], {"1": VAL}) == {"1": TRAIN}


def test_news_are_approved_images_that_nobody_learned_from() -> None:
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
