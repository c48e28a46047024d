"""Rewrites a GGUF file with every matrix in one type.

usage: gguf_rewrite.py q8_0|q4_k_m|f16|bf16|f32 IN.gguf OUT.gguf

f32 is made by the gguf package (its dequantization), the others by llama.cpp's llama_model_quantize,
which takes quantized files too (allow_requantize). OUT appears whole or not at all.
"""
import os
import sys

LLAMA_TYPES = {"f16": 1, "q8_0": 7, "q4_k_m": 15, "bf16": 32}  # llama_ftype


def by_llamacpp(source, target, kind):
    import llama_cpp as lc

    params = lc.llama_model_quantize_default_params()
    params.ftype = LLAMA_TYPES[kind]
    params.allow_requantize = True
    if lc.llama_model_quantize(source.encode(), target.encode(), params) != 0:
        raise SystemExit(f"llama.cpp cannot make {kind} of {source}")


def dequantized(source, target):
    import gguf

    reader = gguf.GGUFReader(source)
    writer = gguf.GGUFWriter(target, reader.fields["general.architecture"].contents())
    for name, field in reader.fields.items():
        if name.startswith("GGUF.") or name == "general.architecture":
            continue  # the writer's own
        value = 0 if name == "general.file_type" else field.contents()
        kind = field.types[0]
        writer.add_key_value(name, value, kind,
                             field.types[1] if kind == gguf.GGUFValueType.ARRAY else None)
    for tensor in reader.tensors:
        writer.add_tensor(tensor.name, gguf.quants.dequantize(tensor.data, tensor.tensor_type))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def main():
    if len(sys.argv) != 4 or sys.argv[1] not in {"f32", *LLAMA_TYPES}:
        raise SystemExit(__doc__)
    kind, source, target = sys.argv[1:]
    part = f"{target}.part"
    if kind == "f32":
        dequantized(source, part)
    else:
        by_llamacpp(source, part, kind)
    os.replace(part, target)


if __name__ == "__main__":
    main()
