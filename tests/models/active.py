"""Returns a page that runs a script, of any type, in each way an answer is sent."""

import tempfile
from pathlib import Path

from webargs import fields

PAGE = """<html xmlns="http://www.w3.org/1999/xhtml"><head><title>A page</title></head>
<body><script>document.title = "hurt"; top.hurt = true</script></body></html>"""

SVG = """<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"><script>
document.documentElement.id = "hurt"; top.hurt = true</script></svg>"""


def get_predict_args():
    return {
        "accept": fields.Str(load_default="text/html"),
        "how": fields.Str(load_default="bytes"),
    }


def predict(accept, how):
    text = SVG if "svg" in accept else PAGE
    if how == "stream":
        return iter((text[:50], text[50:]))
    if how == "file":
        file = Path(tempfile.mkstemp(suffix=".bin")[1])
        file.write_text(text)
        return file
    return text.encode()
