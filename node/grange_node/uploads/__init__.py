"""A slot's pieces on their way in, and out again when nobody needs them.

uploads    what fills a slot and what removes it
body       the bytes of one piece, from the connection to the disk
price      what this farmer asks for so many bytes: pure
deletion   when a slot may be removed, the one rule for all of it: pure
collector  removes them

The request comes in by `api/routes/`, the files are those of `pieces/`, and signing for a slot that is
complete is `acceptance/`'s. docs/design.md follows a piece from the socket to the disk and back.
"""
