"""Tells which date or time arrives, of each kind that a field may have."""

import datetime

from webargs import fields

UTC = datetime.timezone.utc
AT = datetime.datetime(2026, 1, 2, 3, 4, 0)


def get_predict_args():
    return {
        "date": fields.Date(),
        "time": fields.Time(),
        "datetime": fields.DateTime(),
        "zoned": fields.AwareDateTime(),
        "assumed": fields.AwareDateTime(default_timezone=UTC),
        "german": fields.DateTime(format="%d.%m.%Y"),
        "stamp": fields.DateTime(format="timestamp"),
        "early": fields.Time(load_default=AT.time()),
        "once": fields.DateTime(load_default=AT),
        "then": fields.AwareDateTime(load_default=AT.replace(tzinfo=UTC)),
    }


def predict(**kwargs):
    return {name: value.isoformat() for name, value in kwargs.items()}
