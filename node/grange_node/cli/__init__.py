"""The commands `grange farm` and `grange repair`.

farm            the commands of a farm
repair          the commands of a repairer without a farm, and repair_home its settings
common          exit codes, words for errors, logging: for both
registration    becoming a farmer on chain, changing the offer, taking out what is free of the stake
earnings        paying out what a farm or a repairer has earned
key_rotation    another key for the operator
operator_limits what a farmer's owner lets its operator do alone
hand_over       passing slots on to other farmers, and hand_over_command what is typed for it
bonds           freeing what hand-overs bind, by what the chain shows; bonds_command what is typed for it
renters_command `farm renters`: whose data the farm takes
farm_farmers_command `farm farmers`: which farmers and repairers the farm deals with
repair_farmers_command `repair farmers`: to whom a repairer gives slots
stake           how much room a stake answers for
status          what an operator wants to know, and status_screen how it looks
"""
