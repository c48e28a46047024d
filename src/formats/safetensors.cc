#include "formats/safetensors.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <utility>

#include "base/json.h"
#include "base/mapped_file.h"
#include "formats/lfs_pointer.h"

namespace gyrator {

namespace {

constexpr uint64_t kHeaderBytesMax = 100'000'000;  // the package's limit
constexpr uint64_t kIndexBytesMax = 100'000'000;
constexpr int kHeaderDepthMax = 3;  // {"name": {"shape": []}}
constexpr std::string_view kMetadataKey = "__metadata__";

// Element types by name, in the order in which the package ranks them (dtype.rs).
struct StoredType {
  std::string_view name;
  uint32_t bits;
  std::optional<DType> dtype;
};
constexpr StoredType kTypes[] = {
    {"BOOL", 8, DType::kBool},
    {"F4", 4, {}},
    {"F6_E2M3", 6, {}},
    {"F6_E3M2", 6, {}},
    {"U8", 8, DType::kU8},
    {"I8", 8, DType::kI8},
    {"F8_E5M2", 8, {}},
    {"F8_E4M3", 8, {}},
    {"F8_E8M0", 8, {}},
    {"I16", 16, DType::kI16},
    {"U16", 16, DType::kU16},
    {"F16", 16, DType::kF16},
    {"BF16", 16, DType::kBF16},
    {"I32", 32, DType::kI32},
    {"U32", 32, DType::kU32},
    {"F32", 32, DType::kF32},
    {"C64", 64, {}},
    {"F64", 64, DType::kF64},
    {"I64", 64, DType::kI64},
    {"U64", 64, DType::kU64},
};

std::string Quoted(std::string_view name) { return "tensor '" + std::string(name) + "'"; }

// The member `name` of an object of few names; null when absent.
const Json* Member(const Json& object, std::string_view name) {
  for (const auto& [key, value] : object.items()) {
    if (key == name) return &value;
  }
  return nullptr;
}

// What the header says of one tensor.
struct TensorClaim {
  TensorIndex::Entry entry;
  uint64_t begin = 0;  // from the start of the data
  uint64_t end = 0;
};

Result<std::vector<uint64_t>> ReadCounts(const Json& object, std::string_view name) {
  const Json* list = Member(object, name);
  if (list == nullptr || !list->is_array()) {
    return Status::Corruption(std::string(name) + " is missing or no array");
  }
  std::vector<uint64_t> counts;
  for (const Json& item : *list) {
    if (!item.is_number_unsigned()) {
      return Status::Corruption(std::string(name) + " holds " + item.type_name() + " " +
                                DumpJson(item).substr(0, 40) + ", expected whole numbers from 0");
    }
    counts.push_back(item.get<uint64_t>());
  }
  return counts;
}

// The bytes that `type` and `shape` need.
Result<uint64_t> StoredBytes(const StoredType& type, const Shape& shape) {
  const auto elements = NumElements(shape);
  uint64_t bits = 0;
  if (!elements ||
      __builtin_mul_overflow(static_cast<uint64_t>(*elements), uint64_t{type.bits}, &bits)) {
    return Status::Corruption("shape " + ShapeText(shape) + " overflows 64 bits");
  }
  if (bits % 8 != 0) {
    return Status::Corruption("shape " + ShapeText(shape) + " of " + std::string(type.name) +
                              " is no whole number of bytes");
  }
  return bits / 8;
}

Status ReadClaim(const Json& value, TensorClaim* claim) {
  if (!value.is_object()) return Status::Corruption("expected an object");
  const Json* dtype = Member(value, "dtype");
  if (dtype == nullptr || !dtype->is_string()) {
    return Status::Corruption("dtype is missing or no string");
  }
  GYRATOR_ASSIGN_OR_RETURN(const auto dims, ReadCounts(value, "shape"));
  for (uint64_t dim : dims) {
    if (!std::in_range<int64_t>(dim)) {
      return Status::Corruption("dimension of " + std::to_string(dim) + " elements");
    }
    claim->entry.view.shape.push_back(static_cast<int64_t>(dim));
  }
  GYRATOR_ASSIGN_OR_RETURN(const auto offsets, ReadCounts(value, "data_offsets"));
  if (offsets.size() != 2 || offsets[0] > offsets[1]) {
    return Status::Corruption("data_offsets is no [begin, end]");
  }
  claim->begin = offsets[0];
  claim->end = offsets[1];
  const auto& name = dtype->get_ref<const std::string&>();
  const auto* type = std::find_if(std::begin(kTypes), std::end(kTypes),
                                  [&](const StoredType& known) { return known.name == name; });
  if (type == std::end(kTypes)) {
    claim->entry.foreign_type = name.empty() ? "''" : name;
    return {};
  }
  GYRATOR_ASSIGN_OR_RETURN(const uint64_t bytes, StoredBytes(*type, claim->entry.view.shape));
  if (bytes != claim->end - claim->begin) {
    return Status::Corruption("data_offsets span " + std::to_string(claim->end - claim->begin) +
                              " bytes, expected " + std::to_string(bytes) + " for " + name + " " +
                              ShapeText(claim->entry.view.shape));
  }
  if (type->dtype) {
    claim->entry.view.dtype = *type->dtype;
  } else {
    claim->entry.foreign_type = name;
  }
  return {};
}

Status ReadMetadata(const Json& value, std::map<std::string, std::string>* metadata) {
  if (!value.is_object()) return Status::Corruption("__metadata__ is no object");
  for (const auto& [key, text] : value.items()) {
    if (!text.is_string()) return Status::Corruption("__metadata__ '" + key + "' is no string");
    (*metadata)[key] = text.get_ref<const std::string&>();
  }
  return {};
}

// The tensors must lie one behind the other, from the first byte of the data to the last.
Status CheckTiling(const std::vector<TensorClaim>& claims, uint64_t data_bytes) {
  std::vector<const TensorClaim*> sorted;
  for (const TensorClaim& claim : claims) sorted.push_back(&claim);
  std::sort(sorted.begin(), sorted.end(), [](const auto* a, const auto* b) {
    return std::pair(a->begin, a->end) < std::pair(b->begin, b->end);
  });
  uint64_t at = 0;
  for (const TensorClaim* claim : sorted) {
    if (claim->begin != at) {
      return Status::Corruption(Quoted(claim->entry.name) + ": begins at " +
                                std::to_string(claim->begin) + " of the data, expected " +
                                std::to_string(at) +
                                (claim->begin < at ? " (overlap)" : " (hole)"));
    }
    at = claim->end;
  }
  if (at != data_bytes) {
    return Status::Corruption("the tensors take " + std::to_string(at) + " bytes, the file has " +
                              std::to_string(data_bytes));
  }
  return {};
}

Status ParseHeader(std::string_view header, ByteSpan data, SafetensorsFile* file) {
  if (header.empty() || header[0] != '{') {
    return Status::Corruption("the header does not begin with '{'");
  }
  GYRATOR_ASSIGN_OR_RETURN(const Json root,
                           ParseJson(header, kHeaderDepthMax, DuplicateNames::kRefuse));
  std::vector<TensorClaim> claims;
  for (const auto& [name, value] : root.items()) {
    if (name == kMetadataKey) {
      GYRATOR_RETURN_IF_ERROR(ReadMetadata(value, &file->metadata));
      continue;
    }
    TensorClaim& claim = claims.emplace_back();
    claim.entry.name = name;
    GYRATOR_RETURN_IF_ERROR(ReadClaim(value, &claim).Annotate(Quoted(name)));
  }
  GYRATOR_RETURN_IF_ERROR(CheckTiling(claims, data.size()));
  for (TensorClaim& claim : claims) {
    if (claim.entry.foreign_type.empty()) {
      claim.entry.view.bytes = data.subspan(claim.begin, claim.end - claim.begin);
    }
    GYRATOR_RETURN_IF_ERROR(file->tensors.Add(std::move(claim.entry)));
  }
  return {};
}

Status ParseAll(ByteSpan bytes, SafetensorsFile* file) {
  ByteReader reader(bytes);
  GYRATOR_ASSIGN_OR_RETURN(const auto header_bytes, reader.Read<uint64_t>());
  if (header_bytes > kHeaderBytesMax) {
    return Status::Corruption("header of " + std::to_string(header_bytes) + " bytes, at most " +
                              std::to_string(kHeaderBytesMax));
  }
  GYRATOR_ASSIGN_OR_RETURN(const ByteSpan header, reader.Take(header_bytes));
  return ParseHeader(AsText(header), bytes.subspan(reader.offset()), file);
}

// ---- Folders ----

bool IsPlainFileName(std::string_view name) {
  constexpr size_t kLongest = 255;  // of a file system: beyond, a name would be an error of reading
  return !name.empty() && name.size() <= kLongest && name != "." && name != ".." &&
         name.find_first_of(std::string_view("/\\\0", 3)) == std::string_view::npos;
}

// Takes from `shard` the tensors called `names`.
Status TakeTensors(const SafetensorsFile& shard, const std::set<std::string>& names,
                   TensorIndex* index) {
  size_t taken = 0;
  for (const TensorIndex::Entry& entry : shard.tensors.entries()) {
    if (!names.contains(entry.name)) continue;
    GYRATOR_RETURN_IF_ERROR(index->Add(entry));
    ++taken;
  }
  if (taken != names.size()) {
    for (const std::string& name : names) {
      if (!shard.tensors.Contains(name)) {
        return Status::Corruption(Quoted(name) + ": the index places it here, not in the file");
      }
    }
  }
  for (const auto& file : shard.tensors.files()) index->AddFile(file);
  return {};
}

// weight_map as shard -> tensors.
Result<std::map<std::string, std::set<std::string>>> ParseIndex(std::string_view text) {
  GYRATOR_ASSIGN_OR_RETURN(const Json root, ParseJson(text, 16, DuplicateNames::kRefuse));
  const Json* weight_map = root.is_object() ? Member(root, "weight_map") : nullptr;
  if (weight_map == nullptr || !weight_map->is_object()) {
    return Status::Corruption("weight_map is missing or no object");
  }
  std::map<std::string, std::set<std::string>> shards;
  for (const auto& [tensor, file] : weight_map->items()) {
    if (!file.is_string() || !IsPlainFileName(file.get_ref<const std::string&>())) {
      return Status::Corruption("weight_map: " + Quoted(tensor) + " lies in " +
                                DumpJson(file).substr(0, 80) + ", expected a plain file name");
    }
    shards[file.get_ref<const std::string&>()].insert(tensor);
  }
  return shards;
}

}  // namespace

Result<SafetensorsFile> ParseSafetensors(ByteSpan bytes, std::shared_ptr<const void> owner) {
  SafetensorsFile file;
  GYRATOR_RETURN_IF_ERROR(ParseAll(bytes, &file).Annotate("safetensors"));
  file.tensors.AddOwner(std::move(owner));
  return file;
}

Result<SafetensorsFile> OpenSafetensors(const std::string& path) {
  GYRATOR_ASSIGN_OR_RETURN(MappedFile opened, MappedFile::Open(path));
  GYRATOR_RETURN_IF_ERROR(CheckIsNoLfsPointer(path, AsText(opened.bytes())));
  const auto mapped = std::make_shared<const MappedFile>(std::move(opened));
  SafetensorsFile file;
  GYRATOR_RETURN_IF_ERROR(ParseAll(mapped->bytes(), &file).Annotate(path + ": safetensors"));
  file.tensors.AddFile(mapped);
  return file;
}

Result<TensorIndex> OpenSafetensorsFolder(const std::string& folder) {
  auto single = OpenSafetensors(folder + "/model.safetensors");
  if (single.ok()) return std::move(single->tensors);
  if (single.status().code() != Code::kNotFound) return std::move(single).status();
  const std::string index_path = folder + "/model.safetensors.index.json";
  const auto text = ReadSmallFile(index_path, kIndexBytesMax);
  if (!text.ok() && text.status().code() == Code::kNotFound) {
    return Status::NotFound(folder + ": neither model.safetensors nor " +
                            "model.safetensors.index.json; weights in another format, such as "
                            "pytorch_model.bin, are to be converted first");
  }
  if (!text.ok()) return text.status();
  GYRATOR_RETURN_IF_ERROR(CheckIsNoLfsPointer(index_path, *text));
  auto shards = ParseIndex(*text);
  if (!shards.ok()) return std::move(shards).status().Annotate(index_path);
  TensorIndex index;
  for (const auto& [file_name, names] : *shards) {
    const std::string path = folder + "/" + file_name;
    GYRATOR_ASSIGN_OR_RETURN(const SafetensorsFile shard, OpenSafetensors(path));
    GYRATOR_RETURN_IF_ERROR(TakeTensors(shard, names, &index).Annotate(path));
  }
  return index;
}

void SafetensorsWriter::Refuse(std::string message) {
  if (status_.ok()) status_ = Status::InvalidArgument("safetensors: " + std::move(message));
}

void SafetensorsWriter::SetMetadata(std::string_view key, std::string_view value) {
  metadata_[std::string(key)] = value;
}

void SafetensorsWriter::AddTensor(std::string_view name, DType dtype, const Shape& shape,
                                  TensorSource source) {
  const auto* type = std::find_if(std::begin(kTypes), std::end(kTypes),
                                  [&](const StoredType& known) { return known.dtype == dtype; });
  const auto bytes = TensorBytes(dtype, shape);
  if (name == kMetadataKey) return Refuse(Quoted(name) + ": the name is reserved");
  if (type == std::end(kTypes)) {
    return Refuse(Quoted(name) + ": no type for " + std::string(DTypeName(dtype)));
  }
  if (!bytes) return Refuse(Quoted(name) + ": shape " + ShapeText(shape));
  if (!names_.emplace(name).second) return Refuse(Quoted(name) + ": added twice");
  tensors_.push_back({std::string(name), static_cast<int>(type - kTypes), std::string(type->name),
                      shape, *bytes, std::move(source)});
}

void SafetensorsWriter::AddTensor(std::string_view name, DType dtype, const Shape& shape,
                                  ByteSpan bytes) {
  AddTensor(name, dtype, shape, [bytes](const ByteSink& sink) { return sink(bytes); });
}

Status SafetensorsWriter::Write(const ByteSink& sink) const {
  GYRATOR_RETURN_IF_ERROR(status_);
  std::vector<const Tensor*> sorted;
  for (const Tensor& tensor : tensors_) sorted.push_back(&tensor);
  std::sort(sorted.begin(), sorted.end(), [](const Tensor* a, const Tensor* b) {
    return a->rank != b->rank ? a->rank > b->rank : a->name < b->name;
  });
  Json root = Json::object();
  if (!metadata_.empty()) root[std::string(kMetadataKey)] = metadata_;
  auto& members = root.get_ref<Json::object_t&>();
  uint64_t at = 0;
  for (const Tensor* tensor : sorted) {
    members.emplace_back(tensor->name, Json{{"dtype", tensor->dtype},
                                            {"shape", tensor->shape},
                                            {"data_offsets", {at, at + tensor->bytes}}});
    at += tensor->bytes;
  }
  std::string header = DumpJson(root);
  header.append((8 - header.size() % 8) % 8, ' ');
  const uint64_t header_bytes = header.size();
  GYRATOR_RETURN_IF_ERROR(sink(std::as_bytes(std::span(&header_bytes, 1))));
  GYRATOR_RETURN_IF_ERROR(sink(AsBytes(header)));
  for (const Tensor* tensor : sorted) {
    GYRATOR_RETURN_IF_ERROR(
        WriteTensor(tensor->name, tensor->bytes, tensor->source, sink).Annotate("safetensors"));
  }
  return {};
}

Status SafetensorsWriter::WriteFile(const std::string& path) const {
  return WriteWholeFile(path, [this](const ByteSink& sink) { return Write(sink); });
}

}  // namespace gyrator
