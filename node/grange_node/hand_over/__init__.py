"""Handing slots over to farmers that take them: what the farm's operator asked for, carried out.

giver       goes through what is to be handed over, again and again
transfer    one slot's bytes on their way to its taker
bonds       what the farm still answers for, and letting go of what it kept
takers      the farmers, as far as a giver deals with them
taker_candidates who would be asked to take slots, without asking them
list_file   what is to be handed over, and how far each is: a file
"""
