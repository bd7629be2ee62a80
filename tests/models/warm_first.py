"""Says whether it is warm, in predictions and in trainings."""

warmed = []


def warm():
    warmed.append(True)


def predict():
    return len(warmed)


train = predict
