// Bare v1.0 folders: what numpy makes from the seeds' description, without a manifest.
//
// Accepted: .npy of versions 1 to 3, C or Fortran order, either byte order, any integer type for
// ids, mask and positions; rows of a padded batch (segments of one sequence, padding by mask); K
// and V longer than the tokens (static caches); text files in metadata/ or at the top level. One
// sequence: KV batch 1. Internal to this module.
#pragma once

#include <string>

#include "base/fs.h"
#include "snapshot/folder_files.h"
#include "snapshot/kv_rows.h"
#include "snapshot/reader.h"

namespace gyrator {

// `files` has no manifest. "missing_element" when it has a file that only full folders have.
Result<Snapshot> OpenBare(FileSystem& fs, const std::string& folder, const FolderFiles& files);

// What shows without reading a tensor: config.txt, and the size of the table of ids.
struct BareSummary {
  KeyValues config;
  int64_t entries = 0;
};
Result<BareSummary> SummarizeBare(FileSystem& fs, const std::string& folder,
                                  const FolderFiles& files);

// Whether the header of a K or V file is one that LoadWholeTensor takes: "state_inconsistent" names
// the file. Reads no more than the header.
Status CheckTensorHeader(const Snapshot& snapshot, const HeadPlace& place,
                         const ReadableFile& file);

// Where K and V go; `kv` == nullptr: nowhere, they are only checked.
struct KvTarget {
  const PagedKv* kv = nullptr;
  BlockTableView blocks = {};
  bool require_finite = true;
};

// Copies the rows of one whole file to the snapshot's row_positions. Shape and type are checked:
// "state_inconsistent" names the file. REQUIRES the target's type to be the snapshot's.
Status LoadWholeTensor(const Snapshot& snapshot, const HeadPlace& place, ByteSpan file,
                       const KvTarget& target);

// The bytes of a K or V file and, if the snapshot is int8, of the one with its scales.
struct WholeFiles {
  std::string elements, scales;
};
// The same, converted to the target's type; `place` is that of K or V, its scales go along.
// "state_inconsistent" also when a value is not finite that int8 would have to hold.
Status ConvertWholeTensor(const Snapshot& snapshot, const HeadPlace& place, const WholeFiles& files,
                          const KvTarget& target);

}  // namespace gyrator
