"""What a page packs for its script."""

import base64
import gzip
import json
import re


def unpack(page: str):
    (block,) = re.findall(r'<script type="application/json" id="texts">(.*?)</script>', page, re.S)
    return json.loads(gzip.decompress(base64.b64decode(json.loads(block))))
