#include "formats/output_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <utility>

namespace gyrator {

namespace {

std::string FolderOf(const std::string& path) {
  const size_t slash = path.find_last_of('/');
  if (slash == std::string::npos) return ".";
  return slash == 0 ? "/" : path.substr(0, slash);
}

}  // namespace

Status WriteTensor(std::string_view tensor, uint64_t bytes, const TensorSource& source,
                   const ByteSink& sink) {
  uint64_t given = 0;
  GYRATOR_RETURN_IF_ERROR(source([&](ByteSpan piece) -> Status {
    given += piece.size();
    return given <= bytes ? sink(piece) : Status();  // too many: refused below
  }));
  if (given == bytes) return {};
  return Status::InvalidArgument("tensor '" + std::string(tensor) + "': " + std::to_string(given) +
                                 " bytes given, expected " + std::to_string(bytes));
}

Status OutputFile::Failed(const char* call) const {
  const int error = errno;
  const std::string message = path_ + ": " + call + ": " + std::strerror(error);
  return error == ENOSPC || error == EDQUOT ? Status::Exhausted(message) : Status::Io(message);
}

Result<OutputFile> OutputFile::Create(const std::string& path) {
  OutputFile file(path);
  file.fd_ = ::open(file.partial_.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
  if (file.fd_ < 0) return file.Failed("create");
  return file;
}

OutputFile::OutputFile(OutputFile&& other) noexcept
    : path_(std::move(other.path_)),
      partial_(std::move(other.partial_)),
      fd_(std::exchange(other.fd_, -1)) {}

OutputFile::~OutputFile() {
  if (fd_ < 0) return;
  ::close(fd_);
  ::unlink(partial_.c_str());
}

Status OutputFile::Write(ByteSpan bytes) {
  while (!bytes.empty()) {
    const ssize_t written = ::write(fd_, bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return Failed("write");
    bytes = bytes.subspan(static_cast<size_t>(written));
  }
  return {};
}

Status OutputFile::Commit() {
  if (::fsync(fd_) != 0) return Failed("fsync");
  if (std::rename(partial_.c_str(), path_.c_str()) != 0) return Failed("rename");
  ::close(std::exchange(fd_, -1));
  const int folder = ::open(FolderOf(path_).c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (folder < 0) return Failed("open folder");
  const int synced = ::fsync(folder);
  const Status status = synced == 0 ? Status() : Failed("fsync folder");
  ::close(folder);
  return status;
}

Status WriteWholeFile(const std::string& path,
                      const std::function<Status(const ByteSink&)>& write) {
  GYRATOR_ASSIGN_OR_RETURN(OutputFile file, OutputFile::Create(path));
  GYRATOR_RETURN_IF_ERROR(write([&file](ByteSpan bytes) { return file.Write(bytes); }));
  return file.Commit();
}

}  // namespace gyrator
