// What copy-on-write and swapping need of whoever owns the bytes of the blocks.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace gyrator {

class BlockBytes {
 public:
  virtual ~BlockBytes() = default;
  // Makes block `to` equal to block `from`, all layers. Engine thread only.
  virtual void Copy(uint32_t from, uint32_t to) = 0;
  // The bytes of a block, all layers, in order: views that live as long as the owner.
  virtual std::vector<std::span<std::byte>> Pieces(uint32_t block) = 0;
};

}  // namespace gyrator
