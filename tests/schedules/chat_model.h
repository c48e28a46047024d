// A golden model that can chat: its weights with a vocabulary and a template made here.
#pragma once

#include <memory>
#include <string>

#include "gyrator/model.h"

namespace gyrator {

// Its folder, for as long as this lives: a session can be saved while its model's files are there.
class ChatModelFolder {
 public:
  explicit ChatModelFolder(const std::string& name);
  ~ChatModelFolder();
  ChatModelFolder(const ChatModelFolder&) = delete;
  ChatModelFolder& operator=(const ChatModelFolder&) = delete;

  std::shared_ptr<const Model> Load(ComputeType compute) const;

 private:
  const std::string path_;
};

// `name`: a folder of tests/golden/models whose vocabulary is 256. Every id is text: four special
// tokens, printable ASCII, pairs of letters. Fails the test or ends the program when it cannot.
std::shared_ptr<const Model> LoadChatModel(const std::string& name, ComputeType compute);

}  // namespace gyrator
