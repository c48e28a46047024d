"""Makes tests/golden/tokenizer: small tokenizers of every family, and what Hugging Face does with them.

Each <name>/ is a folder as transformers writes it (tokenizer.json, tokenizer_config.json), trained here
with the pipeline of its family, plus
  cases.json    ids and decodings by the tokenizers package; see `cases_of`
<name>.gguf has the same tokenizer, written with the gguf package, where llama.cpp has its family.
lines.json holds the texts. classes.json and forms.json compare what regular expressions and
normalization forms do with every code point; `newer` lists the code points that Unicode 14 (PCRE2
10.42) does not know and the tokenizers package does: they appear in no line. versions.json says what
made them. Reproducible: everything is drawn from one seed.

    .venv/bin/python tools/golden/tokenizer.py
"""

import collections
import hashlib
import json
import os
import random
import shutil
import sys
import unicodedata
from importlib.metadata import version

os.environ["TOKENIZERS_PARALLELISM"] = "false"
import gguf
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers.convert_slow_tokenizer import generate_merges

sys.path.insert(0, os.path.dirname(__file__))
from tokenizer_lines import SPECIALS, make_lines

ROOT = os.path.normpath(os.path.join(os.path.dirname(__file__), "..", "..", "tests", "golden", "tokenizer"))
SEED = 20261121

LLAMA3 = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
          r"|\s*[\r\n]+|\s+(?!\S)|\s+")
QWEN2 = LLAMA3.replace(r"\p{N}{1,3}", r"\p{N}")
TEKKEN = (r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+"
          r"|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*"
          r"|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+")
BYTE_LEVEL = dict(add_prefix_space=False, trim_offsets=True)


def special(text, **flags):
    return AddedToken(text, special=True, normalized=False, **flags)


def train(tokenizer, corpus, size, alphabet, **options):
    """The alphabet is given whole: the trainer's own choice among rare characters changes from run to run."""
    trainer = trainers.BpeTrainer(vocab_size=size, initial_alphabet=alphabet, limit_alphabet=len(alphabet),
                                  show_progress=False, **options)
    tokenizer.train_from_iterator(corpus, trainer)


def common_characters(corpus, size):
    counts = collections.Counter("".join(corpus))
    return sorted(counts, key=lambda c: (-counts[c], c))[:size]


def byte_level(corpus, pre_tokenizer, added, *, size=700, normalizer=None, ignore_merges=False, bos=None):
    """A byte-level family: trained, then its special tokens are added after the vocabulary."""
    tokenizer = Tokenizer(models.BPE(ignore_merges=ignore_merges))
    if normalizer:
        tokenizer.normalizer = normalizer
    tokenizer.pre_tokenizer = pre_tokenizer
    tokenizer.decoder = decoders.ByteLevel(**BYTE_LEVEL)
    train(tokenizer, corpus, size, sorted(pre_tokenizers.ByteLevel.alphabet()))
    tokenizer.model.ignore_merges = ignore_merges
    for token in added:
        tokenizer.add_tokens([token])
    if bos:
        tokenizer.post_processor = processors.Sequence([
            processors.ByteLevel(**BYTE_LEVEL),
            processors.TemplateProcessing(single=f"{bos} $A", pair=f"{bos} $A {bos} $B",
                                          special_tokens=[(bos, tokenizer.token_to_id(bos))])])
    return tokenizer


def sentencepiece_vocab(corpus, size):
    """Pieces in the order of a SentencePiece BPE model: merged ones by rank, then characters."""
    corpus = [line for line in corpus if not any(text in line for text in SPECIALS)]
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(replacement="▁", prepend_scheme="always", split=True)
    train(tokenizer, corpus, size, common_characters([line.replace(" ", "▁") for line in corpus], 180))
    pieces = sorted(tokenizer.get_vocab(), key=tokenizer.get_vocab().get)
    merged = [piece for piece in pieces if len(piece) > 1] + ["▁▁", "▁▁▁▁"]
    return list(dict.fromkeys(merged)) + [piece for piece in pieces if len(piece) == 1]


def sentencepiece(pieces, added=(), *, metaspace=False):
    """Llama 2 and Mistral: byte fallback, merges made from the pieces' order as transformers makes them.

    As transformers 5 writes it, with `metaspace`, also with tokens that take the white space beside them (Phi 3)."""
    base = ["<unk>", "<s>", "</s>"] + list(added) + [f"<0x{b:02X}>" for b in range(256)]
    vocab = {text: i for i, text in enumerate(base + pieces)}
    scores = {piece: -float(i) for i, piece in enumerate(pieces)}
    merges = generate_merges(vocab, scores)
    tokenizer = Tokenizer(models.BPE(vocab, merges, unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    if metaspace:
        tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(replacement="▁", prepend_scheme="first", split=False)
    else:
        tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    tokenizer.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(),
                                           decoders.Strip(" ", 1, 0)])
    tokenizer.add_special_tokens([special(text) for text in ["<unk>", "<s>", "</s>"] + list(added)])
    if metaspace:
        tokenizer.add_tokens([special("<L>", lstrip=True), special("<R>", rstrip=True),
                              special("<LR>", lstrip=True, rstrip=True)])
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A", pair="<s> $A <s> $B", special_tokens=[("<s>", 1)])
    return tokenizer


def characters(corpus, size, unk, **model):
    tokenizer = Tokenizer(models.BPE(unk_token=unk, **model))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    corpus = [line.lower() for line in corpus]
    train(tokenizer, corpus, size, common_characters(corpus, 140), special_tokens=[unk])
    return tokenizer


def odd_words(corpus):
    """No decoder, unknown characters one by one, words by Whitespace, every Unicode form and flag."""
    tokenizer = characters(corpus, 350, "[UNK]")
    tokenizer.normalizer = normalizers.Sequence([
        normalizers.NFKC(), normalizers.Lowercase(), normalizers.Strip(),
        normalizers.Replace(Regex(r"\d{2,}+"), "0"), normalizers.Replace("--", "-")])
    tokenizer.add_tokens([
        AddedToken("word", single_word=True, normalized=False), AddedToken("Straße", normalized=True),
        AddedToken("<L>", lstrip=True, normalized=False), AddedToken("<R>", rstrip=True, normalized=False),
        AddedToken("<LR>", lstrip=True, rstrip=True, normalized=False, special=True),
        AddedToken("<LRX>", normalized=False), AddedToken("①", normalized=True, special=True),
        AddedToken("ab", single_word=True, normalized=True)])
    return tokenizer


def odd_splits(corpus):
    """Every behavior of Split, Metaspace in words, unknown runs fused, a decoder of its own."""
    tokenizer = characters(corpus, 350, "<unk>", fuse_unk=True)
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(r"[\r\n]+"), "removed"),
        pre_tokenizers.Split(",", "merged_with_previous"),
        pre_tokenizers.Split("(", "merged_with_next"),
        pre_tokenizers.Split(Regex(r"[.!?]"), "contiguous"),
        pre_tokenizers.Split(Regex(r"\w+"), "isolated"),
        pre_tokenizers.Split(Regex(r"[a-z]+"), "merged_with_previous", invert=True),
        pre_tokenizers.Digits(individual_digits=False),
        pre_tokenizers.Metaspace(replacement="▁", prepend_scheme="first", split=True)])
    tokenizer.decoder = decoders.Sequence([decoders.Metaspace(replacement="▁", prepend_scheme="first"),
                                           decoders.Replace(Regex(r"\d+"), "#"), decoders.Strip("a", 1, 0)])
    return tokenizer


def odd_bytes(corpus):
    """ByteLevel in the middle of a sequence, a prefix space, tokens of several bytes beside it."""
    tokenizer = byte_level(corpus, pre_tokenizers.ByteLevel(add_prefix_space=True, use_regex=True),
                           [special("<end>"), AddedToken("naïve ☃", normalized=False)], size=400)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.WhitespaceSplit(), pre_tokenizers.ByteLevel(add_prefix_space=True, use_regex=True),
        pre_tokenizers.Split(Regex(r"[0-9][0-9][0-9]"), "isolated")])
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<end> $A <end>", pair=None, special_tokens=[("<end>", tokenizer.token_to_id("<end>"))])
    return tokenizer


def split(pattern):
    return pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(pattern), "isolated", invert=False),
                                    pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])


def families(corpus):
    """name -> (tokenizer, bos, eos, GGUF's tokenizer.ggml.model and .pre or None)."""
    pieces = sentencepiece_vocab(corpus, 600)
    im = [special(t) for t in ("<|endoftext|>", "<|im_start|>", "<|im_end|>")]
    return {
        "llama3": (byte_level(corpus, split(LLAMA3), [special(t) for t in (
            "<|begin_of_text|>", "<|end_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>")],
            ignore_merges=True, bos="<|begin_of_text|>"), "<|begin_of_text|>", "<|eot_id|>", ("gpt2", "llama-bpe")),
        "qwen2": (byte_level(corpus, split(QWEN2), im + [AddedToken("<tool_call>", normalized=False),
                                                         AddedToken("</tool_call>", normalized=False)],
                             normalizer=normalizers.NFC()), None, "<|im_end|>", ("gpt2", "qwen2")),
        "smollm2": (byte_level(corpus, pre_tokenizers.Sequence([
            pre_tokenizers.Digits(individual_digits=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)]), im),
            "<|im_start|>", "<|im_end|>", ("gpt2", "smollm")),
        "gpt2": (byte_level(corpus, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True), im[:1]),
                 "<|endoftext|>", "<|endoftext|>", ("gpt2", "gpt-2")),
        "tekken": (byte_level(corpus, split(TEKKEN), [special(t) for t in ("<s>", "</s>", "[INST]", "[/INST]")],
                              ignore_merges=True, bos="<s>"), "<s>", "</s>", ("gpt2", "tekken")),
        "llama2": (sentencepiece(pieces), "<s>", "</s>", ("llama", None)),
        "llama2_v5": (sentencepiece(pieces, metaspace=True), "<s>", "</s>", None),
        "mistral": (sentencepiece(pieces, ["[INST]", "[/INST]", "[TOOL_CALLS]"]), "<s>", "</s>", ("llama", None)),
        "odd_words": (odd_words(corpus), None, None, None),
        "odd_splits": (odd_splits(corpus), None, None, None),
        "odd_bytes": (odd_bytes(corpus), None, "<end>", None),
    }


def cases_of(tokenizer, lines, indexes, rng):
    """What the C++ tests compare.

    lines        which lines of lines.json
    ids          their ids, special tokens in the text matched, none added
    literal      {line: ids} where they differ when special tokens in the text are text
    added        ids of a few lines with the post-processor's tokens
    decoded      {line: text} of ids where it is not the line; decoded_skip: without special tokens
    random       random id lists: [ids, text, text without special tokens]
    """
    out = dict(lines=indexes, ids=[], literal={}, added={}, decoded={}, decoded_skip={}, random=[])
    for i in indexes:
        ids = tokenizer.encode(lines[i], add_special_tokens=False).ids
        out["ids"].append(ids)
        for key, skip in (("decoded", False), ("decoded_skip", True)):
            text = tokenizer.decode(ids, skip_special_tokens=skip)
            if text != lines[i]:
                out[key][str(i)] = text
        if i % 40 == 0:
            out["added"][str(i)] = tokenizer.encode(lines[i]).ids
    tokenizer.encode_special_tokens = True
    for i, ids in zip(indexes, out["ids"]):
        literal = tokenizer.encode(lines[i], add_special_tokens=False).ids
        if literal != ids:
            out["literal"][str(i)] = literal
    tokenizer.encode_special_tokens = False
    size = tokenizer.get_vocab_size()
    for n in range(60):
        ids = [rng.randrange(min(size, 320) if n % 2 else size) for _ in range(1 + n % 12)]
        out["random"].append([ids, tokenizer.decode(ids, skip_special_tokens=False),
                              tokenizer.decode(ids, skip_special_tokens=True)])
    return out


def write_gguf(path, name, tokenizer, bos, eos, model, pre):
    writer = gguf.GGUFWriter(path, "llama")
    vocab = tokenizer.get_vocab(with_added_tokens=True)
    texts = sorted(vocab, key=vocab.get)
    added = tokenizer.get_added_tokens_decoder()
    types, scores = [], []
    for i, text in enumerate(texts):
        token = added.get(i)
        if text == "<unk>":
            types.append(gguf.TokenType.UNKNOWN)
        elif token is not None:
            types.append(gguf.TokenType.CONTROL if token.special else gguf.TokenType.USER_DEFINED)
        elif model == "llama" and text.startswith("<0x") and len(text) == 6:
            types.append(gguf.TokenType.BYTE)
        else:
            types.append(gguf.TokenType.NORMAL)
        scores.append(-float(i))
    writer.add_tokenizer_model(model)
    writer.add_token_list(texts)
    writer.add_token_types(types)
    if model == "llama":
        writer.add_token_scores(scores)
        writer.add_unk_token_id(0)
        writer.add_add_space_prefix(True)
    else:
        writer.add_tokenizer_pre(pre)
        merges = json.loads(tokenizer.to_str())["model"]["merges"]
        writer.add_token_merges([" ".join(m) for m in merges])
    if bos:
        writer.add_bos_token_id(vocab[bos])
    writer.add_eos_token_id(vocab[eos])
    writer.add_add_bos_token(name in ("llama3", "tekken", "llama2", "mistral"))
    writer.add_chat_template("{{ messages[0]['content'] }}")
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.close()


def write_json(path, value):
    with open(path, "w", encoding="utf-8") as file:
        json.dump(value, file, ensure_ascii=False, separators=(",", ":"))
        file.write("\n")


def ranges(code_points):
    out = []
    for c in sorted(code_points):
        if out and out[-1][1] == c - 1:
            out[-1][1] = c
        else:
            out.append([c, c])
    return out


ALL = [c for c in range(0x110000) if not 0xD800 <= c < 0xE000]


def matched_by(pattern):
    rest = normalizers.Replace(Regex(pattern), "").normalize_str("".join(map(chr, ALL)))
    return set(ALL) - set(map(ord, rest))


def classes():
    """The characters of each class to the tokenizers package, and those that Unicode 14 lacks."""
    lowercase = normalizers.Lowercase()
    unknown = {c for c in ALL if unicodedata.category(chr(c)) == "Cn"}
    newer = unknown - (matched_by(r"\p{Cn}") & {c for c in unknown if lowercase.normalize_str(chr(c)) == chr(c)})
    known = {c: matched_by(c) - newer for c in (
        r"\s", r"\w", r"\d", r"\p{L}", r"\p{N}", r"\p{P}", r"\p{S}", r"\p{M}", r"\p{Lu}", r"\p{Lt}", r"\p{Lm}",
        r"\p{Lo}", r"\p{Ll}", r"\p{Han}")}
    words = pre_tokenizers.Whitespace().pre_tokenize_str(" ".join(f"a{chr(c)}a" for c in ALL))
    known["rust_word"] = {ord(piece[1]) for piece, _ in words if len(piece) == 3} - newer
    return newer, {name: ranges(members) for name, members in known.items()}


def forms(newer):
    """Of each normalization form, a digest for every 16,384 code points c of the form of e c U+0323 U+0301 LF;
    lower case without the newer."""
    out = {}
    for name, form in (("NFC", normalizers.NFC()), ("NFD", normalizers.NFD()), ("NFKC", normalizers.NFKC()),
                       ("NFKD", normalizers.NFKD()), ("Lowercase", normalizers.Lowercase())):
        blocks = []
        for start in range(0, 0x110000, 0x4000):
            text = "".join(f"e{chr(c)}\u0323\u0301\n" for c in range(start, start + 0x4000)
                           if not (0xD800 <= c < 0xE000 or name == "Lowercase" and c in newer))
            blocks.append(hashlib.sha256(form.normalize_str(text).encode()).hexdigest())
        out[name] = blocks
    return out


def main():
    if unicodedata.unidata_version != "14.0.0":
        sys.exit("tokenizer.py: needs a Python with Unicode 14 (3.11 has it): the lines are limited to it")
    newer, known = classes()
    rng = random.Random(SEED)
    core, rest = make_lines(rng)
    lines = core + rest
    assert not any(ord(c) in newer for line in lines for c in line)
    shutil.rmtree(ROOT, ignore_errors=True)
    os.makedirs(ROOT)
    write_json(f"{ROOT}/lines.json", lines)
    write_json(f"{ROOT}/classes.json", dict(newer=ranges(newer), classes=known))
    write_json(f"{ROOT}/forms.json", forms(newer))
    corpus = [line for line in lines if len(line) < 400]
    made = families(corpus)
    for n, (name, (tokenizer, bos, eos, ggml)) in enumerate(made.items()):
        folder = f"{ROOT}/{name}"
        os.makedirs(folder)
        write_json(f"{folder}/tokenizer.json", json.loads(tokenizer.to_str()))
        write_json(f"{folder}/tokenizer_config.json", dict(
            tokenizer_class="PreTrainedTokenizerFast", bos_token=bos, eos_token=eos,
            chat_template="{{ messages[0]['content'] }}"))
        indexes = list(range(len(core))) + [i for i in range(len(core), len(lines)) if i % 4 == n % 4]
        write_json(f"{folder}/cases.json", cases_of(tokenizer, lines, indexes, random.Random(SEED + n)))
        if ggml:
            write_gguf(f"{ROOT}/{name}.gguf", name, tokenizer, bos, eos, *ggml)
    write_json(f"{ROOT}/versions.json", dict(
        tokenizers=version("tokenizers"), transformers=version("transformers"), gguf=version("gguf"),
        unicode=unicodedata.unidata_version, seed=SEED, lines=len(lines)))


if __name__ == "__main__":
    main()
