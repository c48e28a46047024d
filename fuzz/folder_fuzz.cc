// A whole snapshot folder of hostile bytes: opened, verified, and loaded into blocks.
//
// Input: one byte of flags, then files, each: path length (u8), path, size (u16, little-endian),
// bytes. Flag 1: the manifest is made anew, so that the fuzzer gets past the digests.
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/check.h"
#include "base/fs_memory.h"
#include "base/sha256.h"
#include "snapshot/manifest.h"
#include "snapshot/reader.h"

namespace gyrator {
namespace {

constexpr char kFolder[] = "/f";

Status AddFile(MemoryFileSystem& fs, std::string_view path, ByteSpan bytes) {
  const std::string whole = JoinPath(kFolder, path);
  // One level of folders; odd paths simply fail.
  const size_t slash = path.find('/');
  if (slash != std::string_view::npos) {
    (void)fs.CreateDirectory(JoinPath(kFolder, path.substr(0, slash)));
  }
  return WriteNewFile(fs, whole, bytes);
}

// Unpacks the input; gives what the manifest should list.
std::vector<ManifestEntry> Unpack(MemoryFileSystem& fs, ByteReader& reader) {
  std::vector<ManifestEntry> entries;
  while (reader.remaining() > 0) {
    const auto path_bytes = reader.Read<uint8_t>();
    if (!path_bytes.ok()) break;
    const auto path = reader.Take(*path_bytes);
    if (!path.ok()) break;
    const auto size = reader.Read<uint16_t>();
    if (!size.ok()) break;
    const auto bytes = reader.Take(std::min<uint64_t>(*size, reader.remaining()));
    if (!AddFile(fs, AsText(*path), *bytes).ok()) continue;
    entries.push_back({std::string(AsText(*path)), bytes->size(), HexText(Sha256Of(*bytes))});
  }
  return entries;
}

void LoadInto(MemoryFileSystem& fs, const Snapshot& snapshot) {
  const KvGeometry& geometry = snapshot.kv;
  const int64_t blocks = (int64_t{snapshot.cp()} + kBlockPositions - 1) / kBlockPositions;
  const int64_t elements = blocks * kBlockPositions * geometry.num_layers * 2 *
                           geometry.num_kv_heads * geometry.head_dim;
  if (geometry.head_dim % 2 != 0 || elements > 1 << 20) return;
  for (const DType dtype : {DType::kF32, DType::kBF16, DType::kI8}) {
    if (dtype == DType::kI8 && geometry.head_dim % kKvGroup != 0) continue;
    PagedKv kv{.base = nullptr,
               .dtype = dtype,
               .num_layers = geometry.num_layers,
               .num_blocks = static_cast<int32_t>(blocks),
               .num_kv_heads = geometry.num_kv_heads,
               .head_dim = geometry.head_dim};
    std::vector<std::byte> bytes(static_cast<size_t>(kv.total_bytes()));
    kv.base = bytes.data();
    std::vector<uint32_t> table(static_cast<size_t>(blocks));
    for (size_t i = 0; i < table.size(); ++i) table[i] = static_cast<uint32_t>(i);
    const Status loaded =
        LoadKv(fs, snapshot, kv, {table.data(), static_cast<int32_t>(blocks)}, {});
    GYRATOR_CHECK(loaded.ok() || !loaded.message().empty());
  }
}

}  // namespace
}  // namespace gyrator

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace gyrator;
  MemoryFileSystem fs;
  GYRATOR_CHECK(fs.CreateDirectory(kFolder).ok());
  ByteReader reader({reinterpret_cast<const std::byte*>(data), size});
  const auto flags = reader.Read<uint8_t>();
  if (!flags.ok()) return 0;
  std::vector<ManifestEntry> entries = Unpack(fs, reader);
  if (*flags & 1) {
    const std::string text = Manifest::FromEntries(std::move(entries)).Serialize();
    (void)AddFile(fs, kManifestFile, AsBytes(text));
  }
  (void)ReadSummary(fs, kFolder);
  const auto snapshot = OpenSnapshot(fs, kFolder);
  (void)VerifySnapshot(fs, kFolder, {});
  if (!snapshot.ok()) return 0;
  GYRATOR_CHECK(snapshot->tokens.size() == snapshot->positions.size());
  (void)CheckCompatible(*snapshot, snapshot->config, 64);
  LoadInto(fs, *snapshot);
  return 0;
}
