// What tests of sessions share: the small models, token lists, options.
#pragma once

#include <gtest/gtest.h>

#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/source_path_testing.h"
#include "gyrator/engine.h"

namespace gyrator {

inline std::shared_ptr<const Model> LoadFromTree(const std::string& path, ComputeType compute,
                                                 const std::string& isa = "auto") {
  auto model = Model::Load(
      SourcePath(path),
      {.compute = compute, .isa = isa, .threads = 1, .digest_cache = {}, .progress = {}});
  EXPECT_TRUE(model.ok()) << model.status().ToString();
  return *std::move(model);
}

// Random weights, no tokenizer.
inline std::shared_ptr<const Model> LoadGolden(const std::string& name, ComputeType compute,
                                               const std::string& isa = "auto") {
  return LoadFromTree("tests/golden/models/" + name, compute, isa);
}

// The model that comes with the tree, with its tokenizer and template.
inline std::shared_ptr<const Model> LoadShipped(ComputeType compute) {
  return LoadFromTree("models/gyrator-chat.gguf", compute);
}

inline std::string ReadTree(const std::string& path) {
  std::ifstream file(SourcePath(path), std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

// Where the value of a key of a GGUF file begins: behind the key and its type.
inline size_t ValueOf(const std::string& gguf, const std::string& key) {
  const size_t at = gguf.find(key);
  EXPECT_NE(std::string::npos, at) << key;
  return at + key.size() + sizeof(uint32_t);
}

// A GGUF file with another template. A comment behind it keeps the tensors where the file's
// alignment wants them.
inline std::string WithTemplate(std::string gguf, std::string text) {
  const size_t at = ValueOf(gguf, "tokenizer.chat_template");
  uint64_t size = 0;
  std::memcpy(&size, gguf.data() + at, sizeof size);
  text += "{#";
  while ((text.size() + 2 - size) % 32 != 0) text += ' ';
  text += "#}";
  const uint64_t now = text.size();
  std::string length(sizeof now, '\0');
  std::memcpy(length.data(), &now, sizeof now);
  return gguf.replace(at, sizeof size + size, length + text);
}

inline std::shared_ptr<const Model> LoadBytes(const std::string& gguf) {
  const std::string path =
      testing::TempDir() + testing::UnitTest::GetInstance()->current_test_info()->name() + ".gguf";
  std::ofstream(path, std::ios::binary) << gguf;
  auto model = Model::Load(path, {.compute = ComputeType::kInt8,
                                  .isa = "auto",
                                  .threads = 1,
                                  .digest_cache = {},
                                  .progress = {}});
  EXPECT_TRUE(model.ok()) << model.status().ToString();
  std::filesystem::remove(path);
  return *std::move(model);
}

// Ids below 250, which all of the small models have.
inline std::vector<TokenId> Numbers(int32_t count, TokenId first) {
  std::vector<TokenId> tokens;
  for (int32_t i = 0; i < count; ++i) tokens.push_back((first + i * 7) % 250);
  return tokens;
}

inline std::vector<TokenId> Join(std::vector<TokenId> a, const std::vector<TokenId>& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

// A reply of so many tokens.
inline GenerateOptions Steps(int32_t count) {
  GenerateOptions options;
  options.tokens_max = count;
  options.ignore_end = true;
  return options;
}

inline std::unique_ptr<Engine> MakeEngine(const std::shared_ptr<const Model>& model,
                                          const EngineOptions& options) {
  auto engine = Engine::Create(model, options);
  EXPECT_TRUE(engine.ok()) << engine.status().ToString();
  return *std::move(engine);
}

inline std::unique_ptr<Session> MakeSession(Engine& engine, uint64_t seed,
                                            std::string name_space = {}) {
  SessionOptions options;
  options.sampler.seed = seed;
  options.cache_namespace = std::move(name_space);
  auto session = engine.NewSession(options);
  EXPECT_TRUE(session.ok()) << session.status().ToString();
  return *std::move(session);
}

}  // namespace gyrator
