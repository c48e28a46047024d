#include "snapshot/kv_rows.h"

#include <algorithm>
#include <bit>
#include <cstring>

#include "base/check.h"
#include "tensor/dtype.h"

namespace gyrator {

namespace {

static_assert(std::endian::native == std::endian::little, "files and blocks share byte order");

// Where the elements of a tensor begin in a block.
std::byte* TensorBase(const PagedKv& kv, const HeadPlace& place, uint32_t block) {
  const bool keys = place.tensor == KvTensor::kKey || place.tensor == KvTensor::kKeyScale;
  std::byte* head = keys ? kv.keys(place.layer, block, place.kv_head)
                         : kv.values(place.layer, block, place.kv_head);
  const bool scales = place.tensor != KvTensor::kKey && place.tensor != KvTensor::kValue;
  return scales ? reinterpret_cast<std::byte*>(kv.scales(head)) : head;
}

int64_t ElementIndex(const PagedKv& kv, KvTensor tensor, int32_t column, int32_t slot) {
  if (tensor == KvTensor::kKey) return KeyIndex(kv.dtype, column, slot);
  if (tensor == KvTensor::kValue) return ValueIndex(kv.dtype, column, slot, kv.head_dim);
  return ScaleIndex(column, slot);
}

struct RowRange {
  int32_t begin = 0;
  int64_t count = 0;
  int32_t width = 0;
};

// Calls move(pointer to the element in its block, index of it in the rows) for each element.
template <class Element, class Move>
void ForEachElement(const PagedKv& kv, const BlockTableView& blocks, const HeadPlace& place,
                    const RowRange& range, Move move) {
  for (int64_t row = 0; row < range.count; ++row) {
    const auto position = static_cast<int32_t>(range.begin + row);
    const uint32_t block = blocks.blocks[position / kBlockPositions];
    auto* base = reinterpret_cast<Element*>(TensorBase(kv, place, block));
    const int32_t slot = position % kBlockPositions;
    for (int32_t column = 0; column < range.width; ++column) {
      move(base + ElementIndex(kv, place.tensor, column, slot), row * range.width + column);
    }
  }
}

// The rows of `bytes` bytes from position `begin` on.
RowRange RangeOf(const PagedKv& kv, const BlockTableView& blocks, const HeadPlace& place,
                 int32_t begin, size_t bytes) {
  const int64_t row_bytes = KvRowBytes(GeometryOf(kv), place.tensor);
  const int64_t count = static_cast<int64_t>(bytes) / row_bytes;
  GYRATOR_CHECK(static_cast<size_t>(count * row_bytes) == bytes);
  GYRATOR_CHECK(begin >= 0 && begin + count <= int64_t{blocks.num_blocks} * kBlockPositions);
  return {begin, count, static_cast<int32_t>(KvWidth(GeometryOf(kv), place.tensor))};
}

template <class Element>
void Gather(const PagedKv& kv, const BlockTableView& blocks, const HeadPlace& place, int32_t begin,
            std::span<std::byte> rows) {
  std::byte* out = rows.data();
  ForEachElement<Element>(kv, blocks, place, RangeOf(kv, blocks, place, begin, rows.size()),
                          [out](const Element* element, int64_t index) {
                            std::memcpy(out + index * int64_t{sizeof(Element)}, element,
                                        sizeof(Element));
                          });
}

template <class Element>
void Scatter(const PagedKv& kv, const BlockTableView& blocks, const HeadPlace& place, int32_t begin,
             std::span<const std::byte> rows) {
  const std::byte* in = rows.data();
  ForEachElement<Element>(kv, blocks, place, RangeOf(kv, blocks, place, begin, rows.size()),
                          [in](Element* element, int64_t index) {
                            std::memcpy(element, in + index * int64_t{sizeof(Element)},
                                        sizeof(Element));
                          });
}

template <class Element>
bool FiniteAs(std::span<const std::byte> bytes, Element exponent) {
  // No early exit inside a piece: it lets the compiler vectorise.
  constexpr size_t kPiece = 4096;
  for (size_t at = 0; at < bytes.size(); at += kPiece) {
    const auto piece = bytes.subspan(at, std::min(kPiece, bytes.size() - at));
    bool bad = false;
    for (size_t i = 0; i + sizeof(Element) <= piece.size(); i += sizeof(Element)) {
      Element bits;
      std::memcpy(&bits, piece.data() + i, sizeof(Element));
      bad |= (bits & exponent) == exponent;
    }
    if (bad) return false;
  }
  return true;
}

size_t ElementBytes(const PagedKv& kv, KvTensor tensor) {
  return LayoutOf(KvElementDType(kv.dtype, tensor)).bytes;
}

}  // namespace

KvGeometry GeometryOf(const PagedKv& kv) {
  return {kv.dtype, kv.num_layers, kv.num_kv_heads, kv.head_dim};
}

void GatherRows(const PagedKv& kv, const BlockTableView& blocks, const HeadPlace& place,
                int32_t begin, std::span<std::byte> rows) {
  switch (ElementBytes(kv, place.tensor)) {
    case 4:
      return Gather<uint32_t>(kv, blocks, place, begin, rows);
    case 2:
      return Gather<uint16_t>(kv, blocks, place, begin, rows);
    default:
      return Gather<uint8_t>(kv, blocks, place, begin, rows);
  }
}

void ScatterRows(const PagedKv& kv, const BlockTableView& blocks, const HeadPlace& place,
                 int32_t begin, std::span<const std::byte> rows) {
  switch (ElementBytes(kv, place.tensor)) {
    case 4:
      return Scatter<uint32_t>(kv, blocks, place, begin, rows);
    case 2:
      return Scatter<uint16_t>(kv, blocks, place, begin, rows);
    default:
      return Scatter<uint8_t>(kv, blocks, place, begin, rows);
  }
}

bool AllFinite(DType dtype, std::span<const std::byte> bytes) {
  switch (dtype) {
    case DType::kF32:
      return FiniteAs<uint32_t>(bytes, 0x7f800000u);
    case DType::kF16:
      return FiniteAs<uint16_t>(bytes, 0x7c00u);
    case DType::kBF16:
      return FiniteAs<uint16_t>(bytes, 0x7f80u);
    case DType::kI8:
      return true;
    default:
      break;
  }
  GYRATOR_CHECK(false);
}

}  // namespace gyrator
