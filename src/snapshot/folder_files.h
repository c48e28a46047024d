// The files of a folder, and whole small ones, each checked before it is used.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>

#include "base/fs.h"
#include "snapshot/manifest.h"

namespace gyrator {

// Relative path -> bytes. Of the folder and the folders in it; no deeper.
using FolderFiles = std::map<std::string, uint64_t, std::less<>>;

// Keeps a folder from being removed while the lock lives. "not_found", "not_a_context"; kIo.
Result<std::unique_ptr<FileLock>> HoldFolder(FileSystem& fs, const std::string& folder);

// "not_found", "not_a_context" (no folder), "state_inconsistent" names a link, device or folder
// that has no place here; kIo.
Result<FolderFiles> ListFolder(FileSystem& fs, const std::string& folder);

// Whether the files are those of the manifest, each with its size: "missing_element",
// "manifest_mismatch" (size, or a file that the manifest does not list).
Status CheckFiles(const FolderFiles& files, const Manifest& manifest);

// What a failure to open or read the file `path` of a folder means: "missing_element" when it is
// not there, "state_inconsistent" when it is no file that can be read; what the system refused
// stays.
Status ElementError(const Status& status, std::string_view path);

// Opens a file of a folder. Errors as above; "state_inconsistent" also when it has holes: it would
// take more room in memory than on the disk.
Result<std::unique_ptr<ReadableFile>> OpenElement(FileSystem& fs, const std::string& folder,
                                                  std::string_view path);
// All of a file of at most `bytes_max` bytes. kExhausted "memory" when there is no room for it.
Result<std::string> ReadElement(FileSystem& fs, const std::string& folder, std::string_view path,
                                uint64_t bytes_max = UINT64_MAX);
// The same, compared with the digest in `manifest`: "missing_element", "manifest_mismatch".
Result<std::string> ReadVerified(FileSystem& fs, const std::string& folder, std::string_view path,
                                 const Manifest& manifest);

// Hashes a file in pieces and compares it with `entry`: "manifest_mismatch".
Status VerifyFile(FileSystem& fs, const std::string& folder, const ManifestEntry& entry);

}  // namespace gyrator
