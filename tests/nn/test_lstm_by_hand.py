"""The tutorial of the LSTM with gates set by hand runs, and prints the table of the notes."""

from __future__ import annotations

import runpy

from processes import ROOT


def test_the_tutorial(capsys):
    runpy.run_path(str(ROOT / "tutorials" / "lstm_by_hand.py"), run_name="__main__")
    lines = capsys.readouterr().out.splitlines()
    memory = [round(float(line.split()[4])) for line in lines[1:10]]
    assert memory == [0, 3, 3, 7, 7, 7, 0, 6, 6]
    assert lines[-1] == "∂y_100/∂x1 at step 1: 0.996, at step 51: 0.000045"
