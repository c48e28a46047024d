#include "formats/gguf.h"

#include <algorithm>
#include <concepts>
#include <cstring>
#include <utility>

#include "base/mapped_file.h"
#include "formats/ggml_types.h"
#include "formats/lfs_pointer.h"

namespace gyrator {

namespace {

constexpr std::string_view kMagic = "GGUF";
constexpr uint64_t kKeyBytesMax = 65535;      // the format's limit
constexpr uint64_t kTensorNameBytesMax = 64;  // the format's limit
constexpr uint32_t kDimsMax = 4;              // the format's limit
constexpr int kArrayDepthMax = 4;             // ours: the walk over nested arrays is recursive

// Bytes of a value of fixed size; 0 for strings and arrays.
uint64_t FixedBytes(GgufType type) {
  switch (type) {
    case GgufType::kU8:
    case GgufType::kI8:
    case GgufType::kBool:
      return 1;
    case GgufType::kU16:
    case GgufType::kI16:
      return 2;
    case GgufType::kU32:
    case GgufType::kI32:
    case GgufType::kF32:
      return 4;
    case GgufType::kU64:
    case GgufType::kI64:
    case GgufType::kF64:
      return 8;
    case GgufType::kString:
    case GgufType::kArray:
      return 0;
  }
  return 0;
}

std::string Quoted(std::string_view kind, std::string_view name) {
  return std::string(kind) + " '" + std::string(name) + "'";
}

Result<GgufType> ReadType(ByteReader* reader) {
  GYRATOR_ASSIGN_OR_RETURN(const auto id, reader->Read<uint32_t>());
  if (id > static_cast<uint32_t>(GgufType::kF64)) {
    return Status::Corruption("value type " + std::to_string(id) + ", expected 0 to 12");
  }
  return static_cast<GgufType>(id);
}

Result<std::string_view> ReadString(ByteReader* reader) {
  GYRATOR_ASSIGN_OR_RETURN(const auto size, reader->Read<uint64_t>());
  GYRATOR_ASSIGN_OR_RETURN(const ByteSpan bytes, reader->Take(size));
  return AsText(bytes);
}

Status CheckBools(ByteSpan bytes) {
  for (std::byte b : bytes) {
    if (b > std::byte{1}) {
      return Status::Corruption("bool " + std::to_string(std::to_integer<int>(b)) +
                                ", expected 0 or 1");
    }
  }
  return {};
}

// `count` packed values of `type`. `depth` counts the arrays around them.
Result<ByteSpan> TakeValues(ByteReader* reader, GgufType type, uint64_t count, int depth);

// The type, the count and the elements of an array, into `value`.
Status TakeArray(ByteReader* reader, int depth, GgufValue* value) {
  if (depth > kArrayDepthMax) {
    return Status::Unsupported("arrays nested deeper than " + std::to_string(kArrayDepthMax));
  }
  GYRATOR_ASSIGN_OR_RETURN(value->element, ReadType(reader));
  GYRATOR_ASSIGN_OR_RETURN(value->count, reader->Read<uint64_t>());
  GYRATOR_ASSIGN_OR_RETURN(value->bytes, TakeValues(reader, value->element, value->count, depth));
  return {};
}

Result<ByteSpan> TakeValues(ByteReader* reader, GgufType type, uint64_t count, int depth) {
  if (const uint64_t width = FixedBytes(type); width != 0) {
    if (count > reader->remaining() / width) {
      return Status::Corruption("truncated: " + std::to_string(count) + " values of type " +
                                std::string(GgufTypeName(type)) + " at offset " +
                                std::to_string(reader->offset()) + ", have " +
                                std::to_string(reader->remaining()) + " bytes");
    }
    GYRATOR_ASSIGN_OR_RETURN(const ByteSpan bytes, reader->Take(count * width));
    if (type == GgufType::kBool) GYRATOR_RETURN_IF_ERROR(CheckBools(bytes));
    return bytes;
  }
  ByteReader start = *reader;
  for (uint64_t i = 0; i < count;
       ++i) {  // ends at the file's end: each value takes 8 bytes or more
    if (type == GgufType::kString) {
      GYRATOR_RETURN_IF_ERROR(ReadString(reader).status());
    } else {
      GgufValue inner;
      GYRATOR_RETURN_IF_ERROR(TakeArray(reader, depth + 1, &inner));
    }
  }
  return start.Take(reader->offset() - start.offset());
}

Result<GgufValue> ReadValue(ByteReader* reader) {
  GgufValue value;
  GYRATOR_ASSIGN_OR_RETURN(value.type, ReadType(reader));
  if (value.type == GgufType::kArray) {
    GYRATOR_RETURN_IF_ERROR(TakeArray(reader, 1, &value));
  } else if (value.type == GgufType::kString) {
    GYRATOR_ASSIGN_OR_RETURN(const auto text, ReadString(reader));
    value.bytes = AsBytes(text);
  } else {
    GYRATOR_ASSIGN_OR_RETURN(value.bytes, TakeValues(reader, value.type, 1, 0));
  }
  return value;
}

// ---- From stored values to T ----

template <class Stored>
Stored Load(ByteSpan bytes) {
  Stored value;
  std::memcpy(&value, bytes.data(), sizeof(Stored));
  return value;
}

Status WrongType(std::string_view key, GgufType found, std::string_view expected) {
  return Status::Corruption(Quoted("metadata", key) + ": type " + std::string(GgufTypeName(found)) +
                            ", expected " + std::string(expected));
}

template <std::integral T, class Stored>
Result<T> FitInteger(std::string_view key, ByteSpan bytes) {
  const auto stored = Load<Stored>(bytes);
  if (!std::in_range<T>(stored)) {
    return Status::Corruption(Quoted("metadata", key) + ": " + std::to_string(stored) +
                              " does not fit " + std::to_string(8 * sizeof(T)) + " bits " +
                              (std::is_signed_v<T> ? "signed" : "unsigned"));
  }
  return static_cast<T>(stored);
}

template <std::integral T>
  requires(!std::same_as<T, bool>)
Result<T> Convert(std::string_view key, GgufType type, ByteSpan bytes) {
  switch (type) {
    case GgufType::kU8:
      return FitInteger<T, uint8_t>(key, bytes);
    case GgufType::kI8:
      return FitInteger<T, int8_t>(key, bytes);
    case GgufType::kU16:
      return FitInteger<T, uint16_t>(key, bytes);
    case GgufType::kI16:
      return FitInteger<T, int16_t>(key, bytes);
    case GgufType::kU32:
      return FitInteger<T, uint32_t>(key, bytes);
    case GgufType::kI32:
      return FitInteger<T, int32_t>(key, bytes);
    case GgufType::kU64:
      return FitInteger<T, uint64_t>(key, bytes);
    case GgufType::kI64:
      return FitInteger<T, int64_t>(key, bytes);
    default:
      return WrongType(key, type, "an integer");
  }
}

template <std::floating_point T>
Result<T> Convert(std::string_view key, GgufType type, ByteSpan bytes) {
  if (type == GgufType::kF32) return static_cast<T>(Load<float>(bytes));
  if (type == GgufType::kF64) return static_cast<T>(Load<double>(bytes));
  return WrongType(key, type, "f32 or f64");
}

template <std::same_as<bool> T>
Result<T> Convert(std::string_view key, GgufType type, ByteSpan bytes) {
  if (type != GgufType::kBool) return WrongType(key, type, "bool");
  return bytes[0] != std::byte{0};
}

template <std::same_as<std::string_view> T>
Result<T> Convert(std::string_view key, GgufType type, ByteSpan bytes) {
  if (type != GgufType::kString) return WrongType(key, type, "string");
  return AsText(bytes);
}

Status Missing(std::string_view key) {
  return Status::NotFound(Quoted("metadata", key) + ": not in the file");
}

// ---- Tensors ----

Result<Shape> ReadShape(ByteReader* reader) {
  GYRATOR_ASSIGN_OR_RETURN(const auto num_dims, reader->Read<uint32_t>());
  if (num_dims > kDimsMax) {
    return Status::Corruption(std::to_string(num_dims) + " dimensions, at most " +
                              std::to_string(kDimsMax));
  }
  Shape shape(num_dims);
  for (uint32_t i = 0; i < num_dims; ++i) {
    GYRATOR_ASSIGN_OR_RETURN(const auto dim, reader->Read<uint64_t>());
    if (!std::in_range<int64_t>(dim)) {
      return Status::Corruption("dimension of " + std::to_string(dim) + " elements");
    }
    shape[num_dims - 1 - i] = static_cast<int64_t>(dim);  // the file has the innermost first
  }
  return shape;
}

// Bytes of a tensor of a type known to ggml.
Result<uint64_t> StoredBytes(const GgmlType& type, const Shape& shape) {
  const auto elements = NumElements(shape);
  if (!elements) return Status::Corruption("shape " + ShapeText(shape) + " overflows 64 bits");
  const int64_t innermost = shape.empty() ? 1 : shape.back();
  if (innermost % type.block != 0) {
    return Status::Corruption("rows of " + std::to_string(innermost) + " elements, expected " +
                              std::to_string(type.block) + " times a whole number for type " +
                              std::string(type.name));
  }
  uint64_t bytes = 0;
  if (__builtin_mul_overflow(static_cast<uint64_t>(*elements / type.block), type.bytes, &bytes)) {
    return Status::Corruption("shape " + ShapeText(shape) + " overflows 64 bits");
  }
  return bytes;
}

// What the file says of one tensor, before its data is known to be there.
struct TensorClaim {
  TensorIndex::Entry entry;
  uint64_t offset = 0;  // from the start of the data
  uint64_t bytes = 0;   // 0 when the type is unknown
};

Status ReadTensorClaim(ByteReader* reader, uint64_t alignment, TensorClaim* claim) {
  GYRATOR_ASSIGN_OR_RETURN(claim->entry.view.shape, ReadShape(reader));
  GYRATOR_ASSIGN_OR_RETURN(const auto type_id, reader->Read<uint32_t>());
  GYRATOR_ASSIGN_OR_RETURN(claim->offset, reader->Read<uint64_t>());
  if (claim->offset % alignment != 0) {
    return Status::Corruption("offset " + std::to_string(claim->offset) + " is not aligned to " +
                              std::to_string(alignment));
  }
  const std::optional<GgmlType> type = FindGgmlType(type_id);
  if (!type) {
    claim->entry.foreign_type = "ggml type " + std::to_string(type_id);
    return {};
  }
  GYRATOR_ASSIGN_OR_RETURN(claim->bytes, StoredBytes(*type, claim->entry.view.shape));
  if (type->dtype) {
    claim->entry.view.dtype = *type->dtype;
  } else {
    claim->entry.foreign_type = type->name;
  }
  return {};
}

// REQUIRES: each claim lies within the data.
Status CheckDisjoint(const std::vector<TensorClaim>& claims) {
  std::vector<const TensorClaim*> sorted;
  for (const TensorClaim& claim : claims) {
    if (claim.bytes > 0) sorted.push_back(&claim);
  }
  std::sort(sorted.begin(), sorted.end(),
            [](const auto* a, const auto* b) { return a->offset < b->offset; });
  for (size_t i = 1; i < sorted.size(); ++i) {
    if (sorted[i - 1]->offset + sorted[i - 1]->bytes > sorted[i]->offset) {
      return Status::Corruption(Quoted("tensor", sorted[i]->entry.name) + ": overlaps " +
                                Quoted("tensor", sorted[i - 1]->entry.name));
    }
  }
  return {};
}

}  // namespace

std::string_view GgufTypeName(GgufType type) {
  switch (type) {
    case GgufType::kU8:
      return "u8";
    case GgufType::kI8:
      return "i8";
    case GgufType::kU16:
      return "u16";
    case GgufType::kI16:
      return "i16";
    case GgufType::kU32:
      return "u32";
    case GgufType::kI32:
      return "i32";
    case GgufType::kF32:
      return "f32";
    case GgufType::kBool:
      return "bool";
    case GgufType::kString:
      return "string";
    case GgufType::kArray:
      return "array";
    case GgufType::kU64:
      return "u64";
    case GgufType::kI64:
      return "i64";
    case GgufType::kF64:
      return "f64";
  }
  return "unknown";
}

Result<GgufFile> GgufFile::Open(const std::string& path) {
  GYRATOR_ASSIGN_OR_RETURN(MappedFile opened, MappedFile::Open(path));
  GYRATOR_RETURN_IF_ERROR(CheckIsNoLfsPointer(path, AsText(opened.bytes())));
  const auto mapped = std::make_shared<const MappedFile>(std::move(opened));
  GgufFile file;
  GYRATOR_RETURN_IF_ERROR(file.ParseAll(mapped->bytes()).Annotate(path + ": gguf"));
  file.tensors_.AddFile(mapped);
  return file;
}

Result<GgufFile> GgufFile::Parse(ByteSpan bytes, std::shared_ptr<const void> owner) {
  GgufFile file;
  GYRATOR_RETURN_IF_ERROR(file.ParseAll(bytes).Annotate("gguf"));
  file.tensors_.AddOwner(std::move(owner));
  return file;
}

Status GgufFile::AddPart(const GgufFile& part) {
  for (const TensorIndex::Entry& entry : part.tensors().entries()) {
    GYRATOR_RETURN_IF_ERROR(tensors_.Add(entry));
  }
  for (const auto& file : part.tensors().files()) tensors_.AddFile(file);
  ++num_parts_;
  return {};
}

Status GgufFile::ParseAll(ByteSpan bytes) {
  ByteReader reader(bytes);
  GYRATOR_ASSIGN_OR_RETURN(const ByteSpan magic, reader.Take(kMagic.size()));
  if (AsText(magic) != kMagic) return Status::Corruption("magic is not GGUF");
  GYRATOR_ASSIGN_OR_RETURN(version_, reader.Read<uint32_t>());
  if ((version_ & 0xffffu) == 0 && version_ != 0) {
    return Status::Unsupported("the file is big-endian, expected little-endian");
  }
  if (version_ != 2 && version_ != 3) {
    return Status::Unsupported("version " + std::to_string(version_) + ", expected 2 or 3");
  }
  GYRATOR_ASSIGN_OR_RETURN(const auto num_tensors, reader.Read<uint64_t>());
  GYRATOR_ASSIGN_OR_RETURN(const auto num_values, reader.Read<uint64_t>());
  GYRATOR_RETURN_IF_ERROR(ParseMetadata(&reader, num_values));
  if (Has("general.alignment")) {
    GYRATOR_ASSIGN_OR_RETURN(alignment_, Get<uint32_t>("general.alignment"));
    if (alignment_ == 0 || (alignment_ & (alignment_ - 1)) != 0) {
      return Status::Corruption("general.alignment is " + std::to_string(alignment_) +
                                ", expected a power of two");
    }
  }
  return ParseTensors(&reader, num_tensors, bytes);
}

Status GgufFile::ParseMetadata(ByteReader* reader, uint64_t count) {
  for (uint64_t i = 0; i < count; ++i) {
    auto key = ReadString(reader);
    if (!key.ok()) {
      return std::move(key).status().Annotate("metadata key " + std::to_string(i) + " of " +
                                              std::to_string(count));
    }
    if (key->empty() || key->size() > kKeyBytesMax) {
      return Status::Corruption("metadata key " + std::to_string(i) + ": " +
                                std::to_string(key->size()) + " bytes, expected 1 to " +
                                std::to_string(kKeyBytesMax));
    }
    auto value = ReadValue(reader);
    if (!value.ok()) return std::move(value).status().Annotate(Quoted("metadata", *key));
    if (!values_.emplace(*key, *value).second) {
      return Status::Corruption(Quoted("metadata", *key) + ": listed twice");
    }
    keys_.push_back(*key);
  }
  return {};
}

Status GgufFile::ParseTensors(ByteReader* reader, uint64_t count, ByteSpan file) {
  std::vector<TensorClaim> claims;
  for (uint64_t i = 0; i < count; ++i) {  // not reserved: the count is the file's
    auto name = ReadString(reader);
    if (!name.ok()) {
      return std::move(name).status().Annotate("tensor " + std::to_string(i) + " of " +
                                               std::to_string(count));
    }
    if (name->empty() || name->size() > kTensorNameBytesMax) {
      return Status::Corruption("tensor " + std::to_string(i) + ": name of " +
                                std::to_string(name->size()) + " bytes, expected 1 to " +
                                std::to_string(kTensorNameBytesMax));
    }
    TensorClaim& claim = claims.emplace_back();
    claim.entry.name = *name;
    GYRATOR_RETURN_IF_ERROR(
        ReadTensorClaim(reader, alignment_, &claim).Annotate(Quoted("tensor", *name)));
  }
  const uint64_t padding = (alignment_ - reader->offset() % alignment_) % alignment_;
  const ByteSpan data = file.subspan(reader->offset() + std::min(padding, reader->remaining()));
  for (TensorClaim& claim : claims) {
    if (claim.offset > data.size() || claim.bytes > data.size() - claim.offset) {
      return Status::Corruption(Quoted("tensor", claim.entry.name) + ": " +
                                std::to_string(claim.bytes) + " bytes at offset " +
                                std::to_string(claim.offset) + " of the data, have " +
                                std::to_string(data.size()));
    }
    if (claim.entry.foreign_type.empty()) {
      claim.entry.view.bytes = data.subspan(claim.offset, claim.bytes);
    }
  }
  GYRATOR_RETURN_IF_ERROR(CheckDisjoint(claims));
  for (TensorClaim& claim : claims) {
    GYRATOR_RETURN_IF_ERROR(tensors_.Add(std::move(claim.entry)));
  }
  return {};
}

const GgufValue* GgufFile::Find(std::string_view key) const {
  const auto found = values_.find(key);
  return found == values_.end() ? nullptr : &found->second;
}

template <class T>
Result<T> GgufFile::Get(std::string_view key) const {
  const GgufValue* value = Find(key);
  if (value == nullptr) return Missing(key);
  return Convert<T>(key, value->type, value->bytes);
}

template <class T>
Result<std::vector<T>> GgufFile::GetArray(std::string_view key) const {
  const GgufValue* value = Find(key);
  if (value == nullptr) return Missing(key);
  if (value->type != GgufType::kArray) return WrongType(key, value->type, "array");
  std::vector<T> out;
  ByteReader reader(value->bytes);
  for (uint64_t i = 0; i < value->count; ++i) {
    ByteSpan bytes;
    if (value->element == GgufType::kString) {
      GYRATOR_ASSIGN_OR_RETURN(const auto text, ReadString(&reader));
      bytes = AsBytes(text);
    } else {
      GYRATOR_ASSIGN_OR_RETURN(bytes, reader.Take(FixedBytes(value->element)));
    }
    GYRATOR_ASSIGN_OR_RETURN(T element, Convert<T>(key, value->element, bytes));
    out.push_back(element);
  }
  return out;
}

template Result<int32_t> GgufFile::Get<int32_t>(std::string_view) const;
template Result<uint32_t> GgufFile::Get<uint32_t>(std::string_view) const;
template Result<int64_t> GgufFile::Get<int64_t>(std::string_view) const;
template Result<uint64_t> GgufFile::Get<uint64_t>(std::string_view) const;
template Result<float> GgufFile::Get<float>(std::string_view) const;
template Result<double> GgufFile::Get<double>(std::string_view) const;
template Result<bool> GgufFile::Get<bool>(std::string_view) const;
template Result<std::string_view> GgufFile::Get<std::string_view>(std::string_view) const;
template Result<std::vector<int32_t>> GgufFile::GetArray(std::string_view) const;
template Result<std::vector<uint32_t>> GgufFile::GetArray(std::string_view) const;
template Result<std::vector<int64_t>> GgufFile::GetArray(std::string_view) const;
template Result<std::vector<uint64_t>> GgufFile::GetArray(std::string_view) const;
template Result<std::vector<float>> GgufFile::GetArray(std::string_view) const;
template Result<std::vector<double>> GgufFile::GetArray(std::string_view) const;
template Result<std::vector<std::string_view>> GgufFile::GetArray(std::string_view) const;

}  // namespace gyrator
