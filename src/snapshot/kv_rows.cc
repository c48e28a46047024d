#include "snapshot/kv_rows.h"

#include <algorithm>
#include <bit>
#include <cstring>

#include "base/check.h"

namespace gyrator {

namespace {

static_assert(std::endian::native == std::endian::little, "files and blocks share byte order");

std::byte* HeadBase(const PagedKv& kv, const HeadPlace& place, uint32_t block) {
  return place.half == KvHalf::kKey ? kv.keys(place.layer, block, place.kv_head)
                                    : kv.values(place.layer, block, place.kv_head);
}

int64_t ElementIndex(const PagedKv& kv, KvHalf half, int32_t dim, int32_t slot) {
  return half == KvHalf::kKey ? KeyIndex(kv.dtype, dim, slot)
                              : ValueIndex(kv.dtype, dim, slot, kv.head_dim);
}

struct RowRange {
  int32_t begin = 0;
  int64_t count = 0;
};

// Calls move(pointer to the element in its block, index of it in the rows) for each element.
template <class Element, class Move>
void ForEachElement(const PagedKv& kv, const BlockTableView& blocks, const HeadPlace& place,
                    const RowRange& range, Move move) {
  for (int64_t row = 0; row < range.count; ++row) {
    const auto position = static_cast<int32_t>(range.begin + row);
    const uint32_t block = blocks.blocks[position / kBlockPositions];
    auto* base = reinterpret_cast<Element*>(HeadBase(kv, place, block));
    const int32_t slot = position % kBlockPositions;
    for (int32_t dim = 0; dim < kv.head_dim; ++dim) {
      move(base + ElementIndex(kv, place.half, dim, slot), row * kv.head_dim + dim);
    }
  }
}

RowRange RangeOf(const PagedKv& kv, const BlockTableView& blocks, int32_t begin, size_t bytes) {
  const int64_t row_bytes = kv.element_bytes() * kv.head_dim;
  const int64_t count = static_cast<int64_t>(bytes) / row_bytes;
  GYRATOR_CHECK(static_cast<size_t>(count * row_bytes) == bytes);
  GYRATOR_CHECK(begin >= 0 && begin + count <= int64_t{blocks.num_blocks} * kBlockPositions);
  return {begin, count};
}

template <class Element>
void Gather(const PagedKv& kv, const BlockTableView& blocks, const HeadPlace& place, int32_t begin,
            std::span<std::byte> rows) {
  std::byte* out = rows.data();
  ForEachElement<Element>(kv, blocks, place, RangeOf(kv, blocks, begin, rows.size()),
                          [out](const Element* element, int64_t index) {
                            std::memcpy(out + index * int64_t{sizeof(Element)}, element,
                                        sizeof(Element));
                          });
}

template <class Element>
void Scatter(const PagedKv& kv, const BlockTableView& blocks, const HeadPlace& place, int32_t begin,
             std::span<const std::byte> rows) {
  const std::byte* in = rows.data();
  ForEachElement<Element>(kv, blocks, place, RangeOf(kv, blocks, begin, rows.size()),
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

}  // namespace

void GatherRows(const PagedKv& kv, const BlockTableView& blocks, const HeadPlace& place,
                int32_t begin, std::span<std::byte> rows) {
  if (kv.element_bytes() == 4) {
    Gather<uint32_t>(kv, blocks, place, begin, rows);
  } else {
    Gather<uint16_t>(kv, blocks, place, begin, rows);
  }
}

void ScatterRows(const PagedKv& kv, const BlockTableView& blocks, const HeadPlace& place,
                 int32_t begin, std::span<const std::byte> rows) {
  if (kv.element_bytes() == 4) {
    Scatter<uint32_t>(kv, blocks, place, begin, rows);
  } else {
    Scatter<uint16_t>(kv, blocks, place, begin, rows);
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
    default:
      break;
  }
  GYRATOR_CHECK(false);
}

}  // namespace gyrator
