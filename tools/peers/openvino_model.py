"""Makes a folder of an OpenVINO model.

usage: openvino_model.py read IN.gguf OUT_FOLDER      as OpenVINO GenAI reads the file (F16, Q8_0, Q4_0,
                                                      Q4_1, Q4_K_M): it saves what it made of it
       openvino_model.py int8 IN_FOLDER OUT_FOLDER    weights compressed by nncf, symmetric, with a scale
                                                      for each channel: OpenVINO's own 8-bit format

OUT_FOLDER appears whole or not at all.
"""
import pathlib
import shutil
import sys
import tempfile


def read(source, target):
    """OpenVINO saves its model beside the GGUF file: give it a link in a folder of its own."""
    import openvino_genai

    link = target / "model.gguf"
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
    if len(sys.argv) != 4 or sys.argv[1] not in ("read", "int8"):
        raise SystemExit(__doc__)
    source, target = pathlib.Path(sys.argv[2]), pathlib.Path(sys.argv[3])
    with tempfile.TemporaryDirectory(dir=target.parent) as work:
        made = pathlib.Path(work) / "made"
        made.mkdir()
        (read if sys.argv[1] == "read" else compress)(source, made)
        made.rename(target)


if __name__ == "__main__":
    main()
