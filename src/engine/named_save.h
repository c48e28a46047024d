// Where snapshots of sessions go: a root of contexts on the machine's file system.
#pragma once

#include <string_view>

#include "gyrator/engine.h"
#include "snapshot/catalog.h"

namespace gyrator {

inline constexpr std::string_view kWriterVersion = GYRATOR_VERSION;

Catalog OpenCatalog(const std::string& root);

// Writes `source` below options.root and, when options.name is given, points that name at it.
Result<WrittenSnapshot> WriteNamed(const SnapshotSource& source, const SaveOptions& options);

SaveReport ToReport(const WrittenSnapshot& written);

}  // namespace gyrator
