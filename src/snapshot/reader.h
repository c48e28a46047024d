// contextload in stages: nothing live is touched before everything is verified.
//
// OpenSnapshot reads and checks all but K and V. The caller compares identity, reserves fresh
// blocks, and LoadKv hashes each tensor and copies it into them in one pass; on any error the
// caller throws the blocks away. Two levels: "full" (folder with a manifest: every byte is
// verified) and "bare" (v1.0 folder without one, as numpy makes it: shapes and invariants only; no
// chat, no logits).
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/fs.h"
#include "base/keyvalue.h"
#include "kernels/paged_kv.h"
#include "snapshot/format.h"
#include "snapshot/manifest.h"
#include "snapshot/protocol.h"
#include "snapshot/window_text.h"
#include "snapshot/writer.h"

namespace gyrator {

enum class Verification : uint8_t { kFull, kBare };
std::string_view VerificationName(Verification level);  // "full", "bare"

// A snapshot at rest: all of it but K and V. A value; immutable after OpenSnapshot. While it lives
// no catalog removes its folder.
struct Snapshot {
  std::string folder;
  Verification verification = Verification::kBare;
  Manifest manifest;  // full
  Protocol protocol;  // full
  KeyValues config, protocol_text, session, keylog;
  KvGeometry kv;
  std::vector<TokenId> tokens;      // [cp], without padding
  std::vector<Position> positions;  // [cp]
  std::string chat = "[]";
  std::string window;                   // full: the text of window.txt; empty: no such file
  std::optional<WindowText> evictions;  // what it says
  std::vector<float> logits;            // [vocab]; empty: not stored, decode the last token again
  std::vector<std::string> notes;
  // bare: where row t of the K and V files goes; -1: padding. Rows beyond are trimmed. Empty in
  // full.
  std::vector<int32_t> row_positions;
  std::shared_ptr<const FileLock> hold;

  int32_t cp() const { return static_cast<int32_t>(tokens.size()); }
  // Keys that this program does not know, for the next save (writer.h).
  ForeignKeys foreign() const;
};

// Errors: kNotFound "not_found" and "not_a_context"; kCorruption "missing_element",
// "manifest_mismatch", "state_inconsistent", each naming the file; kUnsupported
// "unsupported_protocol" and "chain_unknown_op"; kIo.
Result<Snapshot> OpenSnapshot(FileSystem& fs, const std::string& folder);

// What `ls` shows: manifest, config, protocol and session of a full folder, verified; of a bare one
// config, and how many tokens it has places for, padding included. Reads no tensor.
struct SnapshotSummary {
  Verification verification = Verification::kBare;
  Protocol protocol;
  KeyValues config, session;
  std::string root_digest;  // full
  int64_t cp = 0;
  uint64_t bytes = 0;
};
Result<SnapshotSummary> ReadSummary(FileSystem& fs, const std::string& folder);

// kUnsupported when positions are not 0, 1, 2, ...: such a sequence cannot be continued.
Status CheckPositions(const Snapshot& snapshot);

// May a live session with these config keys and this capacity continue it? kMismatch
// "model_mismatch"; kExhausted "capacity" when cp is beyond it; kUnsupported when positions have
// gaps. Gives soft differences and, for bare folders, what could not be checked.
Result<std::vector<std::string>> CheckCompatible(const Snapshot& snapshot,
                                                 const KeyValues& live_config, int64_t capacity);

struct LoadOptions {
  bool require_finite = true;
  std::function<void(uint64_t bytes_done, uint64_t bytes_total)> progress = nullptr;
};

// Copies K and V into the blocks of a sequence. On an error their content is undefined. kMismatch
// "shape_mismatch"; kExhausted "capacity" when the table is short; kCorruption as OpenSnapshot.
Status LoadKv(FileSystem& fs, const Snapshot& snapshot, const PagedKv& kv,
              const BlockTableView& blocks, const LoadOptions& options);

// Everything that a load checks, without a target: every file hashed, every invariant, finite
// values.
Result<Snapshot> VerifySnapshot(FileSystem& fs, const std::string& folder,
                                const LoadOptions& options);

}  // namespace gyrator
