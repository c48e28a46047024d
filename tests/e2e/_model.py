"""Writes a changed copy of a GGUF file, for models that refuse some lines.

    _model.py IN OUT template TEXT     another chat template
    _model.py IN OUT poison LETTER     float32 models: numbers overflow where LETTER is read
    _model.py IN OUT extra TOKEN       a token behind the last row of the embedding
"""
import struct
import sys

SIZES = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}
STRING, ARRAY = 8, 9
TEMPLATE = b"tokenizer.chat_template"
TOKENS, TYPES = b"tokenizer.ggml.tokens", b"tokenizer.ggml.token_type"
CONTROL = 3


class Reader:
    def __init__(self, data):
        self.data, self.at = data, 0

    def take(self, count):
        self.at += count
        return self.data[self.at - count : self.at]

    def number(self, form):
        return struct.unpack("<" + form, self.take(struct.calcsize(form)))[0]

    def text(self):
        return self.take(self.number("Q"))

    def value(self, kind):
        if kind == STRING:
            return self.text()
        if kind == ARRAY:
            inner, count = self.number("I"), self.number("Q")
            return [self.value(inner) for _ in range(count)]
        return self.take(SIZES[kind])


def text_bytes(text):
    return struct.pack("<Q", len(text)) + text


class Model:
    """The header, with the places of its values, and the tensors of the file."""

    def __init__(self, data):
        reader = Reader(data)
        reader.take(8)  # magic, version
        tensors, keys = reader.number("Q"), reader.number("Q")
        self.data, self.values = data, {}
        for _ in range(keys):
            key, kind, begin = reader.text(), reader.number("I"), reader.at
            self.values[key] = (begin, reader.value(kind), reader.at)
        self.offsets = {}
        for _ in range(tensors):
            name, dims = reader.text(), reader.number("I")
            shape = [reader.number("Q") for _ in range(dims)]
            reader.number("I")  # type
            self.offsets[name] = (shape, reader.number("Q"))
        self.header = reader.at
        self.begin = -(-reader.at // 32) * 32  # of the tensors

    def with_values(self, changes):
        """Other bytes for the values of some keys."""
        header, at = b"", 0
        for key in sorted(changes, key=lambda key: self.values[key][0]):
            begin, _, end = self.values[key]
            header += self.data[at:begin] + changes[key]
            at = end
        header += self.data[at : self.header]
        return header + b"\0" * (-len(header) % 32) + self.data[self.begin :]

    def with_template(self, text):
        return self.with_values({TEMPLATE: text_bytes(text)})

    def with_extra(self, token):
        tokens, types = self.values[TOKENS][1] + [token], self.values[TYPES][1]
        types = b"".join(types) + struct.pack("<i", CONTROL)
        return self.with_values({
            TOKENS: struct.pack("<IQ", STRING, len(tokens)) + b"".join(map(text_bytes, tokens)),
            TYPES: struct.pack("<IQ", 5, len(tokens)) + types,
        })

    def poisoned(self, letter):
        """A dimension that only this letter has is scaled beyond every float before the first layer."""
        data = bytearray(self.data)
        (hidden, rows), embedding = self.offsets[b"token_embd.weight"]
        tokens = self.values[TOKENS][1]
        _, norm = self.offsets[b"blk.0.attn_norm.weight"]
        for row in range(rows):
            value = 100.0 if tokens[row] == letter else 0.0
            struct.pack_into("<f", data, self.begin + embedding + row * hidden * 4, value)
        struct.pack_into("<f", data, self.begin + norm, 3e38)
        return bytes(data)


def main(source, target, what, text):
    with open(source, "rb") as file:
        model = Model(file.read())
    changed = {"template": model.with_template, "poison": model.poisoned, "extra": model.with_extra}
    with open(target, "wb") as file:
        file.write(changed[what](text.encode()))


main(*sys.argv[1:])
