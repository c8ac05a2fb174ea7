"""Whole networks, ready to train."""

from tinygradrnn.models.characters import CELLS as CELLS
from tinygradrnn.models.characters import CharacterModel as CharacterModel
from tinygradrnn.models.examples import EXAMPLES as EXAMPLES
from tinygradrnn.models.examples import example_loss as example_loss
from tinygradrnn.models.examples import unrolled_loss as unrolled_loss
from tinygradrnn.models.sampling import generate as generate
