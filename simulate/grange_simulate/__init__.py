"""Years of a network in seconds: how likely an order is lost, and what keeping it whole takes.

    assumptions   what is assumed, with the reasons for the defaults
    groups        which farmers fail together
    history       what happens to the farmers, hour by hour; the same for every code
    placement     who keeps which slot
    judgement     the policy of `grange.repair`, for all orders at once
    turns         which of several repairers begins, and what the others lose
    lines         how long repairs take at home lines
    orders        what is left of every order
    running       passes that have begun and not ended
    network       one network and one code, step by step
    tally         what is counted
    gang          farmers that collude: what share of the stake endangers an order
    extensions    orders that their renters extend, with vacant slots filled again
    mandates      orders that those who keep them extend, by mandate
    farmer_prices what farmers ask, what slots are kept for, and what mandates pay
    intervals     what a count of losses says about their probability
    closed_form   the exact answer for the cases that have one
    check         the simulation beside the closed form
    report, drawing, policy_drawing, cli   what is shown

Decides nothing about the network: whatever a repairer would decide comes from `grange.repair`.
"""
