#include "engine/named_save.h"

namespace gyrator {

Catalog OpenCatalog(const std::string& root) {
  return Catalog(PosixFileSystem(), SystemClock(), root);
}

Result<WrittenSnapshot> WriteNamed(const SnapshotSource& source, const SaveOptions& options) {
  if (options.root.empty())
    return Status::InvalidArgument("save: a root folder expected, found none");
  if (!options.name.empty()) GYRATOR_RETURN_IF_ERROR(CheckContextName(options.name));
  return OpenCatalog(options.root)
      .Save(
          options.name, source,
          {.writer_version = std::string(kWriterVersion), .require_finite = true, .progress = {}});
}

SaveReport ToReport(const WrittenSnapshot& written) {
  return {.folder = written.folder,
          .stamp = written.stamp,
          .root_digest = written.root_digest,
          .bytes = written.bytes};
}

}  // namespace gyrator
