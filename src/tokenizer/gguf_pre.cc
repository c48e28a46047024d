#include "tokenizer/gguf_pre.h"

#include <algorithm>
#include <array>

#include "base/bytes.h"
#include "base/sha256.h"
#include "tokenizer/pretokenize.h"

namespace gyrator {

namespace {

constexpr std::string_view kLlama3Pattern =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*)"
    R"(|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr std::string_view kQwen2Pattern =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*)"
    R"(|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr std::string_view kTekkenPattern =
    R"([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+)"
    R"(|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*)"
    R"(|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+)";

const std::vector<PreType>& PreTypes() {
  static const std::vector<PreType> kTypes = [] {
    const std::vector<std::string_view> llama3 = {kLlama3Pattern}, qwen2 = {kQwen2Pattern},
                                        gpt2 = {kGpt2Pattern}, digits = {R"(\p{N})", kGpt2Pattern};
    return std::vector<PreType>{
        {"llama-bpe", llama3, false, true, true},
        {"llama3", llama3, false, true, true},
        {"llama-v3", llama3, false, true, true},
        {"qwen2", qwen2, true},
        {"deepseek-r1-qwen", qwen2, true},
        {"smollm", digits},
        {"starcoder", digits},
        {"refact", digits},
        {"gpt-2", gpt2},
        {"phi-2", gpt2},
        {"olmo", gpt2},
        {"gpt-neox", gpt2, true},  // llama.cpp has no name for it
        {"tekken", {kTekkenPattern}, false, true, true},
        {"default", {R"([\p{P}\$\+<=>\^~\|]+)", kGpt2Pattern, R"(\p{N}+)", "[0-9][0-9][0-9]"}},
    };
  }();
  return kTypes;
}

struct KnownMerges {
  std::string_view sha256, pre;
};

constexpr std::array<KnownMerges, 7> kKnownMerges = {{
    // Llama 3, 3.1, 3.2 and 3.3
    {"b8976ea9a5406f0e1718048f3b18f52555cb9872b317ad83d2d17fa992c17274", "llama-bpe"},
    // Qwen 1.5, 2, 2.5 and 3
    {"599bab54075088774b1733fde865d5bd747cbcc7a547c5bc12610e874e26f5e3", "qwen2"},
    // SmolLM and SmolLM2
    {"d9826c39f608134a92ee45d09a9058cc82c4d977761b8d9aa332ecf9681c956a", "smollm"},
    // GPT-2, Phi-1 and Phi-2
    {"ac33235097fe06d4a8fff0feac994644809e6eb6ab70669e1e9fd40ae032428e", "gpt-2"},
    // GPT-NeoX, Pythia, MPT
    {"097336e89d75d2fea8881b17d0263797e411724b824c7fde225c69672c138c22", "gpt-neox"},
    // StarCoder
    {"44ed5dbdf42b067094aee83f9601a9f8b67f292cfe2f9ca425a8cee7d23bf3e4", "starcoder"},
    // Refact
    {"3d38bcb96998e147d6c4e870763b7da8d69333804b9964d7504d8c858c3a7aaa", "refact"},
}};

}  // namespace

const PreType* FindPreType(std::string_view name) {
  const auto type = std::find_if(PreTypes().begin(), PreTypes().end(),
                                 [&](const PreType& known) { return known.name == name; });
  return type == PreTypes().end() ? nullptr : &*type;
}

std::string PreTypeNames() {
  std::string names;
  for (const PreType& type : PreTypes()) {
    names += (names.empty() ? "" : ", ") + std::string(type.name);
  }
  return names;
}

std::string MergesDigest(std::span<const std::string_view> merges) {
  Sha256 sha;
  for (const std::string_view merge : merges) {
    sha.Update(AsBytes(merge));
    sha.Update(AsBytes("\n"));
  }
  return HexText(sha.Finish());
}

const PreType* PreTypeOfMerges(std::string_view digest) {
  for (const KnownMerges& known : kKnownMerges) {
    if (known.sha256 == digest) return FindPreType(known.pre);
  }
  return nullptr;
}

}  // namespace gyrator
