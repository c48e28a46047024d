// contextsave: the whole state of a session into a v1.0 folder, whole or not at all.
//
// Knows tokens, KV blocks, the text of chat.json and key: value lines; not models, engines or
// templates. Memory use is bounded (one buffer of rows); KV is hashed while it is written.
#pragma once

#include <functional>
#include <span>
#include <string>
#include <string_view>

#include "base/clock.h"
#include "base/fs.h"
#include "base/keyvalue.h"
#include "kernels/paged_kv.h"
#include "snapshot/folder_writer.h"
#include "snapshot/format.h"

namespace gyrator {

// Keys of a loaded snapshot that this program does not know; a later save carries them along.
struct ForeignKeys {
  KeyValues config, protocol, session, keylog;
};

// "state_inconsistent" when there are more of them than a reader takes (limits.h);
// kInvalidArgument names a key or value that is not one line of text.
Status CheckForeign(const ForeignKeys& foreign);

// One unit (pillar 4). Views must stay valid and unchanged during the call.
struct SnapshotSource {
  std::span<const TokenId> tokens;      // [cp]
  std::span<const Position> positions;  // [cp]
  PagedKv kv;
  BlockTableView blocks;          // covers cp positions
  std::string_view chat = "[]";   // chat.json: array of {role, content, span: [begin, end), ...}
  std::string_view window = {};   // window.txt (window_text.h); empty: no such file
  std::span<const float> logits;  // [vocab] of the last position; empty: re-decode the last token
  const KeyValues* identity = nullptr;   // config keys (see identity.h), cache_capacity included
  const KeyValues* session = nullptr;    // id, parent, turn, phase, sampler.*, rng.*, ...; not cp
  const ForeignKeys* foreign = nullptr;  // may be null
};

struct WriteOptions {
  std::string writer_version;
  // Keys and values that are not finite are refused; false keeps them, bit for bit.
  bool require_finite = true;
  std::function<void(uint64_t bytes_done, uint64_t bytes_total)> progress = nullptr;
};

struct WrittenSnapshot {
  std::string folder;
  std::string stamp;
  std::string root_digest;
  uint64_t bytes = 0;  // of the files that the manifest lists
};

// Bytes of KV in a snapshot: 2 x layers x kv heads x cp x head_dim x sizeof(dtype), and of the
// scales.
uint64_t KvBytes(const KvGeometry& kv, int64_t cp);

// Writes a new folder below `root`. Errors: kCorruption "state_inconsistent" (nothing touched),
// kInvalidArgument (a key or value that is not one line of text), kExhausted "no_space" (checked
// before anything is written, and when the disk fills), kIo. On every error nothing is left but,
// after a crash, a .tmp- folder.
Result<WrittenSnapshot> WriteSnapshot(FileSystem& fs, Clock& clock, const std::string& root,
                                      const SnapshotSource& source, const WriteOptions& options);

// The parts of WriteSnapshot, for the catalog: checks that touch nothing; all files but the
// manifest.
Status CheckSource(const SnapshotSource& source);
Status WriteElements(FolderWriter& writer, const SnapshotSource& source,
                     const WriteOptions& options);

}  // namespace gyrator
