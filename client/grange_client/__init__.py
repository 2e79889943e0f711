"""The renter client: stores directories on farmers and gets them back."""
