"""Training a model of text, and the folder that a run leaves behind."""

from tinygradrnn.training.characters import CharacterJob as CharacterJob
from tinygradrnn.training.evaluation import bits_per_character as bits_per_character
from tinygradrnn.training.progress import progress as progress
from tinygradrnn.training.runs import RunError as RunError
from tinygradrnn.training.runs import load_run as load_run
from tinygradrnn.training.runs import new_folder as new_folder
from tinygradrnn.training.settings import Settings as Settings
from tinygradrnn.training.trainer import Record as Record
from tinygradrnn.training.trainer import Trainer as Trainer
