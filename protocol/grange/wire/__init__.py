"""The HTTP protocol between farmers and those who talk to them, said once for both sides.

    paths     what can be asked for, as templates and filled in
    headers   Authorization, Voucher, Range and Content-Range: written and read
    bodies    requests and answers as models, and reading them; fields: the kinds of values in them
    codes     what a farmer says when it refuses, with the HTTP status
    limits    how much of what

A farmer's routes, a renter's requests and the fakes of the tests all stand on these files, so the two sides
cannot come to mean different things. docs/protocol.md, section 5, says the same in words; a test compares.
Nothing here opens a socket, or knows what a value means.
"""
