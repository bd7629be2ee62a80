"""Names, descriptions and answers that try to run in the page that shows them."""

from webargs import fields

from deepaas import progress

MARKUP = '<img src=x onerror="top.hurt = true"><script>top.hurt = true</script>'

LINK = "javascript:top.hurt=true//"


def get_metadata():
    return {"description": MARKUP, "author": MARKUP, "license": LINK, "version": MARKUP}


def get_predict_args():
    return {
        "a<b>": fields.Str(load_default=MARKUP, metadata={"description": MARKUP}),
        "choice": fields.Str(load_default=LINK, metadata={"enum": [LINK, MARKUP]}),
    }


def predict(**kwargs):
    return {MARKUP: [MARKUP, LINK], **kwargs}


def get_train_args():
    return {}


def train():
    print(MARKUP)
    print("\x1b[31m" + MARKUP + "\x1b]8;;" + LINK + "\x07link\x1b]8;;\x07")
    progress.report(1, 2, **{MARKUP: 1.0})
    progress.report(2, 2, **{MARKUP: 2.0})
    raise ValueError(MARKUP)
