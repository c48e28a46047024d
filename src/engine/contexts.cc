#include "gyrator/contexts.h"

#include <utility>

#include "engine/named_save.h"
#include "engine/session_impl.h"
#include "snapshot/reader.h"

namespace gyrator {

namespace {

using Pairs = std::vector<std::pair<std::string, std::string>>;

Pairs ToPairs(const KeyValues& keys) {
  Pairs pairs;
  for (const KeyValues::Line& line : keys.lines()) {
    if (!line.key.empty()) pairs.emplace_back(line.key, line.value);
  }
  return pairs;
}

std::string TextOf(const KeyValues& keys, std::string_view key) {
  return std::string(keys.Find(key).value_or(""));
}

void Describe(const SnapshotSummary& summary, ContextEntry* entry) {
  if (summary.verification == Verification::kFull) {
    entry->created = IsoFromNanos(summary.protocol.created_nanos);
  }
  entry->model = TextOf(summary.config, "model");
  entry->tokens = static_cast<int32_t>(summary.cp);
  const auto turns = summary.session.GetInt("turn");
  entry->turns = turns.ok() ? static_cast<int32_t>(*turns) : 0;
  entry->bytes = summary.bytes;
}

// The folder's own name.
std::string LastPart(std::string_view path) {
  while (path.ends_with('/')) path.remove_suffix(1);
  return std::string(path.substr(path.rfind('/') + 1));  // npos + 1 is 0
}

}  // namespace

Result<std::vector<ContextEntry>> ListContexts(const std::string& root) {
  GYRATOR_ASSIGN_OR_RETURN(const std::vector<CatalogEntry> found, OpenCatalog(root).List());
  std::vector<ContextEntry> entries;
  for (const CatalogEntry& item : found) {
    ContextEntry entry;
    entry.name = item.name;
    entry.stamp = item.stamp;
    entry.folder = item.folder;
    if (item.problem.ok()) {
      Describe(item.summary, &entry);
    } else {
      entry.problem = item.problem.message();
    }
    entries.push_back(std::move(entry));
  }
  return entries;
}

Result<std::string> ResolveContext(const std::string& root, const std::string& name_or_path) {
  return OpenCatalog(root).Resolve(name_or_path);
}

Result<HeldContext> HoldContext(const std::string& root, const std::string& name_or_path) {
  GYRATOR_ASSIGN_OR_RETURN(HeldFolder held, OpenCatalog(root).Hold(name_or_path));
  return HeldContext{.folder = std::move(held.folder), .hold = std::move(held.lock)};
}

Result<ContextDetails> ShowContext(const std::string& folder) {
  GYRATOR_ASSIGN_OR_RETURN(Snapshot snapshot, OpenSnapshot(PosixFileSystem(), folder));
  GYRATOR_ASSIGN_OR_RETURN(ContextDetails details, SummarizeContext(folder));
  GYRATOR_ASSIGN_OR_RETURN(ParsedChat chat, ParseChat(snapshot.chat));
  details.protocol = ToPairs(snapshot.protocol_text);
  details.keylog = ToPairs(snapshot.keylog);
  details.transcript = std::move(chat.messages);
  details.tokens = std::move(snapshot.tokens);
  if (snapshot.evictions) details.evicted = static_cast<int32_t>(snapshot.evictions->NumEvicted());
  for (const ManifestEntry& file : snapshot.manifest.entries()) {
    if (file.path.starts_with(kKvFolder)) details.kv_bytes += file.bytes;
  }
  return details;
}

Result<ContextDetails> SummarizeContext(const std::string& folder) {
  GYRATOR_ASSIGN_OR_RETURN(const SnapshotSummary summary, ReadSummary(PosixFileSystem(), folder));
  ContextDetails details;
  details.entry.folder = folder;
  details.entry.stamp = LastPart(folder);
  Describe(summary, &details.entry);
  details.verification = VerificationName(summary.verification);
  details.config = ToPairs(summary.config);
  details.session = ToPairs(summary.session);
  return details;
}

Status VerifyContext(const std::string& folder, const Progress& progress) {
  LoadOptions options;
  if (progress) {
    options.progress = [&](uint64_t done, uint64_t total) { progress("verifying", done, total); };
  }
  GYRATOR_ASSIGN_OR_RETURN(const Snapshot snapshot,
                           VerifySnapshot(PosixFileSystem(), folder, options));
  return CheckLoadable(snapshot);
}

Status RemoveContext(const std::string& root, const std::string& name) {
  return OpenCatalog(root).Remove(name);
}

Result<SaveReport> ImportContext(const std::string& root, const std::string& folder,
                                 const std::string& name) {
  GYRATOR_ASSIGN_OR_RETURN(const WrittenSnapshot written,
                           OpenCatalog(root).Import(name, folder, CheckLoadable));
  return ToReport(written);
}

Result<std::vector<std::string>> RecoverContexts(const std::string& root) {
  return OpenCatalog(root).Recover();
}

}  // namespace gyrator
