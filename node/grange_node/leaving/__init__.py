"""How a farm parts with slots: what the market lets go at once, and what is moved so that the rest can go.

remainder   what has to be left of a book, and what stands in the way of what is to go: pure
passing     which slots may pass in one transaction, and how the market wants them shown: pure
book_front  what was lost at a book's front cut off, and what stays there moved to the book's end
"""
