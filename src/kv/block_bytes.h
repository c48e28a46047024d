// What copy-on-write, swapping and moving positions need of whoever owns the bytes of the blocks.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace gyrator {

// What a block holds of one position, to another place and position.
struct PositionMove {
  uint32_t from_block = 0;
  int32_t from_slot = 0;
  uint32_t to_block = 0;
  int32_t to_slot = 0;
  int32_t delta = 0;  // the new position less the old one; 0: a copy, bit for bit
};

class BlockBytes {
 public:
  virtual ~BlockBytes() = default;
  // Makes block `to` equal to block `from`, all layers. Engine thread only.
  virtual void Copy(uint32_t from, uint32_t to) = 0;
  // Moves positions one after the other, all layers. False: a key cannot be kept at its new
  // position (int8, not finite); what has a delta is unspecified then where it was to go.
  [[nodiscard]] virtual bool Move(std::span<const PositionMove> moves) = 0;
  // The bytes of a block, all layers, in order: views that live as long as the owner.
  virtual std::vector<std::span<std::byte>> Pieces(uint32_t block) = 0;
};

}  // namespace gyrator
