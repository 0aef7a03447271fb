"""Who is next among those that wait."""

from collections.abc import Hashable

from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.policy.line import Line


def test_first_in_first_out() -> None:
    """Who joined first is first, until he leaves; who left in the middle is not missed."""
    line: Line[str] = Line()
    alone = [line.join(name, number, "") for number, name in enumerate("abcd")]
    assert alone == [True, False, False, False]
    assert (line.firsts(), len(line), "c" in line) == (["a"], 4, True)
    line.leave("a")
    assert line.firsts() == ["b"]
    line.leave("c")
    line.leave("b")

    assert (line.firsts(), line.everyone(), "c" in line) == (["d"], ["d"], False)


def test_a_lane_for_each_that_is_ruled_out() -> None:
    """What one lane's first cannot use may be right for another's; who came first is asked first."""
    line: Line[str] = Line()
    for name, came, without in (("b", 2.0, "x"), ("c", 3.0, ""), ("d", 4.0, "x"), ("a", 1.0, "y")):
        line.join(name, came, without)

    assert line.firsts() == ["a", "b", "c"]
    line.leave("b")
    assert line.firsts() == ["a", "c", "d"]
    assert line.join("e", 5.0, "") is False
    for name in "acde":
        line.leave(name)
    assert (line.firsts(), len(line)) == ([], 0)
    assert line.join("f", 6.0, "") is True


moves = st.lists(st.tuples(st.booleans(), st.integers(0, 9), st.sampled_from(["", "x", "y"])), max_size=60)


@settings(derandomize=True, deadline=None)
@given(moves)
def test_like_a_plain_list(moves: list[tuple[bool, int, Hashable]]) -> None:
    """The firsts are those that a plain list, walked from its start, has first of each lane."""
    line: Line[int] = Line()
    plain: list[tuple[int, Hashable]] = []
    for number, (joins, which, without) in enumerate(moves):
        if joins:
            line.join(number, number, without)
            plain.append((number, without))
        elif plain:
            who, _ = plain.pop(which % len(plain))
            line.leave(who)
        first_of = {lane: who for who, lane in reversed(plain)}

        assert line.firsts() == sorted(first_of.values())
        assert len(line) == len(plain)
