"""Modules: what they hold, under which names, and how that is set, saved, frozen and switched."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest

import tinygradrnn as tg
from tinygradrnn import functional as F
from tinygradrnn import nn, optim

X = np.random.default_rng(0).normal(size=(2, 5, 3)).astype("float32")


class Tagger(nn.Module):
    """Parameters of its own, modules, and modules in a list, a tuple and a dict."""

    def __init__(self):
        self.scale = nn.Parameter([2.0])
        self.rnn = nn.RNN(nn.ElmanCell(3, 4))
        self.heads = [nn.Linear(4, 2), nn.Linear(4, 3, bias=False)]
        self.more = {"a": nn.Linear(2, 2)}, F.tanh, "a word"
        self.bias = nn.Parameter([1.0])

    def forward(self, x):
        return self.heads[0](self.rnn(x).y) * self.scale + self.bias


PATHS = ["scale", "rnn.cell.W_x", "rnn.cell.W_s", "rnn.cell.b", "heads.0.W", "heads.0.b"]
PATHS += ["heads.1.W", "more.0.a.W", "more.0.a.b", "bias"]


def test_parameters_come_by_path_in_the_order_of_assignment():
    model = Tagger()
    assert [path for path, _ in model.named_parameters()] == PATHS
    assert all(
        a is b for a, (_, b) in zip(model.parameters(), model.named_parameters(), strict=True)
    )
    assert [parameter.path for parameter in model.parameters()] == PATHS
    assert [p.name for p in model.parameters()][:3] == ["scale", "W_x", "W_s"]
    inside = nn.Sequential(model)
    assert [path for path, _ in inside.named_parameters()] == [f"layers.0.{p}" for p in PATHS]
    assert model.heads[0].W.path == "layers.0.heads.0.W"


def test_children_and_modules():
    model = Tagger()
    assert [name for name, _ in model.children()] == ["rnn", "heads.0", "heads.1", "more.0.a"]
    kinds = [type(module).__name__ for module in model.modules()]
    assert kinds == ["Tagger", "RNN", "ElmanCell", "Linear", "Linear", "Linear"]


def test_what_is_shared_is_listed_once_under_its_first_name():
    class Tied(nn.Module):
        def __init__(self):
            self.embedding = nn.Embedding(7, 4)
            self.body = nn.Linear(4, 4)
            self.again = self.body
            self.readout = nn.Linear(4, 7, bias=False)
            self.readout.W = self.body.W

    model = Tied()
    paths = [path for path, _ in model.named_parameters()]
    assert paths == ["embedding.W", "body.W", "body.b"]
    assert model.readout.W.path == "body.W"
    assert len(list(model.modules())) == 4
    assert list(model.state_dict()) == paths


def test_a_module_that_knows_its_parent():
    child = nn.Linear(2, 2)
    child.parent = nn.Sequential(child)
    assert len(child.parent.parameters()) == 2
    assert "..." in repr(child)
    child.parent.eval()
    assert not child.training


# ---------------------------------------------------------------- values


def test_a_state_dict_goes_back_in():
    model, other = Tagger(), Tagger()
    values = model.state_dict()
    assert list(values) == PATHS
    other.load_state_dict(values)
    for path, array in other.state_dict().items():
        np.testing.assert_array_equal(array, values[path])
    np.testing.assert_array_equal(other(X).numpy(), model(X).numpy())


def test_a_state_dict_is_a_copy_in_both_directions():
    model, other = nn.Linear(3, 2), nn.Linear(3, 2)
    values = model.state_dict()
    kept = {path: array.copy() for path, array in values.items()}
    other.load_state_dict(values)
    model.load_state_dict(values)
    model(X).sum().backward()
    optim.SGD(model.parameters(), 0.1).step()
    for path, array in kept.items():
        np.testing.assert_array_equal(values[path], array)
        np.testing.assert_array_equal(other.state_dict()[path], array)
    values["W"][...] = 7
    assert not (other.W.numpy() == 7).any()


def test_load_state_dict_lists_all_that_is_wrong_and_changes_nothing():
    model = Tagger()
    before = model.state_dict()
    values = model.state_dict()
    del values["scale"], values["heads.0.b"]
    values["rnn.cell.W_x"] = np.zeros((4, 3))
    values["rnn.cell.W_h"] = np.zeros((4, 4))
    values["bias"] = np.array([5.0])
    with pytest.raises(ValueError, match="load_state_dict of Tagger") as caught:
        model.load_state_dict(values)
    assert str(caught.value).splitlines()[1:] == [
        "  missing: scale (1,)",
        "  missing: heads.0.b (2,)",
        "  unexpected: rnn.cell.W_h (4, 4)",
        "  wrong shape: rnn.cell.W_x is (4, 3), expected (3, 4)",
    ]
    for path, array in model.state_dict().items():
        np.testing.assert_array_equal(array, before[path])


def test_assigning_values_keeps_the_parameter_and_copies():
    layer = nn.Linear(3, 2)
    parameter, values = layer.W, np.ones((3, 2), "float32")
    loss = layer(X).sum()
    layer.W = values
    assert layer.W is parameter
    layer(X).sum().backward()
    optim.SGD([parameter], 0.1).step()
    assert (values == 1).all()
    with pytest.raises(tg.StaleGraphError, match=r"'W' .* was changed after"):
        loss.backward()
    layer.W = [[0, 0], [0, 0], [1, 1]]
    assert layer.W.dtype == "float32"
    replaced = nn.Parameter(np.zeros((3, 2)))
    layer.W = replaced
    assert layer.W is replaced
    layer.b = None
    np.testing.assert_array_equal(layer(X).numpy(), np.zeros((2, 5, 2)))
    assert [path for path, _ in layer.named_parameters()] == ["W"]


def test_astype_and_to_work_in_place_and_return_self():
    model = Tagger()
    held = model.parameters()
    model(X).sum().backward()
    assert model.astype("float64") is model
    assert all(a is b for a, b in zip(model.parameters(), held, strict=True))
    assert {p.dtype.name for p in held} == {"float64"}
    assert all(p.grad is None for p in held)
    assert model(X.astype("float64")).dtype == "float64"
    assert model.to("numpy") is model
    with pytest.raises(TypeError, match="astype: only floats"):
        model.astype("int32")
    assert {p.dtype.name for p in held} == {"float64"}


def test_an_optimiser_goes_on_after_astype():
    model = nn.Linear(3, 2)
    adam = optim.Adam(model.parameters(), 0.1)
    for dtype in ("float32", "float64", "float64"):
        model.astype(dtype)
        model(X.astype(dtype)).sum().backward()
        adam.step()
        assert {a.dtype.name for slots in adam.slots for a in slots.values()} == {dtype}


def test_a_copied_parameter_is_another_parameter():
    parameter = nn.Parameter([1.0], name="w")
    parameter.requires_grad = False
    for other in (copy.copy(parameter), copy.deepcopy(parameter)):
        other.data[0] = 5
        assert parameter.item() == 1
        assert (other.name, other.requires_grad) == ("w", False)


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))])
def test_a_copy_of_a_model_is_another_model(duplicate):
    model = nn.Sequential(nn.Embedding(5, 3), nn.LSTM(3, 4), nn.Linear(4, 5))
    model.layers[2].W.requires_grad = False
    model.layers[0].again = model.layers[0].W
    other = duplicate(model)
    ids = np.array([[1, 2, 4]])
    np.testing.assert_array_equal(other(ids).numpy(), model(ids).numpy())
    assert list(other.state_dict()) == list(model.state_dict())
    assert [p.path for p in other.parameters()] == [p.path for p in model.parameters()]
    assert not other.layers[2].W.requires_grad
    assert other.layers[0].again is other.layers[0].W
    graph = tg.Graph(other(ids))
    own = [id(p) for p in other.parameters()]
    assert all(id(p) in own for p in graph.parameters.values())
    other(ids).sum().backward()
    assert all(p.grad is None for p in model.parameters())
    optim.SGD(other.parameters(), 1.0).step()
    assert (other.layers[2].b.numpy() != model.layers[2].b.numpy()).all()


# ---------------------------------------------------------------- modes


def test_train_and_eval_reach_every_module():
    model = nn.Sequential(nn.Dropout(0.5), nn.LSTM(3, 4, dropout=0.5), Tagger(), nn.Linear(2, 2))
    assert model.eval() is model
    assert not any(module.training for module in model.modules())
    assert model.train() is model
    assert all(module.training for module in model.modules())


def test_what_is_frozen_gets_no_gradient_and_is_left_by_the_optimiser():
    model = Tagger()
    sgd = optim.SGD(model.parameters(), 0.1, momentum=0.9, weight_decay=0.1)
    model(X).sum().backward()
    sgd.step()
    model(X).sum().backward()
    assert model.rnn.freeze() is model.rnn
    frozen = model.rnn.state_dict()
    assert all(p.grad is None for p in model.rnn.parameters())
    for _ in range(2):
        sgd.zero_grad()
        model(X).sum().backward()
        sgd.step()
    assert all(p.grad is None for p in model.rnn.parameters())
    assert model.heads[0].W.grad is not None
    for path, array in model.rnn.state_dict().items():
        np.testing.assert_array_equal(array, frozen[path])
    model.rnn.unfreeze()
    model(X).sum().backward()
    sgd.step()
    assert (model.rnn.cell.W_x.numpy() != frozen["cell.W_x"]).all()


def test_thawing_layer_by_layer():
    """The chain-thaw of DeepMoji (note set 000): one layer at a time, then all."""
    model = nn.Sequential(nn.LSTM(3, 4), nn.LSTM(4, 4), nn.Last(), nn.Linear(4, 2))
    adam = optim.Adam(model.parameters(), 0.01)
    for thawed in (3, 0, 1):
        model.freeze()
        model[thawed].unfreeze()
        before = model.state_dict()
        adam.zero_grad()
        (model(X) ** 2).sum().backward()
        adam.step()
        for path, array in model.state_dict().items():
            changed = (array != before[path]).any()
            assert changed == path.startswith(f"layers.{thawed}."), path


def test_a_wholly_frozen_model_says_so_in_backward():
    model = Tagger().freeze()
    with pytest.raises(ValueError, match="frozen"):
        model(X).sum().backward()


# ---------------------------------------------------------------- words


def test_repr_shows_the_structure():
    assert repr(nn.Linear(3, 2)) == "Linear(W (3, 2), b (2,))"
    assert repr(nn.RNN(nn.ElmanCell(3, 4, bias=False))) == (
        "RNN(cell: ElmanCell(W_x (3, 4), W_s (4, 4)))"
    )
    assert "heads.1: Linear(W (4, 3))" in repr(Tagger())


def test_a_module_without_forward():
    class Half(nn.Module):
        pass

    with pytest.raises(TypeError, match=r"Half has no forward\(\); define it to call the module"):
        Half()(1)


def test_modules_are_scopes():
    model = nn.Sequential(Tagger())
    graph = tg.Graph(model(X))
    scopes = {node.scope for node in graph.nodes if node.op == "matmul"}
    assert ("Sequential", "layers.0", "heads.0") in scopes
    assert any("rnn" in scope and "ElmanCell" in scope for scope in scopes)
    ambiguous = {"layers.0.rnn.cell.b", "layers.0.heads.0.b"}  # two are called b
    assert set(graph.parameters) == {"scale", "W_x", "W_s", "W", "bias", *ambiguous}


def test_a_parameter_is_a_float():
    with pytest.raises(TypeError, match="Parameter: only floats can require a gradient"):
        nn.Parameter([1, 2])
    values = np.ones(3)
    parameter = nn.Parameter(values)
    values[...] = 5
    assert parameter.dtype == "float64"
    assert (parameter.numpy() == 1).all()
