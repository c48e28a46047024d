// Git LFS pointers: the small text files that stand in for large ones when a repository was cloned
// without its large files. Source: the pointer format of the git-lfs specification.
#pragma once

#include <string>
#include <string_view>

#include "gyrator/status.h"

namespace gyrator {

// kCorruption when `text`, the beginning of the file `path` or all of it, is a Git LFS pointer: it
// names the file and what to do. Whoever parses a file of a model asks this first, since the
// parser's own error would speak of damage.
Status CheckIsNoLfsPointer(const std::string& path, std::string_view text);

}  // namespace gyrator
