"""What a box that joins values says: those of two directions, of several layers, of others."""

from __future__ import annotations

import pytest
from drawing.examples import NETWORKS, batch_of_three, sequence
from drawing.test_records import diagram_of, texts

import tinygradrnn as tg
from tinygradrnn import functional as F
from tinygradrnn import nn
from tinygradrnn.drawing import draw


def joined(loss: tg.Tensor, level: str = "op", **options) -> list[str]:
    boxes = draw(loss, level=level, **options).diagram.boxes
    return [box.text[0] for box in boxes if " ; " in box.text[0] and box.kind != "affine"]


@pytest.mark.parametrize("level", ["op", "gate", "cell"])
def test_both_directions_with_lengths(level):
    out = nn.Elman(3, 4, num_layers=2, bidirectional=True)(batch_of_three(3), lengths=[3, 2, 1])
    each = [f"[s→{t} ; s←{t}]" for t in "₁₂₃"]
    assert joined((out.last**2).sum(), level) == [*each, "[last s→ ; s←₁]"]
    assert joined((out.y**2).sum(), level) == [*each, *each]


def test_both_directions_without_lengths():
    assert joined(NETWORKS["bidirectional"]()) == ["[h→₃ ; h←₁]"]


def test_a_whole_layer_names_no_step():
    assert joined(NETWORKS["bidirectional_stack"](), "layer") == ["[s→ ; s←]", "[s→ ; s←] → stack"]


def test_one_step_for_all():
    loss = NETWORKS["lengths_both_ways"]()
    assert joined(loss, "cell", rolled=True) == ["[last s→ ; s←₁]"]


def test_what_has_no_name_of_its_own_is_not_guessed():
    x = sequence(2)
    one, two = (nn.Elman(3, 4)(x).last for _ in range(2))
    assert joined((F.concatenate([one, two], axis=-1) ** 2).sum()) == ["[ ; ]"]  # both are s₂
    assert joined((F.concatenate([one, one * 2 + 1], axis=-1) ** 2).sum()) == ["[ ; ]"]


@pytest.mark.parametrize("level", ["op", "cell"])
def test_the_last_step_of_each_sequence(level):
    diagram = diagram_of(NETWORKS["lengths"](), level=level)
    assert "last step" in texts(diagram, "input")
    assert [box.text for box in diagram.boxes if "last" in box.text[0].split()[-1:]] == (
        [("last",)] if level == "op" else [("stack → last",)]
    )
