"""Makes a folder of an OpenVINO model from a GGUF file.

usage: openvino_model.py IN.gguf OUT_FOLDER [int8]

OpenVINO GenAI reads the file itself (F16, Q8_0, Q4_0, Q4_1, Q4_K_M) and saves what it made of it. With
int8 the weights of an F16 file are compressed by nncf, symmetric, with a scale for each channel:
OpenVINO's own 8-bit format.
"""
import pathlib
import shutil
import sys
import tempfile


def read(source, folder):
    """OpenVINO saves its model beside the GGUF file: give it a link in a folder of its own."""
    import openvino_genai

    link = folder / "model.gguf"
    link.symlink_to(source.resolve())
    openvino_genai.LLMPipeline(str(link), "CPU", enable_save_ov_model=True)
    link.unlink()


def compress(source, target):
    import nncf
    import openvino

    model = openvino.Core().read_model(source / "openvino_model.xml")
    model = nncf.compress_weights(model, mode=nncf.CompressWeightsMode.INT8_SYM)
    openvino.save_model(model, target / "openvino_model.xml", compress_to_fp16=False)
    for file in source.glob("openvino_*tokenizer.*"):
        shutil.copy(file, target)


def main():
    if len(sys.argv) not in (3, 4) or sys.argv[3:] not in ([], ["int8"]):
        raise SystemExit(__doc__)
    source, target = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])
    with tempfile.TemporaryDirectory(dir=target.parent) as work:
        made = pathlib.Path(work) / "read"
        made.mkdir()
        read(source, made)
        if sys.argv[3:]:
            smaller = pathlib.Path(work) / "int8"
            smaller.mkdir()
            compress(made, smaller)
            made = smaller
        made.rename(target)


if __name__ == "__main__":
    main()
