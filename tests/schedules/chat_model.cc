#include "tests/schedules/chat_model.h"

#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string_view>
#include <vector>

#include "base/check.h"
#include "base/json.h"
#include "base/source_path_testing.h"

namespace gyrator {

namespace {

namespace fs = std::filesystem;

constexpr int32_t kVocab = 256;
constexpr std::string_view kSpecial[] = {"<|system|>", "<|user|>", "<|assistant|>", "<|end|>"};
constexpr std::string_view kTemplate =
    "{% for m in messages %}<|{{ m.role }}|>{{ m.content }}<|end|>{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}";

// A character as the byte alphabet writes it.
std::string Letter(char c) { return c == ' ' ? "\u0120" : std::string(1, c); }

Json TokenizerJson() {
  Json vocab = Json::object(), merges = Json::array(), added = Json::array();
  const auto add = [&](const std::string& token) { vocab.emplace(token, vocab.size()); };
  for (const std::string_view special : kSpecial) {
    added.push_back({{"id", vocab.size()},
                     {"content", special},
                     {"single_word", false},
                     {"lstrip", false},
                     {"rstrip", false},
                     {"normalized", false},
                     {"special", true}});
    add(std::string(special));
  }
  for (char c = ' '; c <= '~'; ++c) add(Letter(c));
  const std::string_view often = " etaoinshrdlu";
  for (size_t i = 0; vocab.size() < kVocab; ++i) {
    const std::string left = Letter(often[i / often.size()]);
    const std::string right = Letter(often[i % often.size()]);
    merges.push_back(Json::array({left, right}));
    add(left + right);
  }
  const Json bytes = {{"type", "ByteLevel"},
                      {"add_prefix_space", false},
                      {"trim_offsets", true},
                      {"use_regex", false}};
  return {{"added_tokens", added},
          {"pre_tokenizer", bytes},
          {"decoder", bytes},
          {"model", {{"type", "BPE"}, {"vocab", vocab}, {"merges", merges}}}};
}

void Write(const fs::path& path, const Json& json) {
  std::ofstream(path) << DumpJson(json);
  GYRATOR_CHECK(fs::file_size(path) > 0);
}

}  // namespace

ChatModelFolder::ChatModelFolder(const std::string& name)
    : path_((fs::temp_directory_path() / ("chat_" + std::to_string(::getpid()) + "_" + name))
                .string()) {
  const fs::path golden = fs::path(SourcePath("tests/golden/models")) / name;
  const fs::path folder = path_;
  fs::create_directories(folder);
  for (const char* file : {"config.json", "model.safetensors"}) {
    fs::copy_file(golden / file, folder / file, fs::copy_options::overwrite_existing);
  }
  Write(folder / "tokenizer.json", TokenizerJson());
  Write(folder / "tokenizer_config.json",
        {{"eos_token", kSpecial[3]}, {"chat_template", kTemplate}});
}

ChatModelFolder::~ChatModelFolder() { fs::remove_all(path_); }

std::shared_ptr<const Model> ChatModelFolder::Load(ComputeType compute) const {
  auto model = Model::Load(path_, {.compute = compute,
                                   .isa = "auto",
                                   .threads = 1,
                                   .digest_cache = path_ + "/digests",
                                   .progress = {}});
  if (!model.ok()) std::fprintf(stderr, "%s\n", model.status().ToString().c_str());
  GYRATOR_CHECK(model.ok());
  GYRATOR_CHECK((*model)->info().vocab == kVocab);
  return *std::move(model);
}

std::shared_ptr<const Model> LoadChatModel(const std::string& name, ComputeType compute) {
  return ChatModelFolder(name).Load(compute);  // what is mapped stays
}

}  // namespace gyrator
