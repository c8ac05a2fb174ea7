"""Every plot can be read in grey, is whole, and comes out the same each time."""

from __future__ import annotations

import io
import subprocess
import sys

import numpy as np
import pytest
from analysis.helpers import N_IN, H

import tinygradrnn as tg
from tinygradrnn import analysis, nn
from tinygradrnn import functional as F
from tinygradrnn.analysis import plots


def flow():
    rnn = nn.LSTM(N_IN, H, num_layers=2)
    return analysis.gradient_flow((rnn(np.ones((1, 6, N_IN), "float32")).last ** 2).sum())


def history():
    model, kept = nn.MLP([3, 4, 4, 4, 4, 4, 4, 2], "tanh"), analysis.GradientHistory()
    for scale in (1, 2, 3):
        kept.record((model(np.full((5, 3), scale, "float32")) ** 2).mean())
    return kept


def recurrent_history():
    rnn, kept = nn.GRU(N_IN, H, num_layers=2), analysis.GradientHistory()
    for steps in (3, 5):
        kept.record((rnn(np.ones((1, steps, N_IN), "float32")).last ** 2).sum())
    return kept


def products():
    cell = nn.ElmanCell(N_IN, H).astype("float64")
    return analysis.jacobian_products(cell, None, np.ones((6, N_IN)))


def table():
    cell, losses = nn.ElmanCell(N_IN, H), []
    s = cell.initial_state(1)
    for t in range(1, 5):
        with tg.timestep(t):
            s = cell.transition(s, tg.tensor(np.ones((1, N_IN), "float32")))
            losses.append((s**2).sum())
    return analysis.contribution_table(losses, cell.W_s)


def surface():
    w = nn.Parameter(np.array([0.5, 0.2]), name="w")
    return analysis.loss_surface(lambda: ((w - 0.1) ** 2).sum(), (w, 0), (w, 1))


def gates():
    rnn = nn.RNN(nn.LSTMCell(N_IN, H))
    x = np.random.default_rng(0).normal(size=(1, 8, N_IN)).astype("float32")
    return analysis.gate_activity(rnn, x, text=["a $b$c_"[:7] + "^"])


PLOTS = {
    "flow": lambda: flow().plot(),
    "history": lambda: history().plot(),
    "history over time": lambda: recurrent_history().plot("time"),
    "products": lambda: products().plot(),
    "table": lambda: table().plot(),
    "surface": lambda: surface().plot(path=[(0, 0), (0.1, 0.2)]),
    "solid surface": lambda: surface().plot("surface"),
    "gates": lambda: gates().plot(),
    "characters": lambda: gates().by_character("f").plot(),
    "recurrence": lambda: analysis.scalar_recurrence(1.01, 50).plot(
        analysis.scalar_recurrence(0.9, 50)
    ),
    "jacobians": lambda: analysis.state_jacobians(
        nn.ElmanCell(N_IN, H), None, np.ones((5, N_IN), "float32")
    ).plot(),
}


@pytest.fixture(params=PLOTS, scope="module")
def figure(request):
    tg.manual_seed(0)
    return PLOTS[request.param]()


def rendered(figure, **options):
    file = io.BytesIO()
    figure.savefig(file, **options)
    return file.getvalue()


def pixels(figure):
    """The lightness (rows, columns) of the rendered figure, 0 black … 1 white."""
    from matplotlib.image import imread

    image = imread(io.BytesIO(rendered(figure, format="png", dpi=100)))[..., :3]
    linear = np.where(image <= 0.04045, image / 12.92, ((image + 0.055) / 1.055) ** 2.4)
    light = linear @ [0.2126, 0.7152, 0.0722]
    return np.where(light > 0.008856, 1.16 * np.cbrt(light) - 0.16, 9.033 * light)


# ---------------------------------------------------------------- grey


def test_the_colours_rise_in_lightness():
    from matplotlib import colormaps

    shades = [plots.luminance(colour) for colour in colormaps[plots.COLOURS](np.linspace(0, 1, 64))]
    assert (np.diff(shades) > 0).all()
    assert shades[0] < 0.03
    assert shades[-1] > 0.6


def test_heat_maps_use_them(figure):
    images = [image for axes in figure.axes for image in axes.images]
    assert {image.get_cmap().name for image in images} <= {plots.COLOURS}


def test_what_is_in_colour_is_in_grey(figure):
    """Lines that share axes differ in lightness, or in dash or marker."""
    for axes in figure.axes:
        looks = [
            (line.get_linestyle(), line.get_marker(), str(line._dash_pattern))
            for line in axes.lines
            if line.get_label()[0] != "_"
        ]
        assert len(looks) == len(set(looks))


def test_cells_in_grey_are_in_the_order_of_their_numbers():
    """Rendered, made grey, and read back at the centre of every cell."""
    figure = plots.new_figure(6, 4)
    axes = figure.subplots()
    values = np.array([[1e-6, 1e-4, 1e-2], [1e-1, 1.0, 0.0], [10.0, np.nan, 100.0]])
    plots.heat_map(axes, values)
    grey = pixels(figure)
    plain = np.isfinite(values) & (values > 0)

    def cell(row, column):
        x, y = axes.transData.transform([(column - 0.4, row + 0.4), (column + 0.4, row - 0.4)]).T
        height = figure.bbox.height
        return grey[int(height - y.max()) : int(height - y.min()), int(x.min()) : int(x.max())]

    shades = {values[at]: cell(*at) for at in zip(*np.nonzero(plain), strict=True)}
    assert all(np.ptp(shade) < 0.01 for shade in shades.values())
    means = [shades[value].mean() for value in sorted(shades)]
    assert (np.diff(means) > 0.05).all()
    zero, none = cell(1, 2), cell(2, 1)
    for hatched in (zero, none):  # no plain cell has a pattern
        assert np.ptp(hatched) > 0.3
    rows = min(len(zero), len(none))
    columns = min(zero.shape[1], none.shape[1])
    assert np.abs(zero[:rows, :columns] - none[:rows, :columns]).mean() > 0.02


def test_numbers_stand_out_from_their_cells():
    figure = plots.new_figure(6, 4)
    axes = figure.subplots()
    values = np.geomspace(1e-3, 1e3, 12).reshape(3, 4)
    image = plots.heat_map(axes, values)
    plots.write_numbers(axes, image, values)
    assert len(axes.texts) == 12
    from matplotlib.colors import to_rgb

    for text, value in zip(axes.texts, values.ravel(), strict=True):
        assert text.get_text() == plots.short(value)
        ink = plots.luminance(to_rgb(text.get_color()))
        paper = plots.luminance(image.to_rgba(value))
        assert (max(ink, paper) + 0.05) / (min(ink, paper) + 0.05) > 3.5
    crowded = plots.new_figure(3, 2)
    axes = crowded.subplots()
    values = np.ones((30, 30))
    plots.write_numbers(axes, plots.heat_map(axes, values), values)
    assert not axes.texts


# ---------------------------------------------------------------- files


def test_nothing_is_cut(figure):
    figure.draw_without_rendering()
    inside = figure.bbox
    box = figure.get_tightbbox().transformed(figure.dpi_scale_trans)
    assert box.x0 >= -1
    assert box.y0 >= -1
    assert box.x1 <= inside.x1 + 1
    assert box.y1 <= inside.y1 + 1
    edge = pixels(figure)
    assert min(edge[0].min(), edge[-1].min(), edge[:, 0].min(), edge[:, -1].min()) > 0.95


def test_axes_say_what_they_show(figure):
    for axes in figure.axes:
        shown = [axes.get_xlabel(), axes.get_ylabel(), axes.get_title(), axes.get_title("left")]
        assert any(shown)


def test_a_plot_is_the_same_file_twice(tmp_path):
    def plot():
        figure = plots.new_figure(2, 2)
        plots.heat_map(figure.subplots(), np.array([[1.0, 0.0], [np.nan, 2.0]]))
        return figure

    for kind in ("svg", "pdf", "png"):
        one, two = (tmp_path / f"{n}.{kind}" for n in (1, 2))
        plot().savefig(one)
        plot().savefig(str(two))
        assert one.read_bytes() == two.read_bytes(), kind
    again = rendered(plot(), format="svg", metadata={"Title": "mine"})
    assert b"mine" in again
    assert b"dc:date" not in again


def test_plots_need_no_pyplot():
    code = (
        "import sys; from tinygradrnn.analysis import scalar_recurrence as s; "
        "s(1.0, 3).plot(); print('matplotlib.pyplot' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


# ---------------------------------------------------------------- texts


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0"),
        (np.nan, "—"),
        (1.0, "1.0"),
        (12.4, "12"),
        (0.0123, "0.012"),
        (0.00712, "7.1e−3"),
        (123.0, "1.2e2"),
        (-0.5, "−0.50"),
        (1e-300, "1.0e−300"),
    ],
)
def test_short_numbers(value, text):
    assert plots.short(value) == text


def test_scales_of_special_numbers():
    for values in ([0.0, np.nan], [1.0], [1e-320, 1e308], [np.inf, 2.0], []):
        scale = plots.log_scale(np.array(values))
        assert 0 < scale.vmin < scale.vmax < np.inf
    w = nn.Parameter(np.array(1.0), name="w")
    with tg.timestep(1):
        y = F.relu(w * -1.0)
    rendered(analysis.gradient_flow(y).plot())
