#include "base/fs.h"

#include <algorithm>

namespace gyrator {

namespace {

// Every directory below `path`, then `path`: children before their parent.
Status ListDirectories(FileSystem& fs, const std::string& path, std::vector<std::string>* out) {
  GYRATOR_ASSIGN_OR_RETURN(const std::vector<std::string> names, fs.List(path));
  for (const std::string& name : names) {
    const std::string child = JoinPath(path, name);
    GYRATOR_ASSIGN_OR_RETURN(const FileInfo info, fs.Stat(child));
    if (info.kind == FileKind::kDirectory) GYRATOR_RETURN_IF_ERROR(ListDirectories(fs, child, out));
  }
  out->push_back(path);
  return {};
}

// "/" stays.
std::string_view WithoutLastSlashes(std::string_view path) {
  while (path.size() > 1 && path.back() == '/') path.remove_suffix(1);
  return path;
}

}  // namespace

std::string JoinPath(std::string_view folder, std::string_view name) {
  std::string path(folder);
  if (!path.empty() && path.back() != '/') path += '/';
  return path.append(name);
}

std::string ParentPath(std::string_view path) {
  path = WithoutLastSlashes(path);
  const size_t slash = path.rfind('/');
  if (slash == std::string_view::npos) return ".";
  return std::string(WithoutLastSlashes(path.substr(0, slash + 1)));
}

Result<std::string> ReadFile(FileSystem& fs, const std::string& path, uint64_t bytes_max) {
  GYRATOR_ASSIGN_OR_RETURN(const std::unique_ptr<ReadableFile> file, fs.OpenForRead(path));
  if (file->size() > bytes_max) {
    return Status::Exhausted(path + ": " + std::to_string(file->size()) + " bytes, at most " +
                             std::to_string(bytes_max) + " are read");
  }
  std::string text(file->size(), '\0');
  GYRATOR_RETURN_IF_ERROR(
      file->ReadAt(0, {reinterpret_cast<std::byte*>(text.data()), text.size()}).Annotate(path));
  return text;
}

Status WriteNewFile(FileSystem& fs, const std::string& path, ByteSpan bytes) {
  GYRATOR_ASSIGN_OR_RETURN(const std::unique_ptr<WritableFile> file, fs.CreateFile(path));
  GYRATOR_RETURN_IF_ERROR(file->Append(bytes));
  GYRATOR_RETURN_IF_ERROR(file->Sync());
  return file->Close();
}

Status ReplaceFile(FileSystem& fs, const std::string& path, ByteSpan bytes) {
  const std::string temp = path + ".tmp";
  GYRATOR_RETURN_IF_ERROR(RemoveTree(fs, temp));
  Status status = WriteNewFile(fs, temp, bytes);
  if (status.ok()) status = fs.Rename(temp, path);
  if (!status.ok()) {
    (void)RemoveTree(fs, temp);  // the first failure is the one to report
    return status;
  }
  return fs.SyncDirectory(ParentPath(path));
}

Status CreateDirectories(FileSystem& fs, const std::string& path) {
  const Result<FileInfo> info = fs.Stat(path);
  if (info.ok()) {
    if (info->kind == FileKind::kDirectory) return {};
    // The last part may be a link to a directory, which List follows.
    const Status followed =
        info->kind == FileKind::kOther ? fs.List(path).status() : Status::NotFound(path);
    if (followed.ok() || followed.code() != Code::kNotFound) return followed;
    return Status::Io(path + ": exists and is no folder").Named("exists");
  }
  if (info.status().code() != Code::kNotFound) return info.status();
  const std::string parent = ParentPath(path);
  if (parent != path) GYRATOR_RETURN_IF_ERROR(CreateDirectories(fs, parent));
  Status status = fs.CreateDirectory(std::string(WithoutLastSlashes(path)));
  if (status.name() == "exists") return {};  // another process was faster
  GYRATOR_RETURN_IF_ERROR(std::move(status));
  return fs.SyncDirectory(parent);
}

Status CommitFolder(FileSystem& fs, const std::string& temp, const std::string& final_path) {
  std::vector<std::string> folders;
  GYRATOR_RETURN_IF_ERROR(ListDirectories(fs, temp, &folders));
  for (const std::string& folder : folders) GYRATOR_RETURN_IF_ERROR(fs.SyncDirectory(folder));
  const std::string parent = ParentPath(final_path);  // nothing is allocated behind the rename
  GYRATOR_RETURN_IF_ERROR(fs.Rename(temp, final_path));
  return fs.SyncDirectory(parent);
}

Status RemoveTree(FileSystem& fs, const std::string& path) {
  const Result<FileInfo> info = fs.Stat(path);
  if (!info.ok()) return info.status().code() == Code::kNotFound ? Status() : info.status();
  if (info->kind != FileKind::kDirectory) return fs.RemoveFile(path);
  GYRATOR_ASSIGN_OR_RETURN(const std::vector<std::string> names, fs.List(path));
  for (const std::string& name : names) {
    GYRATOR_RETURN_IF_ERROR(RemoveTree(fs, JoinPath(path, name)));
  }
  return fs.RemoveDirectory(path);
}

}  // namespace gyrator
