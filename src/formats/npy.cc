#include "formats/npy.h"

#include <algorithm>
#include <cstring>
#include <string_view>
#include <utility>

#include "base/check.h"
#include "tensor/dtype.h"

namespace gyrator {

namespace {

constexpr std::string_view kMagic = "\x93NUMPY";
constexpr uint64_t kHeaderBytesMax = 10'000;  // numpy's limit
constexpr size_t kDimsMax = 64;               // numpy's limit
constexpr size_t kAlignment = 64;
constexpr size_t kGrowthDigits = 21;  // numpy leaves room for the first dimension to grow

struct StoredType {
  std::string_view name;  // without the byte order
  DType dtype;
};
constexpr StoredType kTypes[] = {
    {"f4", DType::kF32}, {"f2", DType::kF16}, {"f8", DType::kF64}, {"i1", DType::kI8},
    {"i2", DType::kI16}, {"i4", DType::kI32}, {"i8", DType::kI64}, {"u1", DType::kU8},
    {"u2", DType::kU16}, {"u4", DType::kU32}, {"u8", DType::kU64}, {"b1", DType::kBool},
};

uint64_t ItemBytes(DType dtype) { return LayoutOf(dtype).bytes; }

// Reads the header's text: a Python dict of a string, a bool and a tuple of whole numbers.
class HeaderParser {
 public:
  explicit HeaderParser(std::string_view text) : rest_(text) {}

  Status Parse(NpyArray* array) {
    GYRATOR_RETURN_IF_ERROR(Expect('{'));
    bool has_descr = false, has_order = false, has_shape = false;
    while (!Accept('}')) {
      GYRATOR_ASSIGN_OR_RETURN(const std::string_view key, String());
      GYRATOR_RETURN_IF_ERROR(Expect(':'));
      bool* seen = key == "descr"           ? &has_descr
                   : key == "fortran_order" ? &has_order
                   : key == "shape"         ? &has_shape
                                            : nullptr;
      if (seen == nullptr || std::exchange(*seen, true)) {
        return Status::Corruption("header key '" + std::string(key) + "', expected descr, " +
                                  "fortran_order and shape, each once");
      }
      if (seen == &has_descr) GYRATOR_RETURN_IF_ERROR(Descr(array));
      if (seen == &has_order) GYRATOR_RETURN_IF_ERROR(Bool(&array->fortran_order));
      if (seen == &has_shape) GYRATOR_RETURN_IF_ERROR(Tuple(&array->shape));
      if (!Accept(',') && Peek() != '}') return Unexpected("',' or '}'");
    }
    if (Peek() != '\0' || !rest_.empty()) return Unexpected("the end of the header");
    if (has_descr && has_order && has_shape) return {};
    return Status::Corruption("header lacks descr, fortran_order or shape");
  }

 private:
  // The next character that is no white space; NUL at the end.
  char Peek() {
    rest_.remove_prefix(std::min(rest_.find_first_not_of(" \t\r\n"), rest_.size()));
    return rest_.empty() ? '\0' : rest_[0];
  }

  bool Accept(char c) {
    if (Peek() != c || rest_.empty()) return false;
    rest_.remove_prefix(1);
    return true;
  }

  Status Expect(char c) { return Accept(c) ? Status() : Unexpected("'" + std::string(1, c) + "'"); }

  Status Unexpected(const std::string& expected) {
    return Status::Corruption("header: expected " + expected + ", found '" +
                              std::string(rest_.substr(0, 20)) + "'");
  }

  // A quoted string without escapes.
  Result<std::string_view> String() {
    const char quote = Peek();
    if (quote != '\'' && quote != '"') return Unexpected("a string");
    const size_t end = rest_.find(quote, 1);
    if (end == std::string_view::npos) return Unexpected("a closing quote");
    const std::string_view text = rest_.substr(1, end - 1);
    if (text.find('\\') != std::string_view::npos) return Unexpected("a string without escapes");
    rest_.remove_prefix(end + 1);
    return text;
  }

  Status Bool(bool* value) {
    Peek();
    for (const auto& [word, meaning] : {std::pair("True", true), std::pair("False", false)}) {
      if (!rest_.starts_with(word)) continue;
      rest_.remove_prefix(std::strlen(word));
      *value = meaning;
      return {};
    }
    return Unexpected("True or False");
  }

  Status Descr(NpyArray* array) {
    if (Peek() == '[') return Status::Unsupported("descr of a structured array");
    GYRATOR_ASSIGN_OR_RETURN(const std::string_view descr, String());
    const char order = descr.empty() ? '\0' : descr[0];
    const std::string_view name = descr.substr(std::min<size_t>(1, descr.size()));
    for (const StoredType& type : kTypes) {
      if (type.name != name) continue;
      array->dtype = type.dtype;
      array->big_endian = order == '>' && ItemBytes(type.dtype) > 1;
      if (order == '<' || order == '>') return {};
      if (order == '|' && ItemBytes(type.dtype) == 1) return {};
    }
    return Status::Unsupported("descr '" + std::string(descr) +
                               "', expected '<' or '>' (one byte: '|') and one of f2 f4 f8 i1 i2 " +
                               "i4 i8 u1 u2 u4 u8 b1");
  }

  // (), (1,), (1, 2), (1, 2,); Python 2 wrote 1L.
  Status Tuple(Shape* shape) {
    GYRATOR_RETURN_IF_ERROR(Expect('('));
    bool comma = true;  // whether an element may follow
    while (!Accept(')')) {
      if (!comma) return Unexpected("',' or ')'");
      if (shape->size() == kDimsMax) {
        return Status::Corruption("shape of more than " + std::to_string(kDimsMax) + " dimensions");
      }
      GYRATOR_ASSIGN_OR_RETURN(const int64_t dim, WholeNumber());
      shape->push_back(dim);
      comma = Accept(',');
    }
    if (shape->size() == 1 && !comma) return Unexpected("a tuple: (n,)");
    return {};
  }

  Result<int64_t> WholeNumber() {
    Peek();
    int64_t value = 0;
    size_t digits = 0;
    for (; digits < rest_.size() && rest_[digits] >= '0' && rest_[digits] <= '9'; ++digits) {
      if (__builtin_mul_overflow(value, int64_t{10}, &value) ||
          __builtin_add_overflow(value, int64_t{rest_[digits] - '0'}, &value)) {
        return Unexpected("a dimension below 2^63");
      }
    }
    if (digits == 0 || (digits > 1 && rest_[0] == '0')) return Unexpected("a whole number");
    rest_.remove_prefix(digits);
    if (!rest_.empty() && rest_[0] == 'L') rest_.remove_prefix(1);
    return value;
  }

  std::string_view rest_;
};

Result<std::string_view> ReadHeader(ByteReader* reader) {
  GYRATOR_ASSIGN_OR_RETURN(const ByteSpan magic, reader->Take(kMagic.size()));
  if (AsText(magic) != kMagic) return Status::Corruption("magic is not \\x93NUMPY");
  GYRATOR_ASSIGN_OR_RETURN(const auto major, reader->Read<uint8_t>());
  GYRATOR_ASSIGN_OR_RETURN(const auto minor, reader->Read<uint8_t>());
  if (major < 1 || major > 3 || minor != 0) {
    return Status::Unsupported("version " + std::to_string(major) + "." + std::to_string(minor) +
                               ", expected 1.0, 2.0 or 3.0");
  }
  uint64_t header_bytes = 0;
  if (major == 1) {
    GYRATOR_ASSIGN_OR_RETURN(header_bytes, reader->Read<uint16_t>());
  } else {
    GYRATOR_ASSIGN_OR_RETURN(header_bytes, reader->Read<uint32_t>());
  }
  if (header_bytes > kHeaderBytesMax) {
    return Status::Corruption("header of " + std::to_string(header_bytes) + " bytes, at most " +
                              std::to_string(kHeaderBytesMax));
  }
  GYRATOR_ASSIGN_OR_RETURN(const ByteSpan header, reader->Take(header_bytes));
  return AsText(header);
}

// All but the data, of which `reader` is in front afterwards.
Status ParseBeforeData(ByteReader* reader, uint64_t file_bytes, NpyArray* array) {
  GYRATOR_ASSIGN_OR_RETURN(const std::string_view header, ReadHeader(reader));
  GYRATOR_RETURN_IF_ERROR(HeaderParser(header).Parse(array));
  const auto expected = TensorBytes(array->dtype, array->shape);
  if (!expected) {
    return Status::Corruption("shape " + ShapeText(array->shape) + " overflows 64 bits");
  }
  const uint64_t found = file_bytes - reader->offset();
  if (found != *expected) {
    return Status::Corruption(std::to_string(found) + " bytes of data, expected " +
                              std::to_string(*expected) + " for " +
                              std::string(DTypeName(array->dtype)) + " " + ShapeText(array->shape));
  }
  return {};
}

Status ParseAll(ByteSpan bytes, NpyArray* array) {
  ByteReader reader(bytes);
  GYRATOR_RETURN_IF_ERROR(ParseBeforeData(&reader, bytes.size(), array));
  GYRATOR_ASSIGN_OR_RETURN(array->data, reader.Take(reader.remaining()));
  return {};
}

// One index of an array, walked like the wheels of an odometer.
struct Wheel {
  uint64_t size;
  uint64_t stride;  // bytes from one value of the index to the next
  uint64_t value = 0;
};

// The indexes of an array, the one that runs fastest in C order first.
std::vector<Wheel> WheelsOf(const NpyArray& array) {
  std::vector<Wheel> wheels;
  for (int64_t dim : array.shape) wheels.push_back({static_cast<uint64_t>(dim), 0});
  uint64_t stride = ItemBytes(array.dtype);
  const auto add_stride = [&stride](Wheel& wheel) {
    wheel.stride = stride;
    stride *= wheel.size;
  };
  if (array.fortran_order) std::for_each(wheels.begin(), wheels.end(), add_stride);
  std::reverse(wheels.begin(), wheels.end());
  if (!array.fortran_order) std::for_each(wheels.begin(), wheels.end(), add_stride);
  return wheels;
}

// Copies elements of `kBytes` bytes: the i-th in C order to out[i].
template <size_t kBytes>
void CopyElements(const NpyArray& array, std::byte* out) {
  std::vector<Wheel> wheels = WheelsOf(array);
  uint64_t at = 0;
  for (uint64_t done = 0; done < array.data.size(); done += kBytes, out += kBytes) {
    std::memcpy(out, array.data.data() + at, kBytes);
    if (array.big_endian) std::reverse(out, out + kBytes);
    for (Wheel& wheel : wheels) {
      at += wheel.stride;
      if (++wheel.value < wheel.size) break;
      at -= wheel.stride * std::exchange(wheel.value, 0);
    }
  }
}

std::string TupleText(const Shape& shape) {
  std::string text = "(";
  for (size_t i = 0; i < shape.size(); ++i) {
    if (i > 0) text += ", ";
    text += std::to_string(shape[i]);
  }
  return text + (shape.size() == 1 ? ",)" : ")");
}

}  // namespace

Result<NpyArray> ParseNpy(ByteSpan bytes) {
  NpyArray array;
  GYRATOR_RETURN_IF_ERROR(ParseAll(bytes, &array).Annotate("npy"));
  return array;
}

Result<NpyArray> ParseNpyHeader(ByteSpan start, uint64_t file_bytes) {
  NpyArray array;
  ByteReader reader(start);
  GYRATOR_RETURN_IF_ERROR(ParseBeforeData(&reader, file_bytes, &array).Annotate("npy"));
  return array;
}

std::vector<std::byte> NativeCopy(const NpyArray& array) {
  std::vector<std::byte> out(array.data.size());
  if (array.IsNative()) {
    std::copy(array.data.begin(), array.data.end(), out.begin());
    return out;
  }
  switch (ItemBytes(array.dtype)) {
    case 1:
      CopyElements<1>(array, out.data());
      break;
    case 2:
      CopyElements<2>(array, out.data());
      break;
    case 4:
      CopyElements<4>(array, out.data());
      break;
    default:
      CopyElements<8>(array, out.data());
      break;
  }
  return out;
}

std::string NpyHeader(DType dtype, const Shape& shape) {
  GYRATOR_CHECK(shape.size() <= kDimsMax && TensorBytes(dtype, shape).has_value());
  const DType stored = dtype == DType::kBF16 ? DType::kU16 : dtype;
  const auto* type = std::find_if(std::begin(kTypes), std::end(kTypes),
                                  [&](const StoredType& known) { return known.dtype == stored; });
  GYRATOR_CHECK(type != std::end(kTypes));
  std::string text = std::string("{'descr': '") + (ItemBytes(stored) == 1 ? '|' : '<');
  text +=
      std::string(type->name) + "', 'fortran_order': False, 'shape': " + TupleText(shape) + ", }";
  if (!shape.empty()) {
    const size_t digits = std::to_string(shape[0]).size();
    text.append(kGrowthDigits - std::min(digits, kGrowthDigits), ' ');
  }
  const size_t prefix = kMagic.size() + 2 + sizeof(uint16_t);
  text.append(kAlignment - (prefix + text.size() + 1) % kAlignment, ' ');
  text += '\n';
  const auto size = static_cast<uint16_t>(text.size());
  std::string header = std::string(kMagic) + '\x01' + '\0';
  header.append(reinterpret_cast<const char*>(&size), sizeof(size));
  return header + text;
}

}  // namespace gyrator
