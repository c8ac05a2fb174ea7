"""The layout of one frame: rows, columns, ways."""

from __future__ import annotations

import pytest

from tinygradrnn.drawing.columns import assign_columns
from tinygradrnn.drawing.frames import Frame, Item, Net, Port, State
from tinygradrnn.drawing.layout import lay_out
from tinygradrnn.drawing.rows import assign_rows
from tinygradrnn.drawing.stamping import joined

pytestmark = pytest.mark.numpy_only("about places, not about values")

BOX = Item(40, 26)


def frame_of(names: str, wires: list[str], states: str = "", **options) -> tuple[Frame, dict]:
    """Items by name; a wire is ``"a b c"``: from a to b and c, ``>s`` enters for state s, ``s>``
    leaves, ``_0`` is rail 0.
    """
    item = {name: n for n, name in enumerate(names.split())}
    order = states.split()

    def end(name: str):
        if name.startswith(">"):
            return Port("entry", order.index(name[1:]))
        if name.endswith(">"):
            return Port("exit", order.index(name[:-1]))
        if name.startswith("_"):
            return Port("rail", int(name[1:]))
        if name.startswith("^"):
            return Port("bus", int(name[1:]))
        return item[name]

    nets = []
    for wire in wires:
        source, *sinks = map(end, wire.split())
        nets.append(Net(source, tuple(sinks)))
    frame = Frame(
        tuple(BOX for _ in item),
        tuple(nets),
        tuple(State(item[name]) for name in order),
        **options,
    )
    return frame, item


LSTM = (
    "x xW hW a z si i sf f sg g m1 m2 c# c so o th h# h",
    [
        *("x xW", "xW a", "hW a", "a z", "z si sf sg so", "si i", "sf f", "sg g", "so o"),
        *("f m1", "i m2", "g m2", "m1 c#", "m2 c#", "c# c", "c th c>", "th h#", "o h#", "h# h"),
        *("h h>", ">c m1", ">h hW", "_0 xW", "_1 hW", "_2 z"),
    ],
    "c h",
)


@pytest.fixture
def lstm():
    return frame_of(*LSTM, rails=(0, 0, 0))


def test_lanes_of_an_lstm_are_rows(lstm):
    frame, item = lstm
    rows = assign_rows(frame)
    assert {rows.of[item[n]] for n in ("m1", "c#", "c")} == {6}
    assert {rows.of[item[n]] for n in ("hW", "a", "z", "h")} == {2}


def test_the_way_from_memory_to_output_descends(lstm):
    frame, item = lstm
    rows = assign_rows(frame)
    assert rows.descending == {item["th"], item["h#"]}
    heights = [rows.of[item[n]] for n in ("c", "th", "h#", "h")]
    assert heights == sorted(heights, reverse=True)
    columns = assign_columns(frame, rows)
    assert len({columns.of[item[n]] for n in ("c", "th", "h#", "h")}) == 1


def test_gates_stand_in_one_row_above_their_slices(lstm):
    frame, item = lstm
    rows, columns = assign_rows(frame), assign_columns(frame, assign_rows(frame)).of
    assert len({rows.of[item[n]] for n in "ifgo"}) == 1
    for gate in "ifgo":
        assert columns[item[gate]] == columns[item[f"s{gate}"]]
        assert rows.of[item[gate]] == rows.of[item[f"s{gate}"]] + 1


def test_wires_of_an_lstm(lstm):
    frame, _ = lstm
    placed = lay_out(frame)
    points = [branch.points for net in placed.nets for branch in net]
    bends = sum(len(p) - 2 for p in points)
    assert bends <= 6  # i → ×, two of the slices, the tap of W_x
    assert len(set(placed.rails)) == 3
    assert max(placed.rails) < 0


def test_a_mirrored_frame_is_the_mirror_image(lstm):
    frame, _ = lstm
    states = tuple(State(s.item, backward=True) for s in frame.states)
    mirrored = Frame(frame.items, frame.nets, states, rails=frame.rails)
    rows = assign_rows(frame)
    ahead, back = assign_columns(frame, rows), assign_columns(mirrored, rows)
    assert back.of == [ahead.total - 1 - column for column in ahead.of]


def test_equal_frames_are_laid_out_once(lstm):
    again, _ = frame_of(*LSTM, rails=(0, 0, 0))
    assert lay_out(lstm[0]) is lay_out(again)


def test_a_state_that_does_not_fit_into_a_row_is_still_straight_between_the_steps():
    """s' = u + tanh(u), u = s W: the sum stands above the lane and comes down to the state."""
    frame, item = frame_of("u t + s", [">s u", "u t +", "t +", "+ s", "s s>"], "s")
    rows = assign_rows(frame)
    assert rows.of[item["u"]] == rows.of[item["s"]] < rows.of[item["t"]] < rows.of[item["+"]]


def test_lanes_of_independent_states_do_not_share_a_row():
    frame, item = frame_of("a b", [">a a", ">b b", "a a>", "b b>"], "a b")
    rows = assign_rows(frame)
    assert rows.of[item["a"]] != rows.of[item["b"]]


def test_groups_are_stacked():
    frame, item = frame_of("a b c", ["a b", "b c"])
    items = tuple(Item(40, 26, group) for group in (0, 0, 1))
    rows = assign_rows(Frame(items, frame.nets))
    assert [rows.of[item[n]] for n in "abc"] == [0, 1, 2]


def test_a_box_above_many_is_as_wide_as_they_are():
    names = "abcdefghij"
    frame, item = frame_of(" ".join(names), [f"{n} j" for n in names[:-1]])
    items = tuple(
        Item(40, 26, ports=9, spans=True) if n == item["j"] else BOX for n in range(len(names))
    )
    placed = lay_out(Frame(items, frame.nets))
    assert all(len(b.points) == 2 for net in placed.nets for b in net)


def test_more_wires_than_sides():
    """Nine wires end at one small box: it is made wider."""
    names = "abcdefghij"
    frame, _ = frame_of(" ".join(names), [f"{n} j" for n in names[:-1]])
    assert len(lay_out(frame).nets) == 9


def test_buses_run_above_everything():
    frame, _ = frame_of("a b", ["a b ^0", "b ^1"], buses=2)
    placed = lay_out(frame)
    assert min(placed.buses) > placed.height


def test_two_ways_are_joined_by_an_elbow():
    assert joined(((0, 0), (10, 0)), ((20, 0), (30, 0))) == ((0, 0), (30, 0))
    assert joined(((0, 0), (10, 0)), ((20, 8), (30, 8))) == ((0, 0), (15, 0), (15, 8), (30, 8))
    assert joined((), ((1, 1), (2, 1))) == ((1, 1), (2, 1))
