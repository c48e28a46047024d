#include "snapshot/folder_files.h"

#include <algorithm>
#include <new>
#include <vector>

#include "base/sha256.h"
#include "snapshot/errors.h"
#include "snapshot/format.h"
#include "snapshot/limits.h"
#include "snapshot/stamp.h"

namespace gyrator {

namespace {

constexpr size_t kPieceBytes = 256 << 10;
constexpr uint64_t kAlwaysThere = 64u << 20;  // bytes that nobody asks for before taking them

// Whether the system would give as much memory. Asking is cheap: what is not touched is not there.
bool CanHold(uint64_t bytes) {
  if (bytes <= kAlwaysThere) return true;
  if (bytes > SIZE_MAX / 2) return false;
  const std::unique_ptr<char[]> probe(new (std::nothrow) char[bytes]);
  return probe != nullptr;
}

Status ListInto(FileSystem& fs, const std::string& folder, const std::string& prefix,
                FolderFiles* files) {
  GYRATOR_ASSIGN_OR_RETURN(const std::vector<std::string> names, fs.List(JoinPath(folder, prefix)));
  for (const std::string& name : names) {
    const std::string path = prefix.empty() ? name : prefix + "/" + name;
    GYRATOR_ASSIGN_OR_RETURN(const FileInfo info, fs.Stat(JoinPath(folder, path)));
    const bool nested = !prefix.empty();
    if (info.kind == FileKind::kDirectory && IsStamp(prefix)) {
      return NotAContext(folder,
                         "it holds saved folders; name one of them: " + JoinPath(folder, prefix));
    }
    if (info.kind == FileKind::kOther || (info.kind == FileKind::kDirectory && nested)) {
      return StateInconsistent(path, "neither a file nor a folder that belongs here");
    }
    if (files->size() >= kFilesMax)
      return NotAContext(folder, "more than " + std::to_string(kFilesMax) + " files");
    if (info.kind == FileKind::kFile) {
      files->emplace(path, info.bytes);
    } else {
      GYRATOR_RETURN_IF_ERROR(ListInto(fs, folder, path, files));
    }
  }
  return {};
}

Status CompareDigest(const ManifestEntry& entry, const Sha256Digest& digest) {
  const std::string found = HexText(digest);
  if (found == entry.sha256) return {};
  return ManifestMismatch(entry.path, "the manifest has sha256 " + entry.sha256.substr(0, 16) +
                                          "..., the file has " + found.substr(0, 16) + "...");
}

Status NoFolder(FileSystem& fs, const std::string& folder) {
  if (fs.Stat(folder).ok()) return NotAContext(folder, "not a folder");
  return Status::NotFound(folder + ": no such folder").Named("not_found");
}

}  // namespace

Result<std::unique_ptr<FileLock>> HoldFolder(FileSystem& fs, const std::string& folder) {
  Result<std::unique_ptr<FileLock>> lock = fs.LockDirectory(folder, LockMode::kShared);
  if (lock.ok() || lock.status().code() != Code::kNotFound) return lock;
  return NoFolder(fs, folder);
}

Result<FolderFiles> ListFolder(FileSystem& fs, const std::string& folder) {
  const Result<std::vector<std::string>> names = fs.List(folder);
  if (!names.ok()) {
    if (names.status().code() != Code::kNotFound) return names.status();
    return NoFolder(fs, folder);
  }
  FolderFiles files;
  GYRATOR_RETURN_IF_ERROR(ListInto(fs, folder, "", &files));
  return files;
}

Status CheckFiles(const FolderFiles& files, const Manifest& manifest) {
  for (const ManifestEntry& entry : manifest.entries()) {
    const auto found = files.find(entry.path);
    if (found == files.end()) return MissingElement(entry.path);
    if (found->second != entry.bytes) {
      return ManifestMismatch(entry.path, "the manifest has " + std::to_string(entry.bytes) +
                                              " bytes, the file has " +
                                              std::to_string(found->second));
    }
  }
  for (const auto& [path, bytes] : files) {
    if (path != kManifestFile && manifest.Find(path) == nullptr) {
      return ManifestMismatch(path, "not in the manifest");
    }
  }
  return {};
}

Status ElementError(const Status& status, std::string_view path) {
  if (status.code() == Code::kNotFound) return MissingElement(path);
  const bool by_the_system = status.code() == Code::kIo || status.name() == "no_space";
  if (by_the_system) return status;
  return StateInconsistent(path, status.message());
}

Result<std::unique_ptr<ReadableFile>> OpenElement(FileSystem& fs, const std::string& folder,
                                                  std::string_view path) {
  Result<std::unique_ptr<ReadableFile>> file = fs.OpenForRead(JoinPath(folder, path));
  if (!file.ok()) return ElementError(file.status(), path);
  if ((*file)->has_holes()) {
    return StateInconsistent(path,
                             "has holes, parts that take no room on the disk; copy the "
                             "folder without them (cp --sparse=never)");
  }
  return file;
}

Result<std::string> ReadElement(FileSystem& fs, const std::string& folder, std::string_view path,
                                uint64_t bytes_max) {
  GYRATOR_ASSIGN_OR_RETURN(const std::unique_ptr<ReadableFile> file, OpenElement(fs, folder, path));
  const uint64_t bytes = file->size();
  if (bytes > bytes_max) {
    return StateInconsistent(path, "at most " + std::to_string(bytes_max) +
                                       " bytes expected, found " + std::to_string(bytes));
  }
  if (!CanHold(bytes)) {
    return Status::Exhausted(std::string(path) + ": no memory for its " + std::to_string(bytes) +
                             " bytes")
        .Named("memory");
  }
  std::string text(bytes, '\0');
  const Status read = file->ReadAt(0, std::as_writable_bytes(std::span(text)));
  return read.ok() ? Result<std::string>(std::move(text)) : ElementError(read, path);
}

Result<std::string> ReadVerified(FileSystem& fs, const std::string& folder, std::string_view path,
                                 const Manifest& manifest) {
  const ManifestEntry* entry = manifest.Find(path);
  if (entry == nullptr) return MissingElement(path);
  GYRATOR_ASSIGN_OR_RETURN(std::string text, ReadElement(fs, folder, path));
  GYRATOR_RETURN_IF_ERROR(CompareDigest(*entry, Sha256Of(AsBytes(text))));
  return text;
}

Status VerifyFile(FileSystem& fs, const std::string& folder, const ManifestEntry& entry) {
  GYRATOR_ASSIGN_OR_RETURN(const std::unique_ptr<ReadableFile> file,
                           OpenElement(fs, folder, entry.path));
  Sha256 hash;
  std::vector<std::byte> buffer(std::min<uint64_t>(kPieceBytes, file->size()));
  for (uint64_t at = 0; at < file->size(); at += buffer.size()) {
    const std::span<std::byte> piece(buffer.data(),
                                     std::min<uint64_t>(buffer.size(), file->size() - at));
    if (Status read = file->ReadAt(at, piece); !read.ok()) return ElementError(read, entry.path);
    hash.Update(piece);
  }
  return CompareDigest(entry, hash.Finish());
}

}  // namespace gyrator
