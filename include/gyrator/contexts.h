// Saved conversations on disk: find, list, show, verify, remove. Needs no model.
//
// A context is a folder of the v1.0 format (docs/formats/snapshot.md). A name is a small file that
// holds the stamp of its current folder.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "gyrator/engine.h"
#include "gyrator/model.h"
#include "gyrator/status.h"

namespace gyrator {

struct ContextEntry {
  std::string name;  // empty: a folder without a name
  std::string stamp;
  std::string folder;
  std::string created;  // ISO-8601 UTC; empty in bare folders
  std::string model;
  int32_t tokens = 0;
  int32_t turns = 0;
  uint64_t bytes = 0;
  std::string problem;  // why it cannot be read; empty: it can
};

struct ContextDetails {
  ContextEntry entry;
  std::string verification;  // "full" or "bare": what a load would reach
  std::vector<std::pair<std::string, std::string>> config, session, protocol,
      keylog;  // in file order
  std::vector<Message> transcript;
  std::vector<TokenId> tokens;
  int32_t evicted = 0;    // tokens that were said and have no K and V
  uint64_t kv_bytes = 0;  // of the files of K and V; 0 in bare folders, which do not list them
};

// 1 to 64 of A-Z a-z 0-9 '_' '-' '.', not beginning with '.' or '-', not ending in ".tmp", and not
// of the form of a stamp. kInvalidArgument. Needs no disk: for whoever wants to know before a
// conversation is saved under it.
Status CheckContextName(std::string_view name);

// In true order of creation. An unreadable folder is listed with its problem.
Result<std::vector<ContextEntry>> ListContexts(const std::string& root);
// The folder of a name or of a stamp below `root`; text with a '/' is a path to a folder.
// kNotFound; kCorruption when the file of the name is damaged. The next save of the name removes
// the folder: who reads it holds it (HoldContext).
Result<std::string> ResolveContext(const std::string& root, const std::string& name_or_path);

// A context's folder, and what keeps saves and removals from taking it away while it is read. A
// save that finds it held goes on, and removes it the next time.
struct HeldContext {
  std::string folder;
  std::shared_ptr<const void> hold;
};
// The same folder as ResolveContext finds, also beside a process that saves all the time. Errors as
// ResolveContext; kCorruption when the name points at no folder.
Result<HeldContext> HoldContext(const std::string& root, const std::string& name_or_path);
Result<ContextDetails> ShowContext(const std::string& folder);
// The same without transcript, tokens and evictions, which a large folder has much of.
Result<ContextDetails> SummarizeContext(const std::string& folder);
// Hashes every file and checks every invariant. kCorruption names the file.
Status VerifyContext(const std::string& folder, const Progress& progress);
// Removes a name and its folder (unless another name holds it), or a stamped folder without names.
Status RemoveContext(const std::string& root, const std::string& name);
// Copies a verified folder to a new stamp under `root` and points `name` at it (empty: no name).
// kInvalidArgument when there is a context of that name: it is never replaced.
Result<SaveReport> ImportContext(const std::string& root, const std::string& folder,
                                 const std::string& name);
// Finishes or undoes what a crash interrupted: folders half written, folders that a name has left
// behind. Leaves alone what other processes hold. Gives the paths that it removed.
Result<std::vector<std::string>> RecoverContexts(const std::string& root);

}  // namespace gyrator
