"""Connectionist temporal classification: a shorter sequence of labels for a sequence of frames.

Note set 004, "many to many (output is shorter)": "all possible alignments are considered as
correct". A. Graves, S. Fernández, F. Gomez, J. Schmidhuber: Connectionist temporal classification:
labelling unsegmented sequence data with recurrent neural networks, ICML 2006.
"""

from tinygradrnn.ctc.decoding import CTCHypothesis as CTCHypothesis
from tinygradrnn.ctc.decoding import ctc_beam_search as ctc_beam_search
from tinygradrnn.ctc.decoding import ctc_greedy_decode as ctc_greedy_decode
from tinygradrnn.ctc.loss import ctc_loss as ctc_loss
