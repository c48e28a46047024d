#include "snapshot/bare.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <optional>

#include "base/check.h"
#include "formats/npy.h"
#include "kernels/ops.h"
#include "snapshot/errors.h"
#include "snapshot/kv_convert.h"
#include "snapshot/kv_rows.h"
#include "snapshot/limits.h"
#include "tensor/dtype.h"

namespace gyrator {

namespace {

// metadata/x.txt, or x.txt at the top level; empty when there is neither.
Result<std::string> TextPath(const FolderFiles& files, std::string_view canonical) {
  const std::string top(canonical.substr(canonical.find('/') + 1));
  const bool in_metadata = files.contains(canonical), at_top = files.contains(top);
  if (in_metadata && at_top) {
    return StateInconsistent(top, "is there twice, at the top level and in metadata/");
  }
  return in_metadata ? std::string(canonical) : at_top ? top : std::string();
}

Result<std::string> ReadText(FileSystem& fs, const std::string& folder, const FolderFiles& files,
                             std::string_view canonical) {
  GYRATOR_ASSIGN_OR_RETURN(const std::string path, TextPath(files, canonical));
  if (path.empty()) return std::string();
  return ReadElement(fs, folder, path);
}

Result<KeyValues> ReadKeyValues(FileSystem& fs, const std::string& folder, const FolderFiles& files,
                                std::string_view canonical) {
  GYRATOR_ASSIGN_OR_RETURN(const std::string text, ReadText(fs, folder, files, canonical));
  return ParseKeys(canonical, text);
}

Status RefuseFullElements(const FolderFiles& files) {
  for (const std::string_view path :
       {kProtocolFile, kSessionFile, kChatFile, kLogitsFile, kWindowFile, kManifestFile}) {
    const std::string top(path.substr(path.find('/') == std::string_view::npos ? 0 : 9));
    if (files.contains(path) || files.contains(top)) {
      return Status::Corruption(std::string(kManifestFile) + ": missing, but there is " + top +
                                ", which only a folder with a manifest has")
          .Named("missing_element");
    }
  }
  return {};
}

template <class T>
int64_t ElementAs(ByteSpan bytes, size_t i) {
  T value;
  std::memcpy(&value, bytes.data() + i * sizeof(T), sizeof(T));
  return static_cast<int64_t>(value);  // u64 beyond int64 turns negative: refused later
}

using ElementReader = int64_t (*)(ByteSpan bytes, size_t i);

// nullptr when the type is no integer.
ElementReader ReaderOf(DType dtype) {
  switch (dtype) {
    case DType::kBool:
    case DType::kU8:
      return ElementAs<uint8_t>;
    case DType::kI8:
      return ElementAs<int8_t>;
    case DType::kI16:
      return ElementAs<int16_t>;
    case DType::kU16:
      return ElementAs<uint16_t>;
    case DType::kI32:
      return ElementAs<int32_t>;
    case DType::kU32:
      return ElementAs<uint32_t>;
    case DType::kI64:
      return ElementAs<int64_t>;
    case DType::kU64:
      return ElementAs<uint64_t>;
    default:
      return nullptr;
  }
}

// A table of integers in its file's own type: widened, a table of bytes would be eight times as
// large.
class IndexTable {
 public:
  static Result<IndexTable> Read(FileSystem& fs, const std::string& folder, std::string_view path) {
    IndexTable table;
    GYRATOR_ASSIGN_OR_RETURN(table.file_, ReadElement(fs, folder, path));
    const Result<NpyArray> array = ParseNpy(AsBytes(table.file_));
    if (!array.ok()) return StateInconsistent(path, array.status().message());
    table.read_ = ReaderOf(array->dtype);
    if (table.read_ == nullptr || array->shape.size() != 2) {
      return StateInconsistent(path, "expected integers of shape [rows, tokens], found " +
                                         std::string(DTypeName(array->dtype)) + " " +
                                         ShapeText(array->shape));
    }
    table.shape_ = array->shape;
    table.bytes_ = array->data;
    if (!array->IsNative()) {
      table.copy_ = NativeCopy(*array);
      table.bytes_ = table.copy_;
      table.file_ = {};
    }
    return table;
  }

  const Shape& shape() const { return shape_; }  // [rows, columns]
  size_t size() const { return static_cast<size_t>(shape_[0] * shape_[1]); }
  int64_t operator[](size_t i) const { return read_(bytes_, i); }  // C order

 private:
  std::string file_;
  std::vector<std::byte> copy_;
  ByteSpan bytes_;  // of either
  Shape shape_;
  ElementReader read_ = nullptr;
};

// Tokens and positions of the unmasked entries, in row order; where each entry's KV row goes.
Status ReadTokens(FileSystem& fs, const std::string& folder, Snapshot* snapshot) {
  GYRATOR_ASSIGN_OR_RETURN(const IndexTable ids, IndexTable::Read(fs, folder, kInputIdsFile));
  GYRATOR_ASSIGN_OR_RETURN(const IndexTable mask, IndexTable::Read(fs, folder, kAttentionMaskFile));
  GYRATOR_ASSIGN_OR_RETURN(const IndexTable positions,
                           IndexTable::Read(fs, folder, kPositionIdsFile));
  for (const auto& [path, table] :
       {std::pair(kAttentionMaskFile, &mask), std::pair(kPositionIdsFile, &positions)}) {
    if (table->shape() != ids.shape()) {
      return StateInconsistent(path, "shape " + ShapeText(table->shape()) + ", " +
                                         std::string(kInputIdsFile) + " has " +
                                         ShapeText(ids.shape()));
    }
  }
  size_t real = 0;
  for (size_t i = 0; i < mask.size(); ++i) real += mask[i] == 1 ? 1 : 0;
  snapshot->tokens.reserve(real);
  snapshot->positions.reserve(real);
  snapshot->row_positions.reserve(ids.size());
  for (size_t i = 0; i < ids.size(); ++i) {
    if (mask[i] != 0 && mask[i] != 1) {
      return StateInconsistent(kAttentionMaskFile,
                               "expected 0 or 1, found " + std::to_string(mask[i]));
    }
    if (mask[i] == 0) {
      snapshot->row_positions.push_back(-1);
      continue;
    }
    for (const auto& [path, value] :
         {std::pair(kInputIdsFile, ids[i]), std::pair(kPositionIdsFile, positions[i])}) {
      if (value < 0 || value > INT32_MAX) {
        return StateInconsistent(path, "value " + std::to_string(value) + " out of range");
      }
    }
    snapshot->row_positions.push_back(snapshot->cp());
    snapshot->tokens.push_back(static_cast<TokenId>(ids[i]));
    snapshot->positions.push_back(static_cast<Position>(positions[i]));
  }
  return {};
}

// Number of layers: 0_key.npy, 0_value.npy, 1_key.npy, ...
Result<int32_t> CountLayers(const FolderFiles& files) {
  int32_t layers = 0;
  const auto has = [&](KvTensor tensor) { return files.contains(KvFile(layers, tensor)); };
  while (has(KvTensor::kKey) && has(KvTensor::kValue)) ++layers;
  if (has(KvTensor::kKey)) return MissingElement(KvFile(layers, KvTensor::kValue));
  if (has(KvTensor::kValue) || layers == 0) return MissingElement(KvFile(layers, KvTensor::kKey));
  return layers;
}

// Every tensor of every layer is there, and nothing else.
Status CheckTensorFiles(const FolderFiles& files, const KvGeometry& kv) {
  for (int32_t layer = 0; layer < kv.num_layers; ++layer) {
    for (const KvTensor tensor : KvTensorsOf(kv.dtype)) {
      const std::string path = KvFile(layer, tensor);
      if (!files.contains(path)) return MissingElement(path);
    }
  }
  const std::string prefix = std::string(kKvFolder) + "/";
  const auto found = std::count_if(
      files.begin(), files.end(), [&](const auto& file) { return file.first.starts_with(prefix); });
  const bool int8 = kv.dtype == DType::kI8;
  if (static_cast<size_t>(found) ==
      KvTensorsOf(kv.dtype).size() * static_cast<size_t>(kv.num_layers)) {
    return {};
  }
  return StateInconsistent(kKvFolder, "expected keys and values" +
                                          std::string(int8 ? " and their scales" : "") +
                                          " of layers 0 to " + std::to_string(kv.num_layers - 1) +
                                          " alone, found " + std::to_string(found) + " files");
}

// K and V type of an array; nullopt when it is none.
std::optional<DType> KvDTypeOf(DType stored, const KeyValues& config) {
  if (stored == DType::kF32 || stored == DType::kF16 || stored == DType::kI8) return stored;
  if (stored == DType::kU16 && config.Find("dtype") == "bfloat16") return DType::kBF16;
  return std::nullopt;
}

// What the header of an .npy file says; no data.
Result<NpyArray> ReadHeader(const ReadableFile& file, std::string_view path) {
  std::string start(std::min<uint64_t>(file.size(), kNpyHeaderBytesMax), '\0');
  const Status read = file.ReadAt(0, std::as_writable_bytes(std::span(start)));
  if (!read.ok()) return ElementError(read, path);
  Result<NpyArray> array = ParseNpyHeader(AsBytes(start), file.size());
  if (!array.ok()) return StateInconsistent(path, array.status().message());
  return array;
}

// The geometry that the first key tensor has.
Status ReadGeometry(FileSystem& fs, const std::string& folder, const FolderFiles& files,
                    Snapshot* snapshot) {
  GYRATOR_ASSIGN_OR_RETURN(snapshot->kv.num_layers, CountLayers(files));
  const std::string path = KvFile(0, KvTensor::kKey);
  GYRATOR_ASSIGN_OR_RETURN(const std::unique_ptr<ReadableFile> file, OpenElement(fs, folder, path));
  const Result<NpyArray> array = ReadHeader(*file, path);
  GYRATOR_RETURN_IF_ERROR(array.status());
  const auto dtype = KvDTypeOf(array->dtype, snapshot->config);
  const Shape& shape = array->shape;
  const bool fits = shape.size() == 4 && shape[0] == 1 && shape[1] >= 1 && shape[1] <= 4096 &&
                    shape[3] >= 1 && shape[3] <= 4096;
  const bool groups_fit = dtype != DType::kI8 || (fits && shape[3] % kKvGroup == 0);
  if (!dtype || !fits || !groups_fit) {
    return StateInconsistent(path,
                             "expected float32, float16, int8 (head_dim a multiple of 32) or (with "
                             "'dtype: bfloat16') uint16 of shape [1, kv heads, tokens, head_dim], "
                             "found " +
                                 std::string(DTypeName(array->dtype)) + " " + ShapeText(shape));
  }
  snapshot->kv.dtype = *dtype;
  snapshot->kv.num_kv_heads = static_cast<int32_t>(shape[1]);
  snapshot->kv.head_dim = static_cast<int32_t>(shape[3]);
  return CheckTensorFiles(files, snapshot->kv);
}

// What config.txt says of the geometry must be what the tensors are.
Status CheckConfigAgrees(const Snapshot& snapshot) {
  const std::pair<std::string_view, int64_t> counts[] = {
      {"n_layers", snapshot.kv.num_layers}, {"n_kv_heads", snapshot.kv.num_kv_heads},
      {"head_dim", snapshot.kv.head_dim},   {"cache_position", snapshot.cp()},
      {"n_tokens", snapshot.cp()},
  };
  for (const auto& [key, found] : counts) {
    if (!snapshot.config.Contains(key)) continue;
    const Result<int64_t> stated = snapshot.config.GetInt(key);
    if (!stated.ok()) return StateInconsistent(kConfigFile, stated.status().message());
    if (*stated != found) {
      return StateInconsistent(kConfigFile, std::string(key) + " is " + std::to_string(*stated) +
                                                ", the tensors have " + std::to_string(found));
    }
  }
  return {};
}

// The array of a whole file, in C order and native byte order: [kv heads, tokens, width].
struct WholeTensor {
  ByteSpan view;                // where the file has it so
  std::vector<std::byte> copy;  // where not
  int64_t tokens = 0;
  size_t row_bytes = 0;

  ByteSpan Row(int32_t kv_head, int64_t token) const {
    const auto at = static_cast<size_t>(kv_head * tokens + token) * row_bytes;
    return (view.empty() ? ByteSpan(copy) : view).subspan(at, row_bytes);
  }
};

// Whether an array is the tensor that belongs at `place`.
Status CheckTensor(const Snapshot& snapshot, const HeadPlace& place, const NpyArray& array) {
  const std::string path = KvFile(place.layer, place.tensor);
  const bool bare = snapshot.verification == Verification::kBare;
  const Shape& shape = array.shape;
  const auto entries =
      bare ? static_cast<int64_t>(snapshot.row_positions.size()) : int64_t{snapshot.cp()};
  const Shape expected = {1, snapshot.kv.num_kv_heads, entries, KvWidth(snapshot.kv, place.tensor)};
  const bool rank_fits = shape.size() == 4;
  // A static cache is longer than its tokens.
  const bool tokens_fit = rank_fits && (bare ? shape[2] >= entries : shape[2] == entries);
  const bool shape_fits =
      tokens_fit && shape[0] == 1 && shape[1] == expected[1] && shape[3] == expected[3];
  const DType stored = KvStoredDType(KvElementDType(snapshot.kv.dtype, place.tensor));
  if (array.dtype == stored && shape_fits) return {};
  return StateInconsistent(path, "expected " + std::string(DTypeName(stored)) + " " +
                                     ShapeText(expected) + (bare ? " (or more tokens)" : "") +
                                     ", found " + std::string(DTypeName(array.dtype)) + " " +
                                     ShapeText(shape));
}

Result<WholeTensor> ParseTensor(const Snapshot& snapshot, const HeadPlace& place, ByteSpan file) {
  const std::string path = KvFile(place.layer, place.tensor);
  const Result<NpyArray> array = ParseNpy(file);
  if (!array.ok()) return StateInconsistent(path, array.status().message());
  GYRATOR_RETURN_IF_ERROR(CheckTensor(snapshot, place, *array));
  WholeTensor tensor;
  if (array->IsNative()) {
    tensor.view = array->data;
  } else {
    tensor.copy = NativeCopy(*array);
  }
  tensor.tokens = array->shape[2];
  tensor.row_bytes = static_cast<size_t>(KvRowBytes(snapshot.kv, place.tensor));
  return tensor;
}

// One row of a file and where it goes.
struct RowPlace {
  int32_t kv_head;
  int64_t token;
  int32_t position;
};

// Calls take(row) for every row that is no padding, until it refuses one.
template <class Take>
Status ForEachRow(const Snapshot& snapshot, Take take) {
  // Full folders have no map: every row is its own position.
  const bool mapped = snapshot.verification == Verification::kBare;
  const int64_t rows = mapped ? static_cast<int64_t>(snapshot.row_positions.size()) : snapshot.cp();
  for (int32_t kv_head = 0; kv_head < snapshot.kv.num_kv_heads; ++kv_head) {
    for (int64_t t = 0; t < rows; ++t) {
      const int32_t position =
          mapped ? snapshot.row_positions[static_cast<size_t>(t)] : static_cast<int32_t>(t);
      if (position < 0) continue;
      GYRATOR_RETURN_IF_ERROR(take(RowPlace{kv_head, t, position}));
    }
  }
  return {};
}

Status NotFinite(const HeadPlace& place, int64_t token) {
  return StateInconsistent(KvFile(place.layer, place.tensor),
                           "a value of token " + std::to_string(token) + " is not finite");
}

}  // namespace

Result<BareSummary> SummarizeBare(FileSystem& fs, const std::string& folder,
                                  const FolderFiles& files) {
  GYRATOR_RETURN_IF_ERROR(RefuseFullElements(files));
  BareSummary summary;
  GYRATOR_ASSIGN_OR_RETURN(summary.config, ReadKeyValues(fs, folder, files, kConfigFile));
  GYRATOR_ASSIGN_OR_RETURN(const std::unique_ptr<ReadableFile> ids,
                           OpenElement(fs, folder, kInputIdsFile));
  GYRATOR_ASSIGN_OR_RETURN(const NpyArray array, ReadHeader(*ids, kInputIdsFile));
  if (array.shape.size() != 2) {
    return StateInconsistent(kInputIdsFile, "expected integers of shape [rows, tokens], found " +
                                                ShapeText(array.shape));
  }
  summary.entries = array.shape[0] * array.shape[1];
  return summary;
}

Status CheckTensorHeader(const Snapshot& snapshot, const HeadPlace& place,
                         const ReadableFile& file) {
  GYRATOR_ASSIGN_OR_RETURN(const NpyArray array,
                           ReadHeader(file, KvFile(place.layer, place.tensor)));
  return CheckTensor(snapshot, place, array);
}

Result<Snapshot> OpenBare(FileSystem& fs, const std::string& folder, const FolderFiles& files) {
  GYRATOR_RETURN_IF_ERROR(RefuseFullElements(files));
  Snapshot snapshot;
  snapshot.folder = folder;
  GYRATOR_ASSIGN_OR_RETURN(const std::string config_path, TextPath(files, kConfigFile));
  if (config_path.empty()) return MissingElement(kConfigFile);
  GYRATOR_ASSIGN_OR_RETURN(snapshot.config, ReadKeyValues(fs, folder, files, kConfigFile));
  GYRATOR_ASSIGN_OR_RETURN(snapshot.keylog, ReadKeyValues(fs, folder, files, kKeylogFile));
  GYRATOR_ASSIGN_OR_RETURN(const std::string chain, ReadText(fs, folder, files, kChainFile));
  GYRATOR_RETURN_IF_ERROR(CheckChain(chain));
  if (files.contains(kMapFile) || files.contains("symbolic_map.npy")) {
    return StateInconsistent(kMapFile, "a map without an entry in " + std::string(kChainFile));
  }
  GYRATOR_RETURN_IF_ERROR(ReadTokens(fs, folder, &snapshot));
  GYRATOR_RETURN_IF_ERROR(ReadGeometry(fs, folder, files, &snapshot));
  GYRATOR_RETURN_IF_ERROR(CheckConfigAgrees(snapshot));
  snapshot.notes.push_back(
      "bare v1.0 folder: no manifest, so nothing vouches for its bytes; no chat, no logits");
  return snapshot;
}

Status LoadWholeTensor(const Snapshot& snapshot, const HeadPlace& place, ByteSpan file,
                       const KvTarget& target) {
  GYRATOR_ASSIGN_OR_RETURN(const WholeTensor tensor, ParseTensor(snapshot, place, file));
  const DType dtype = KvElementDType(snapshot.kv.dtype, place.tensor);
  return ForEachRow(snapshot, [&](const RowPlace& at) -> Status {
    const ByteSpan row = tensor.Row(at.kv_head, at.token);
    if (target.require_finite && !AllFinite(dtype, row)) return NotFinite(place, at.token);
    if (target.kv != nullptr) {
      const HeadPlace to = {place.layer, place.tensor, at.kv_head};
      ScatterRows(*target.kv, target.blocks, to, at.position, row);
    }
    return {};
  });
}

Status ConvertWholeTensor(const Snapshot& snapshot, const HeadPlace& place, const WholeFiles& files,
                          const KvTarget& target) {
  const FloatEnvironment environment;
  const HeadPlace scale_place = {place.layer, ScaleOf(place.tensor)};
  const bool from_int8 = snapshot.kv.dtype == DType::kI8;
  const DType to = target.kv->dtype;
  GYRATOR_ASSIGN_OR_RETURN(const WholeTensor elements,
                           ParseTensor(snapshot, place, AsBytes(files.elements)));
  WholeTensor scales;
  if (from_int8) {
    GYRATOR_ASSIGN_OR_RETURN(scales, ParseTensor(snapshot, scale_place, AsBytes(files.scales)));
  }
  return ForEachRow(snapshot, [&](const RowPlace& at) -> Status {
    const std::vector<float> values =
        WidenKvRow(snapshot.kv.dtype, elements.Row(at.kv_head, at.token),
                   from_int8 ? scales.Row(at.kv_head, at.token) : ByteSpan());
    const auto row = NarrowKvRow(to, values);
    if (!row || (target.require_finite && !AllFinite(to, row->elements))) {
      return NotFinite(place, at.token);
    }
    const HeadPlace head = {place.layer, place.tensor, at.kv_head};
    ScatterRows(*target.kv, target.blocks, head, at.position, row->elements);
    if (to == DType::kI8) {
      const HeadPlace scale_head = {place.layer, scale_place.tensor, at.kv_head};
      ScatterRows(*target.kv, target.blocks, scale_head, at.position, row->scales);
    }
    return {};
  });
}

}  // namespace gyrator
