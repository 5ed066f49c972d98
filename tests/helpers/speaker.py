"""What programs begin with that speak the sandbox's protocol themselves, by the one descriptor that they have (3)."""

SPEAKER = """
import json, os, struct, time
def read(count):
    data = b""
    while len(data) < count:
        piece = os.read(3, count - len(data))
        if not piece: os._exit(0)
        data += piece
    return data
def hear_bytes(): return read(struct.unpack("=I", read(4))[0])
def hear(): return json.loads(hear_bytes())
def send(data):
    while data: data = data[os.write(3, data):]
def frame(text):
    body = text if isinstance(text, bytes) else text.encode()
    return struct.pack("=I", len(body)) + body
def say(*message): send(frame(json.dumps(message)))
"""
