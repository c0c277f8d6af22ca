"""The log of a training: read as it grows, whatever was said twice."""

from pathlib import Path

from imagebase.training import run_folder
from imagebase.training.run_folder import (
    MOST_POINTS,
    Evaluation,
    LogTail,
    Progress,
    read_log,
    thinned,
    write_line,
)


def learning(step: int, loss: float = 1.0) -> Progress:
    return Progress("learning", step, 100, loss=loss)


def judged(step: int) -> Evaluation:
    return Evaluation(step, 1.0, 2.0, None, None, None, None, 1e-3)


def test_repeated_steps_count_once(tmp_path: Path) -> None:
    for step in range(1, 9):
        write_line(tmp_path, learning(step))
        if step % 4 == 0:
            write_line(tmp_path, judged(step))
    for step in range(4, 7):
        write_line(tmp_path, learning(step, loss=0.5))
    write_line(tmp_path, judged(6))
    log = read_log(tmp_path)
    assert log.progress == learning(6, loss=0.5)
    assert log.losses == ((1, 1.0), (2, 1.0), (3, 1.0), (4, 0.5), (5, 0.5), (6, 0.5))
    assert [evaluation.step for evaluation in log.evaluations] == [4, 6]


def test_a_tail_reads_each_line_once_and_only_whole_ones(tmp_path: Path) -> None:
    tail = LogTail(tmp_path)
    assert tail.news() == []
    write_line(tmp_path, learning(1))
    write_line(tmp_path, judged(1))
    assert tail.news() == [learning(1), judged(1)]
    assert tail.news() == []
    write_line(tmp_path, learning(2))
    log = tmp_path / run_folder.LOG
    whole = log.read_bytes()
    log.write_bytes(whole[:-9])
    assert tail.progress() is None
    log.write_bytes(whole)
    assert tail.progress() == learning(2)


def test_a_tail_from_now_on_skips_earlier_lines(tmp_path: Path) -> None:
    write_line(tmp_path, learning(7))
    tail = LogTail(tmp_path, from_now_on=True)
    assert tail.progress() is None
    write_line(tmp_path, learning(3))
    assert tail.progress() == learning(3)


def test_a_long_curve_is_thinned_to_what_a_chart_shows() -> None:
    points = [(step, 1 / step) for step in range(1, 3601)]
    fewer = thinned(points)
    assert len(fewer) == MOST_POINTS
    assert fewer[-1] == points[-1]
    assert thinned(points[:MOST_POINTS]) == points[:MOST_POINTS]
    assert thinned([]) == []
