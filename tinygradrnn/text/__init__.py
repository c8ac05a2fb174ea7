"""Text as numbers: reading files, vocabularies, batches, and what counting alone achieves."""

from tinygradrnn.text.files import TextError as TextError
from tinygradrnn.text.files import read_text as read_text
from tinygradrnn.text.ngrams import ngram_bits_per_character as ngram_bits_per_character
from tinygradrnn.text.streams import Streams as Streams
from tinygradrnn.text.streams import split as split
from tinygradrnn.text.vocabulary import Vocabulary as Vocabulary
