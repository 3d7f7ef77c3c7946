"""Maps of gridworlds: ``#`` wall, ``P`` entry, ``A`` apples grow here, ``~`` river."""

__all__ = ["MAPS", "pick_map"]

MAPS = {
    "harvest_open": """
##########################
#P          P          P #
#   A        A        A  #
#  AAA      AAA      AAA #
# AAAAA    AAAAA    AAAA #
#  AAA      AAA      AAA #
#   A   P    A    P   A  #
#                        #
#P     A        A      P #
#     AAA      AAA       #
#    AAAAA    AAAAA      #
#     AAA      AAA     P #
#      A        A        #
#P         P         P   #
##########################
""",
    "harvest_closed": """
##########################
#P P P P P P P P P P P P #
#                        #
#                        #
###### ########## ########
#       ##      #        #
#   A    #  A   #   A    #
#  AAA   # AAA  #  AAA   #
# AAAAA  #AAAAA # AAAAA  #
#  AAA   # AAA  #  AAA   #
#   A    #  A   #   A    #
#        #      #        #
#P      P#    P #P      P#
##########################
""",
    "harvest_small": """
############
#P   A    P#
#   AAA    #
#  AAAAA   #
#   AAA    #
#P   A    P#
############
""",
    "clean_up": """
####################
#~~~~~~~~~~~~~~~~~~#
#~~~~~~~~~~~~~~~~~~#
#~~~~~~~~~~~~~~~~~~#
#~~~~~~~~~~~~~~~~~~#
#                  #
#  P   P    P   P  #
#                  #
#     P   P   P    #
#                  #
# AAAAAAAAAAAAAAAA #
# AAAAAAAAAAAAAAAA #
# AAAAAAAAAAAAAAAA #
# AAAAAAAAAAAAAAAA #
####################
""",
    "clean_up_small": """
##########
#~~~~~~~~#
#~~~~~~~~#
# P    P #
#   P    #
#P     P #
#AAAAAAAA#
#AAAAAAAA#
##########
""",
    "arena": """
###################
#P       P       P#
#                 #
#   R  R   R  R   #
#   R  R   R  R   #
#      #####      #
# P              P#
#   R  R   R  R   #
#   R  R   R  R   #
#                 #
#P       P       P#
###################
""",
    "arena_small": """
#########
#P     P#
# R R R #
#   #   #
# R R R #
#P     P#
#########
""",
}


def pick_map(name: str, own: str) -> str:
    """The map that is written out, or else the one of a name."""
    return own or MAPS[name]
