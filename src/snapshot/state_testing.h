// A small session state with random bits, for the tests of this module.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "base/fs_memory.h"
#include "base/keyvalue.h"
#include "snapshot/writer.h"

namespace gyrator {

struct TestShape {
  DType dtype = DType::kF32;
  int32_t num_layers = 2, num_kv_heads = 2, head_dim = 4;
  int32_t cp = 5;
  bool any_bits = false;  // NaN payloads, infinities, denormals; else finite values
  uint64_t seed = 1;
  int32_t evicted = 0;  // tokens that window.txt has; 0: no such file
  bool operator==(const TestShape&) const = default;
};

// Owns blocks that lie in no order, with garbage in the slots beyond cp.
class TestState {
 public:
  explicit TestState(const TestShape& shape);

  // Points into this object.
  SnapshotSource source() const;
  PagedKv kv() const { return kv_; }
  BlockTableView blocks() const { return {blocks_.data(), static_cast<int32_t>(blocks_.size())}; }
  // The bits of K and V of positions below cp, in logical order.
  std::vector<std::byte> LogicalBytes() const;

  TestShape shape;
  std::vector<TokenId> tokens;
  std::vector<Position> positions;
  std::vector<float> logits;
  std::string chat;
  std::string window;
  KeyValues identity, session;

 private:
  std::vector<uint32_t> blocks_;
  std::vector<std::byte> bytes_;
  PagedKv kv_;
};

inline constexpr int64_t kTestNanos = 1'763'708'585'123'456'789;  // 2025-11-21T07:03:05 UTC
inline constexpr std::string_view kTestVersion = "0.0.1-test";

WrittenSnapshot MustWrite(FileSystem& fs, const TestState& state, bool require_finite = true,
                          const std::string& root = "/root");

// Every file below `folder` of a memory file system: relative path -> bytes.
std::map<std::string, std::string> ReadAll(FileSystem& fs, const std::string& folder);
// Writes such a map as a folder (parents are made).
void WriteAll(FileSystem& fs, const std::string& folder,
              const std::map<std::string, std::string>& files);

// The manifest that the other files deserve.
std::string ManifestOf(const std::map<std::string, std::string>& files);

}  // namespace gyrator
