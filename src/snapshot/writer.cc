#include "snapshot/writer.h"

#include <algorithm>
#include <vector>

#include "formats/npy.h"
#include "snapshot/errors.h"
#include "snapshot/identity.h"
#include "snapshot/invariants.h"
#include "snapshot/kv_rows.h"
#include "snapshot/limits.h"
#include "snapshot/protocol.h"
#include "snapshot/window_text.h"

namespace gyrator {

namespace {

constexpr int64_t kBufferBytes = 256 << 10;
constexpr uint64_t kFileOverhead = 8 << 10;      // header, rounding to disk blocks, directory entry
constexpr uint64_t kProtocolBytesMax = 1 << 10;  // of the keys that every protocol.txt has
constexpr uint64_t kManifestLineMax = 192;       // of a tensor
constexpr std::string_view kElements =
    "[input_ids,attention_mask,position_ids,past_key_values,logits,chat,config,protocol,session,"
    "keylog,obfchain]";
constexpr std::string_view kElementsWithWindow =
    "[input_ids,attention_mask,position_ids,past_key_values,logits,chat,config,protocol,session,"
    "keylog,obfchain,window]";

int64_t CpOf(const SnapshotSource& source) { return static_cast<int64_t>(source.tokens.size()); }

template <class T>
ByteSpan BytesOf(std::span<const T> values) {
  return std::as_bytes(values);
}

const ForeignKeys& ForeignOf(const SnapshotSource& source) {
  static const ForeignKeys none;
  return source.foreign != nullptr ? *source.foreign : none;
}

// The text files whose keys do not depend on when they are written.
struct Texts {
  KeyValues config, session, keylog;
};

Texts TextsOf(const SnapshotSource& source) {
  const ForeignKeys& foreign = ForeignOf(source);
  Texts texts;
  texts.config = MakeConfig(*source.identity, GeometryOf(source.kv));
  texts.config.SetInt("cache_position", CpOf(source));
  texts.config.SetInt("n_tokens", CpOf(source));
  texts.config.AddMissing(foreign.config);
  texts.session = *source.session;
  texts.session.SetInt("cp", CpOf(source));
  texts.session.AddMissing(foreign.session);
  if (const auto id = source.session->Find("id")) texts.keylog.Set("session_id", *id);
  texts.keylog.Set("source", "gyrator");
  texts.keylog.AddMissing(foreign.keylog);
  return texts;
}

// How much room the folder takes on the disk.
uint64_t TotalBytes(const SnapshotSource& source, const Texts& texts) {
  uint64_t total = 0;
  const auto add = [&total](uint64_t bytes) { total += bytes + kFileOverhead; };
  for (const KeyValues* keys :
       {&texts.config, &texts.session, &texts.keylog, &ForeignOf(source).protocol}) {
    add(keys->Serialize().size() + kProtocolBytesMax);
  }
  add(source.chat.size());
  add(source.window.size());
  add(source.logits.size_bytes() + kNpyHeaderBytesMax);
  for (int file = 0; file < 3; ++file) {  // ids, mask, positions
    add(source.tokens.size() * sizeof(int64_t) + kNpyHeaderBytesMax);
  }
  const uint64_t kv_files =
      KvTensorsOf(source.kv.dtype).size() * static_cast<uint64_t>(source.kv.num_layers);
  add(kv_files * kManifestLineMax);
  total += KvBytes(GeometryOf(source.kv), CpOf(source)) + kv_files * kFileOverhead;
  return total;
}

Status AddArray(FolderWriter& writer, std::string_view path, const TensorView& array) {
  GYRATOR_ASSIGN_OR_RETURN(FolderWriter::File file, writer.Create(path));
  GYRATOR_RETURN_IF_ERROR(file.Append(AsBytes(NpyHeader(array.dtype, array.shape))));
  GYRATOR_RETURN_IF_ERROR(file.Append(array.bytes));
  return writer.Finish(std::move(file));
}

// int64 [1, T]
Status AddIndexRow(FolderWriter& writer, std::string_view path, const std::vector<int64_t>& row) {
  return AddArray(writer, path,
                  {.dtype = DType::kI64,
                   .shape = {1, static_cast<int64_t>(row.size())},
                   .bytes = BytesOf<int64_t>(row)});
}

Status AddIndexRows(FolderWriter& writer, const SnapshotSource& source) {
  const std::vector<int64_t> ids(source.tokens.begin(), source.tokens.end());
  const std::vector<int64_t> mask(source.tokens.size(), 1);
  const std::vector<int64_t> positions(source.positions.begin(), source.positions.end());
  GYRATOR_RETURN_IF_ERROR(AddIndexRow(writer, kInputIdsFile, ids));
  GYRATOR_RETURN_IF_ERROR(AddIndexRow(writer, kAttentionMaskFile, mask));
  return AddIndexRow(writer, kPositionIdsFile, positions);
}

Status AddLogits(FolderWriter& writer, const SnapshotSource& source, int64_t vocab_size) {
  return AddArray(writer, kLogitsFile,
                  {.dtype = DType::kF32,
                   .shape = {source.logits.empty() ? 0 : 1, vocab_size},
                   .bytes = BytesOf<float>(source.logits)});
}

// One tensor of a layer: (1, kv heads, cp, width), canonical rows, a buffer at a time.
Status AddKv(FolderWriter& writer, const SnapshotSource& source, const WriteOptions& options,
             HeadPlace place) {
  const PagedKv& kv = source.kv;
  const std::string path = KvFile(place.layer, place.tensor);
  const KvGeometry geometry = GeometryOf(kv);
  const DType dtype = KvElementDType(kv.dtype, place.tensor);
  const int64_t cp = CpOf(source), row_bytes = KvRowBytes(geometry, place.tensor);
  GYRATOR_ASSIGN_OR_RETURN(FolderWriter::File file, writer.Create(path));
  GYRATOR_RETURN_IF_ERROR(file.Append(AsBytes(
      NpyHeader(KvStoredDType(dtype), {1, kv.num_kv_heads, cp, KvWidth(geometry, place.tensor)}))));
  const int64_t rows_max = std::max<int64_t>(1, kBufferBytes / row_bytes);
  std::vector<std::byte> buffer(static_cast<size_t>(std::min(rows_max, cp) * row_bytes));
  for (place.kv_head = 0; place.kv_head < kv.num_kv_heads; ++place.kv_head) {
    for (int64_t begin = 0; begin < cp; begin += rows_max) {
      const int64_t count = std::min(rows_max, cp - begin);
      const std::span<std::byte> rows(buffer.data(), static_cast<size_t>(count * row_bytes));
      GatherRows(kv, source.blocks, place, static_cast<int32_t>(begin), rows);
      if (options.require_finite && !AllFinite(dtype, rows)) {
        return StateInconsistent(path, "a value is not finite");
      }
      GYRATOR_RETURN_IF_ERROR(file.Append(rows));
    }
  }
  return writer.Finish(std::move(file));
}

Status AddAllKv(FolderWriter& writer, const SnapshotSource& source, const WriteOptions& options) {
  const uint64_t total = KvBytes(GeometryOf(source.kv), CpOf(source));
  const auto layers = static_cast<uint64_t>(source.kv.num_layers);
  for (int32_t layer = 0; layer < source.kv.num_layers; ++layer) {
    for (const KvTensor tensor : KvTensorsOf(source.kv.dtype)) {
      GYRATOR_RETURN_IF_ERROR(AddKv(writer, source, options, {.layer = layer, .tensor = tensor}));
    }
    if (options.progress)
      options.progress(total / layers * (static_cast<uint64_t>(layer) + 1), total);
  }
  return {};
}

}  // namespace

uint64_t KvBytes(const KvGeometry& kv, int64_t cp) {
  uint64_t layer = 0;
  for (const KvTensor tensor : KvTensorsOf(kv.dtype)) layer += KvTensorBytes(kv, tensor, cp);
  return layer * static_cast<uint64_t>(kv.num_layers);
}

Status CheckForeign(const ForeignKeys& foreign) {
  const std::pair<std::string_view, const KeyValues*> all[] = {{kConfigFile, &foreign.config},
                                                               {kProtocolFile, &foreign.protocol},
                                                               {kSessionFile, &foreign.session},
                                                               {kKeylogFile, &foreign.keylog}};
  for (const auto& [path, keys] : all) {
    GYRATOR_RETURN_IF_ERROR(keys->Check().Annotate(path));
    if (keys->lines().size() <= kForeignKeysMax) continue;
    return StateInconsistent(path, "at most " + std::to_string(kForeignKeysMax) +
                                       " keys that are not this program's expected, found " +
                                       std::to_string(keys->lines().size()));
  }
  return {};
}

namespace {

Status CheckOwnKeys(std::string_view path, const KeyValues& keys) {
  GYRATOR_RETURN_IF_ERROR(keys.Check().Annotate(path));
  if (keys.lines().size() <= kOwnKeysMax) return {};
  return StateInconsistent(path, "at most " + std::to_string(kOwnKeysMax) +
                                     " keys expected, found " +
                                     std::to_string(keys.lines().size()));
}

Result<int64_t> PositiveIn(const KeyValues& config, std::string_view key) {
  GYRATOR_ASSIGN_OR_RETURN(const int64_t value, config.GetInt(key));
  if (value >= 1) return value;
  return StateInconsistent(kConfigFile, std::string(key) + ": expected a positive integer");
}

}  // namespace

Status CheckSource(const SnapshotSource& source) {
  GYRATOR_RETURN_IF_ERROR(CheckOwnKeys(kConfigFile, *source.identity));
  GYRATOR_RETURN_IF_ERROR(CheckOwnKeys(kSessionFile, *source.session));
  GYRATOR_RETURN_IF_ERROR(CheckForeign(ForeignOf(source)));
  const KeyValues config = TextsOf(source).config;
  GYRATOR_RETURN_IF_ERROR(CheckConfigKeys(config));
  GYRATOR_RETURN_IF_ERROR(GeometryFromConfig(config).status());
  GYRATOR_ASSIGN_OR_RETURN(const int64_t capacity, PositiveIn(config, "cache_capacity"));
  GYRATOR_ASSIGN_OR_RETURN(const int64_t vocab_size, PositiveIn(config, "vocab_size"));
  if (CpOf(source) > int64_t{source.blocks.num_blocks} * kBlockPositions) {
    return StateInconsistent(kKvFolder, "the block table covers fewer positions than cp " +
                                            std::to_string(CpOf(source)));
  }
  int64_t evicted = 0;
  if (!source.window.empty()) {
    GYRATOR_ASSIGN_OR_RETURN(const WindowText window,
                             ParseWindow(source.window, CpOf(source), vocab_size));
    evicted = window.NumEvicted();
  }
  return CheckState({.tokens = source.tokens,
                     .positions = source.positions,
                     .cp = CpOf(source),
                     .capacity = capacity,
                     .vocab_size = vocab_size,
                     .chat = source.chat,
                     .logits = source.logits,
                     .evicted = evicted});
}

Status WriteElements(FolderWriter& writer, const SnapshotSource& source,
                     const WriteOptions& options) {
  const Texts texts = TextsOf(source);
  GYRATOR_RETURN_IF_ERROR(writer.RequireSpace(TotalBytes(source, texts)));
  GYRATOR_ASSIGN_OR_RETURN(const int64_t vocab_size, texts.config.GetInt("vocab_size"));
  GYRATOR_RETURN_IF_ERROR(AddIndexRows(writer, source));
  GYRATOR_RETURN_IF_ERROR(AddAllKv(writer, source, options));
  GYRATOR_RETURN_IF_ERROR(AddLogits(writer, source, vocab_size));
  const bool has_window = !source.window.empty();
  KeyValues protocol = MakeProtocol({.minor = kFormatMinor,
                                     .writer = "gyrator",
                                     .writer_version = options.writer_version,
                                     .created_nanos = writer.created_nanos(),
                                     .sequence = writer.sequence()},
                                    has_window ? kElementsWithWindow : kElements);
  protocol.AddMissing(ForeignOf(source).protocol);
  GYRATOR_RETURN_IF_ERROR(writer.Add(kChatFile, AsBytes(source.chat)));
  const std::pair<std::string_view, std::string> files[] = {
      {kConfigFile, texts.config.Serialize()},   {kProtocolFile, protocol.Serialize()},
      {kSessionFile, texts.session.Serialize()}, {kKeylogFile, texts.keylog.Serialize()},
      {kChainFile, std::string(kEmptyChain)},
  };
  for (const auto& [path, text] : files) {
    GYRATOR_RETURN_IF_ERROR(writer.Add(path, AsBytes(text)));
  }
  if (has_window) GYRATOR_RETURN_IF_ERROR(writer.Add(kWindowFile, AsBytes(source.window)));
  return {};
}

Result<WrittenSnapshot> WriteSnapshot(FileSystem& fs, Clock& clock, const std::string& root,
                                      const SnapshotSource& source, const WriteOptions& options) {
  GYRATOR_RETURN_IF_ERROR(CheckSource(source));
  GYRATOR_ASSIGN_OR_RETURN(const std::unique_ptr<FolderWriter> writer,
                           FolderWriter::Begin(fs, clock, root));
  GYRATOR_RETURN_IF_ERROR(WriteElements(*writer, source, options));
  GYRATOR_ASSIGN_OR_RETURN(const Manifest manifest, writer->Commit());
  return WrittenSnapshot{.folder = writer->folder(),
                         .stamp = writer->stamp(),
                         .root_digest = manifest.root(),
                         .bytes = manifest.total_bytes()};
}

}  // namespace gyrator
