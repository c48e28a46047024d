// The place on disk where blocks of KV go while they do not fit in memory.
//
// Does: keep blocks of one size in slots of a private file, lowest free slot first (so that a run
// is reproducible), at most as many as the cap allows, and find damage when it gives them back.
// Does not: outlive the process (sessions that must are snapshots), sync, compress, choose victims,
// or know what a block holds. The file grows as slots are used and gives its disk space back when
// the object is destroyed, not before.
//
// The file has no name: it is created (mode 0600, O_EXCL), locked and unlinked before the first
// byte is written. So the system frees its space however the process ends, nobody opens it by a
// path, and a crash leaves no conversation on the disk in a file that somebody can list; the price
// is that ls and du do not show it (stats() does). What a kill between creation and unlink leaves
// is an empty file, "gyrator-swap-<process id>-<number>"; the next Create() in that directory
// removes it. Whether its owner lives is told by the lock (flock), which ends with the process,
// and not by the id: ids are reused, and mean nothing to other machines and containers that share
// the directory. Removed is only a regular, empty file of this user, with such a name, that nobody
// has locked; links are not followed.
//
// Engine thread only. After a fork only one of the two processes may go on with the object.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <queue>
#include <span>
#include <string>
#include <vector>

#include "base/posix.h"
#include "gyrator/status.h"

namespace gyrator {

// The bytes of one block, all layers, where they lie in memory: in order, not necessarily adjacent.
using BlockPieces = std::span<const std::span<std::byte>>;

struct SwapFileOptions {
  std::string directory;    // must exist; on a disk (a tmpfs is memory)
  int64_t block_bytes = 0;  // of one block, all layers: kv.block_bytes() * kv.num_layers
  uint64_t bytes_max = 0;   // the cap of all slots together
};

// Counted since Create().
struct SwapStats {
  uint64_t blocks_in_use = 0;  // slots that hold a block
  uint64_t bytes_in_use = 0;   // of those
  uint64_t bytes_max = 0;      // the cap
  uint64_t blocks_written = 0;
  uint64_t blocks_read = 0;
  uint64_t writes_failed = 0;  // cap, disk
  uint64_t reads_failed = 0;   // disk, damage
};

class SwapFile {
 public:
  // kInvalidArgument when the cap is less than one block; kNotFound, kExhausted "no_space" or kIo
  // when the directory does not let itself be listed, or a file in it be created and locked.
  // REQUIRES: block_bytes > 0.
  static Result<std::unique_ptr<SwapFile>> Create(const SwapFileOptions& options);
  SwapFile(const SwapFile&) = delete;
  SwapFile& operator=(const SwapFile&) = delete;

  // Copies a block to the lowest free slot. On failure nothing changes and the slot stays free:
  // kExhausted "swap_full" when the cap is reached (names cap and use); kExhausted "no_space" when
  // disk, quota or the process's limit of file size is (no signal is raised then);
  // kIo. A system that notices a full disk only later gives damage to Read(), which finds it.
  // REQUIRES: the pieces have block_bytes together.
  Result<uint32_t> Write(BlockPieces pieces);
  // Copies a block back; the slot stays allocated, whatever comes out. kCorruption "swap_damaged"
  // when the bytes are not those written (names file, slot, CRC32C expected and found) or the file
  // ends before; kIo. After a failure the pieces hold anything. REQUIRES: `slot` is allocated, the
  // pieces have block_bytes together.
  Status Read(uint32_t slot, BlockPieces pieces);
  // REQUIRES: `slot` is allocated.
  void Free(uint32_t slot);

  SwapStats stats() const;
  // The name that the file had at its creation, for messages.
  const std::string& path() const { return path_; }

 private:
  SwapFile(Descriptor file, std::string path, const SwapFileOptions& options);

  Status WriteAt(uint64_t offset, std::span<const std::byte> bytes);
  Status ReadAt(uint64_t offset, std::span<std::byte> bytes);
  Result<uint32_t> WriteSlot(BlockPieces pieces);
  Status ReadSlot(uint32_t slot, BlockPieces pieces);
  void CheckPieces(BlockPieces pieces) const;
  bool IsAllocated(uint32_t slot) const;
  uint64_t NumAllocated() const { return crcs_.size() - free_.size(); }
  std::string NameOf(uint32_t slot) const;

  const Descriptor file_;
  const std::string path_;
  const uint64_t block_bytes_;
  const uint64_t num_slots_max_;
  // [slots ever used] CRC32C of what a slot holds; none: it is free. Here and not in the file, so
  // that no damage there can change both.
  std::vector<std::optional<uint32_t>> crcs_;
  std::priority_queue<uint32_t, std::vector<uint32_t>, std::greater<>> free_;  // of those in crcs_
  SwapStats stats_;  // bytes_in_use is made when it is asked for
};

}  // namespace gyrator
