"""What a person sees. Values in, rich renderables out; everything fits 80 columns.

display   what happens while something takes long
backup    what goes into a drive; restored: what comes out of it
quote     what something will cost
order     orders and the files in them
health    how orders are, and how likely it is that one is lost
listing   what is in a drive
history   the commits of a drive, and what changed
account   money, and the farmers of the market
keep      what keeping will do and did; policy: how a drive is kept
card      the recovery card, with its QR code
tables    what all of these are made of

Decides wording and looks. Names of files and orders come from others, so what a terminal would act on is
escaped. Leaves what is shown to `commands`, and the same for programs to `output`.
"""
