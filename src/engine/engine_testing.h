// What tests of sessions share: the small models, token lists, options.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "gyrator/engine.h"

namespace gyrator {

inline std::shared_ptr<const Model> LoadFromTree(const std::string& path, ComputeType compute,
                                                 const std::string& isa = "auto") {
  auto model = Model::Load(
      std::string(GYRATOR_SOURCE_DIR) + "/" + path,
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
