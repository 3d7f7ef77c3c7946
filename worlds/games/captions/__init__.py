"""Games in words: rules made from the parameters the engine pays from, answers read strictly."""

from worlds.games.captions.donor_game import DonorGameCaption
from worlds.games.captions.matrix_game import MatrixGameCaption
from worlds.games.captions.public_goods import PublicGoodsCaption

__all__ = ["DonorGameCaption", "MatrixGameCaption", "PublicGoodsCaption"]
