// A golden model that can chat: its weights with a vocabulary and a template made here.
#pragma once

#include <memory>
#include <string>

#include "gyrator/model.h"

namespace gyrator {

// `name`: a folder of tests/golden/models whose vocabulary is 256. Every id is text: four special
// tokens, printable ASCII, pairs of letters. Fails the test or ends the program when it cannot.
std::shared_ptr<const Model> LoadChatModel(const std::string& name, ComputeType compute);

}  // namespace gyrator
