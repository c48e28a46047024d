// What a path that is to be a model leads to.
#pragma once

#include <string>

#include "gyrator/status.h"

namespace gyrator {

enum class ModelPath : uint8_t { kFolder, kGguf };

// Looks at names and kinds of files only. kNotFound when nothing is there (a name such as
// "organisation/model" is told apart from a path, since nothing is downloaded here), and for a
// folder without a config.json (the GGUF files in it are listed, but for later parts of split
// ones). kInvalidArgument for a file of a model folder in the folder's place. Each message says
// what to give.
Result<ModelPath> ClassifyModelPath(const std::string& path);

}  // namespace gyrator
