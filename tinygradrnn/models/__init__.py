"""Whole networks, ready to train."""

from tinygradrnn.models.characters import CELLS as CELLS
from tinygradrnn.models.characters import CharacterModel as CharacterModel
from tinygradrnn.models.sampling import generate as generate
