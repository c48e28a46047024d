#include "base/source_path_testing.h"

namespace gyrator {

std::string SourcePath(const std::string& path) { return GYRATOR_SOURCE_DIR "/" + path; }

std::string BinaryPath(const std::string& path) { return GYRATOR_BINARY_DIR "/" + path; }

}  // namespace gyrator
