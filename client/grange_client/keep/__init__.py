"""Keeping drives alive: what `grange keep` decides, and the loop that does it.

    policy      what a drive's owner wants: how long, for how much, with a mandate or without
    facts       what is known of packs, money and prices at one moment
    measuring   how much of each pack is needed
    costs       what an extension and a new pack cost
    horizon     until when all of it can be paid for
    stages      what becomes of a pack that goes, step by step
    lease       which device repacks, where several keep one drive
    repacking   which packs are worth writing again
    plan        what to do now, with what it costs
    description the plan in words
    jobs        what goes into a new pack and its journal, and whether that still holds
    reminders   what to warn of, each once
    alert_settings   where warnings go, of a home
    memory      what was told, what failed and what was spent, kept on this computer
    ports       what carrying it out needs from its surroundings
    run, loop   one run of it, and the service

All but `alert_settings`, `memory`, `run` and `loop` is pure: values in, decisions out.
"""
