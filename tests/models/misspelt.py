"""Has similar names, but no predict or train."""

predictions = 7


def prdict():
    pass


def trian():
    pass


def warm():
    pass
