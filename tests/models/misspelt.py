"""Has neither predict nor train, but what looks like them."""

predictions = 7


def prdict():
    pass


def trian():
    pass


def warm():
    pass
