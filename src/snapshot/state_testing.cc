#include "snapshot/state_testing.h"

#include <gtest/gtest.h>

#include <cstring>

#include "base/sha256.h"
#include "snapshot/kv_rows.h"
#include "snapshot/window_text.h"
#include "tensor/dtype.h"

namespace gyrator {

namespace {

constexpr int32_t kVocab = 37;

uint64_t NextRandom(uint64_t* state) {  // splitmix64
  uint64_t z = (*state += 0x9e3779b97f4a7c15u);
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
  return z ^ (z >> 31);
}

// Random bits of an element; finite unless any_bits.
uint32_t RandomElement(const TestShape& shape, DType dtype, uint64_t* state) {
  uint32_t bits = static_cast<uint32_t>(NextRandom(state));
  if (shape.any_bits) {
    // One in four is a NaN or infinity with its own payload.
    if (bits % 4 == 0) bits |= dtype == DType::kF16 ? 0x7c007c00u : 0x7f807f80u;
    return bits;
  }
  if (dtype == DType::kI8) return bits;
  return bits & (dtype == DType::kF16 ? 0xbbffbbffu : 0xbf7fbf7fu);
}

// [width] elements.
std::vector<std::byte> RandomRow(const TestShape& shape, KvTensor tensor, uint64_t* state) {
  const DType dtype = KvElementDType(shape.dtype, tensor);
  const size_t element = LayoutOf(dtype).bytes;
  std::vector<std::byte> row(static_cast<size_t>(
      KvRowBytes({shape.dtype, shape.num_layers, shape.num_kv_heads, shape.head_dim}, tensor)));
  for (size_t at = 0; at < row.size(); at += element) {
    const uint32_t bits = RandomElement(shape, dtype, state);
    std::memcpy(row.data() + at, &bits, element);
  }
  return row;
}

KeyValues TestIdentity(const TestShape& shape) {
  KeyValues identity;
  identity.Set("model", "tiny test");
  identity.Set("arch", "llama");
  identity.SetInt("n_heads", shape.num_kv_heads * 2);
  identity.SetInt("vocab_size", kVocab);
  identity.Set("rope.type", "default");
  identity.Set("rope.base", "10000");
  identity.SetInt("hidden_size", shape.num_kv_heads * 2 * shape.head_dim);
  identity.Set("norm_eps", "1e-05");
  identity.Set("end_of_generation", "2,7");
  identity.Set("weights_sha256", std::string(64, 'a'));
  identity.Set("tokenizer_sha256", std::string(64, 'b'));
  identity.Set("template_sha256", std::string(64, 'c'));
  identity.Set("compute", "f32");
  identity.Set("numerics", "f32.v1");
  identity.SetInt("cache_capacity", 64);
  return identity;
}

// The last evicted token stood behind the window, the others in its middle.
std::string TestWindow(const TestShape& shape) {
  if (shape.evicted == 0) return {};
  WindowText window{.overflow = "message", .mode = "shift", .sinks = 4, .headroom = 256};
  for (int32_t i = 0; i < shape.evicted; ++i) {
    const int32_t at = i + 1 < shape.evicted ? shape.cp / 2 : shape.cp;
    if (window.evicted.empty() || window.evicted.back().at != at)
      window.evicted.push_back({at, {}});
    window.evicted.back().tokens.push_back(i % kVocab);
  }
  window.log = {{.cp = shape.cp, .spans = {{1, 1 + shape.evicted}}, .policy = "message"}};
  return FormatWindow(window);
}

}  // namespace

TestState::TestState(const TestShape& wanted) : shape(wanted), identity(TestIdentity(wanted)) {
  uint64_t state = shape.seed;
  const int32_t num_blocks = (shape.cp + kBlockPositions - 1) / kBlockPositions;
  kv_ = {.base = nullptr,
         .dtype = shape.dtype,
         .num_layers = shape.num_layers,
         .num_blocks = 2 * num_blocks + 1,
         .num_kv_heads = shape.num_kv_heads,
         .head_dim = shape.head_dim};
  bytes_.resize(static_cast<size_t>(kv_.total_bytes()));
  kv_.base = bytes_.data();
  // Everything is NaN that no position owns.
  std::memset(bytes_.data(), 0xff, bytes_.size());
  for (int32_t i = 0; i < num_blocks; ++i) {
    blocks_.push_back(static_cast<uint32_t>(2 * (num_blocks - i) - 1));  // odd ones, descending
  }
  for (int32_t layer = 0; layer < shape.num_layers; ++layer) {
    for (const KvTensor tensor : KvTensorsOf(shape.dtype)) {
      for (int32_t head = 0; head < shape.num_kv_heads; ++head) {
        for (int32_t p = 0; p < shape.cp; ++p) {
          const std::vector<std::byte> row = RandomRow(shape, tensor, &state);
          ScatterRows(kv_, blocks(), {layer, tensor, head}, p, row);
        }
      }
    }
  }
  for (int32_t p = 0; p < shape.cp; ++p) {
    tokens.push_back(static_cast<TokenId>(NextRandom(&state) % kVocab));
    positions.push_back(p);
  }
  if (shape.cp > 0) {
    for (int32_t i = 0; i < kVocab; ++i) logits.push_back(0.25f * static_cast<float>(i) - 3.0f);
    const std::string split = std::to_string(std::min(2, shape.cp));
    chat = R"([{"role":"user","content":"Grüße","span":[0,)" + split +
           R"(]},{"role":"assistant","content":"hi","span":[)" + split + "," +
           std::to_string(shape.cp + shape.evicted) + "]}]";
  } else {
    chat = "[]";
  }
  window = TestWindow(shape);
  session.Set("id", "test-session");
  session.Set("phase", shape.cp > 0 ? "running" : "new");
  session.SetInt("turn", 1);
  session.Set("sampler.temperature", "0.8");
  session.Set("rng.state", "[1,2,3,4]");
}

SnapshotSource TestState::source() const {
  return {.tokens = tokens,
          .positions = positions,
          .kv = kv_,
          .blocks = blocks(),
          .chat = chat,
          .window = window,
          .logits = logits,
          .identity = &identity,
          .session = &session};
}

std::vector<std::byte> TestState::LogicalBytes() const {
  std::vector<std::byte> out;
  for (int32_t layer = 0; layer < shape.num_layers; ++layer) {
    for (const KvTensor tensor : KvTensorsOf(shape.dtype)) {
      for (int32_t head = 0; head < shape.num_kv_heads; ++head) {
        std::vector<std::byte> rows(
            static_cast<size_t>(KvRowBytes(GeometryOf(kv_), tensor) * shape.cp));
        GatherRows(kv_, blocks(), {layer, tensor, head}, 0, rows);
        out.insert(out.end(), rows.begin(), rows.end());
      }
    }
  }
  return out;
}

WrittenSnapshot MustWrite(FileSystem& fs, const TestState& state, bool require_finite,
                          const std::string& root) {
  ManualClock clock(kTestNanos);
  Result<WrittenSnapshot> written = WriteSnapshot(
      fs, clock, root, state.source(),
      {.writer_version = std::string(kTestVersion), .require_finite = require_finite});
  EXPECT_TRUE(written.ok()) << written.status().ToString();
  return written.ok() ? *std::move(written) : WrittenSnapshot();
}

std::map<std::string, std::string> ReadAll(FileSystem& fs, const std::string& folder) {
  std::map<std::string, std::string> files;
  const auto visit = [&](const auto& self, const std::string& prefix) -> void {
    const auto names = fs.List(JoinPath(folder, prefix));
    ASSERT_TRUE(names.ok()) << names.status().ToString();
    for (const std::string& name : *names) {
      const std::string path = prefix.empty() ? name : prefix + "/" + name;
      if (fs.Stat(JoinPath(folder, path))->kind == FileKind::kDirectory) {
        self(self, path);
      } else {
        files[path] = *ReadFile(fs, JoinPath(folder, path), 1u << 30);
      }
    }
  };
  visit(visit, "");
  return files;
}

void WriteAll(FileSystem& fs, const std::string& folder,
              const std::map<std::string, std::string>& files) {
  ASSERT_TRUE(RemoveTree(fs, folder).ok());
  ASSERT_TRUE(CreateDirectories(fs, folder).ok());
  for (const auto& [path, bytes] : files) {
    const std::string whole = JoinPath(folder, path);
    ASSERT_TRUE(CreateDirectories(fs, ParentPath(whole)).ok());
    ASSERT_TRUE(WriteNewFile(fs, whole, AsBytes(bytes)).ok()) << whole;
  }
}

std::string ManifestOf(const std::map<std::string, std::string>& files) {
  std::vector<ManifestEntry> entries;
  for (const auto& [path, bytes] : files) {
    if (path == kManifestFile) continue;
    entries.push_back({path, bytes.size(), HexText(Sha256Of(AsBytes(bytes)))});
  }
  return Manifest::FromEntries(std::move(entries)).Serialize();
}

}  // namespace gyrator
