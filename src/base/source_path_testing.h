// Where tests find the files of the source tree and of the build folder.
//
// The two folders are known to one object file alone (tests/source_path.cc). Every other test
// object is the same in every clone, so that the compiler cache finds it there.
#pragma once

#include <string>

namespace gyrator {

// `path` is relative to the root of the source tree; "" gives the root and a slash.
std::string SourcePath(const std::string& path);
// `path` is relative to the build folder.
std::string BinaryPath(const std::string& path);

}  // namespace gyrator
