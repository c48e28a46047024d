#include "snapshot/reader.h"

#include <algorithm>
#include <cstring>

#include "formats/npy.h"
#include "snapshot/bare.h"
#include "snapshot/errors.h"
#include "snapshot/folder_files.h"
#include "snapshot/identity.h"
#include "snapshot/invariants.h"
#include "snapshot/limits.h"
#include "tensor/dtype.h"

namespace gyrator {

namespace {

// Files that every full folder has besides its KV tensors.
constexpr std::string_view kFullFiles[] = {
    kInputIdsFile, kAttentionMaskFile, kPositionIdsFile, kLogitsFile, kChatFile,
    kConfigFile,   kProtocolFile,      kSessionFile,     kKeylogFile, kChainFile,
};

Result<KeyValues> ParseVerified(FileSystem& fs, const std::string& folder, std::string_view path,
                                const Manifest& manifest) {
  GYRATOR_ASSIGN_OR_RETURN(const std::string text, ReadVerified(fs, folder, path, manifest));
  return ParseKeys(path, text);
}

Result<Manifest> ReadManifest(FileSystem& fs, const std::string& folder) {
  GYRATOR_ASSIGN_OR_RETURN(const std::string text,
                           ReadElement(fs, folder, kManifestFile, kManifestBytesMax));
  return Manifest::Parse(text);
}

// Manifest, protocol, config and session: enough to list a folder.
Status ReadMetadata(FileSystem& fs, const std::string& folder, Snapshot* out) {
  out->folder = folder;
  out->verification = Verification::kFull;
  GYRATOR_ASSIGN_OR_RETURN(out->manifest, ReadManifest(fs, folder));
  // The version before everything else: the rest of a newer one may be different.
  GYRATOR_ASSIGN_OR_RETURN(out->protocol_text,
                           ParseVerified(fs, folder, kProtocolFile, out->manifest));
  GYRATOR_ASSIGN_OR_RETURN(out->protocol, ReadProtocol(out->protocol_text));
  GYRATOR_ASSIGN_OR_RETURN(out->config, ParseVerified(fs, folder, kConfigFile, out->manifest));
  GYRATOR_RETURN_IF_ERROR(CheckConfigKeys(out->config));
  GYRATOR_ASSIGN_OR_RETURN(out->kv, GeometryFromConfig(out->config));
  if (out->config.Find("kv_dtype") != CacheTypeName(out->kv.dtype)) {
    return StateInconsistent(kConfigFile, "dtype and kv_dtype disagree");
  }
  GYRATOR_ASSIGN_OR_RETURN(out->session, ParseVerified(fs, folder, kSessionFile, out->manifest));
  return {};
}

// An array whose file was checked against its digest. `array` points into `file`.
struct VerifiedArray {
  std::string file;
  NpyArray array;
};

Result<VerifiedArray> ReadArray(FileSystem& fs, const Snapshot& snapshot, std::string_view path,
                                DType dtype) {
  VerifiedArray out;
  GYRATOR_ASSIGN_OR_RETURN(out.file, ReadVerified(fs, snapshot.folder, path, snapshot.manifest));
  const Result<NpyArray> array = ParseNpy(AsBytes(out.file));
  if (!array.ok()) return StateInconsistent(path, array.status().message());
  if (array->dtype != dtype || array->shape.size() != 2) {
    return StateInconsistent(
        path, "expected " + std::string(DTypeName(dtype)) + " of two dimensions, found " +
                  std::string(DTypeName(array->dtype)) + " " + ShapeText(array->shape));
  }
  out.array = *array;
  return out;
}

// Calls take(value) for each element of an int64 [1, T] array, until it refuses one; gives T.
template <class Take>
Result<size_t> ForEachIndex(FileSystem& fs, const Snapshot& snapshot, std::string_view path,
                            Take take) {
  GYRATOR_ASSIGN_OR_RETURN(const VerifiedArray read, ReadArray(fs, snapshot, path, DType::kI64));
  if (read.array.shape[0] != 1) {
    return StateInconsistent(path,
                             "expected one row, found " + std::to_string(read.array.shape[0]));
  }
  std::vector<std::byte> copy;
  if (!read.array.IsNative()) copy = NativeCopy(read.array);
  const ByteSpan data = copy.empty() ? read.array.data : ByteSpan(copy);
  for (size_t at = 0; at < data.size(); at += sizeof(int64_t)) {
    int64_t value = 0;
    std::memcpy(&value, data.data() + at, sizeof(value));
    GYRATOR_RETURN_IF_ERROR(take(value));
  }
  return data.size() / sizeof(int64_t);
}

Result<std::vector<int32_t>> ReadIds(FileSystem& fs, const Snapshot& snapshot,
                                     std::string_view path) {
  std::vector<int32_t> ids;
  ids.reserve(snapshot.manifest.Find(path)->bytes / sizeof(int64_t));
  const auto take = [&](int64_t value) -> Status {
    if (value < 0 || value > INT32_MAX) {
      return StateInconsistent(path, "value " + std::to_string(value) + " out of range");
    }
    ids.push_back(static_cast<int32_t>(value));
    return {};
  };
  GYRATOR_RETURN_IF_ERROR(ForEachIndex(fs, snapshot, path, take).status());
  return ids;
}

Status ReadSequence(FileSystem& fs, Snapshot* snapshot) {
  GYRATOR_ASSIGN_OR_RETURN(snapshot->tokens, ReadIds(fs, *snapshot, kInputIdsFile));
  GYRATOR_ASSIGN_OR_RETURN(snapshot->positions, ReadIds(fs, *snapshot, kPositionIdsFile));
  bool all_real = true;
  const auto mask = ForEachIndex(fs, *snapshot, kAttentionMaskFile, [&](int64_t value) {
    all_real = all_real && value == 1;
    return Status();
  });
  GYRATOR_RETURN_IF_ERROR(mask.status());
  if (*mask != snapshot->tokens.size() || !all_real) {
    return StateInconsistent(kAttentionMaskFile, "expected a 1 for every token");
  }
  GYRATOR_ASSIGN_OR_RETURN(const VerifiedArray logits,
                           ReadArray(fs, *snapshot, kLogitsFile, DType::kF32));
  if (logits.array.shape[0] > 1) return StateInconsistent(kLogitsFile, "expected one row or none");
  const std::vector<std::byte> native = NativeCopy(logits.array);
  snapshot->logits.resize(native.size() / sizeof(float));
  if (!native.empty()) std::memcpy(snapshot->logits.data(), native.data(), native.size());
  return {};
}

// cp is written three times (tokens, config, session) and must agree.
Status CheckPosition(const KeyValues& keys, std::string_view file, std::string_view key,
                     int64_t cp) {
  const Result<int64_t> stated = keys.GetInt(key);
  const std::string where = std::string(file) + ": " + std::string(key);
  if (stated.status().code() == Code::kNotFound) return MissingElement(where);
  if (stated.ok() && *stated == cp) return {};
  return StateInconsistent(where, "is '" + std::string(*keys.Find(key)) + "', there are " +
                                      std::to_string(cp) + " tokens");
}

// The text of window.txt, if there is one; CheckInvariants parses it.
Status ReadWindow(FileSystem& fs, Snapshot* snapshot) {
  if (snapshot->manifest.Find(kWindowFile) == nullptr) return {};
  const Result<int64_t> requires_minor = snapshot->protocol_text.GetInt("requires");
  if (!requires_minor.ok() || *requires_minor < kWindowMinor) {
    return StateInconsistent(std::string(kProtocolFile) + ": requires",
                             "there is " + std::string(kWindowFile) + ": expected " +
                                 std::to_string(kWindowMinor) + " or more, found '" +
                                 std::string(*snapshot->protocol_text.Find("requires")) + "'");
  }
  GYRATOR_ASSIGN_OR_RETURN(snapshot->window,
                           ReadVerified(fs, snapshot->folder, kWindowFile, snapshot->manifest));
  if (snapshot->window.empty()) return StateInconsistent(kWindowFile, "is empty");
  return {};
}

// Sets `evictions` on the way.
Status CheckInvariants(Snapshot* opened) {
  const Snapshot& snapshot = *opened;
  const int64_t cp = snapshot.cp();
  const bool full = snapshot.verification == Verification::kFull;
  if (full) {
    GYRATOR_RETURN_IF_ERROR(CheckPosition(snapshot.config, kConfigFile, "cache_position", cp));
    GYRATOR_RETURN_IF_ERROR(CheckPosition(snapshot.config, kConfigFile, "n_tokens", cp));
    GYRATOR_RETURN_IF_ERROR(CheckPosition(snapshot.session, kSessionFile, "cp", cp));
  }
  StateView state{.tokens = snapshot.tokens,
                  .positions = snapshot.positions,
                  .cp = cp,
                  .chat = snapshot.chat,
                  .logits = snapshot.logits};
  for (const auto& [key, target] :
       {std::pair("cache_capacity", &state.capacity), std::pair("vocab_size", &state.vocab_size)}) {
    if (!snapshot.config.Contains(key)) continue;
    const Result<int64_t> value = snapshot.config.GetInt(key);
    if (!value.ok() || *value < 1) {
      return StateInconsistent(kConfigFile, std::string(key) + ": expected a positive integer");
    }
    *target = *value;
  }
  if (!snapshot.window.empty()) {
    GYRATOR_ASSIGN_OR_RETURN(opened->evictions, ParseWindow(snapshot.window, cp, state.vocab_size));
    state.evicted = snapshot.evictions->NumEvicted();
  }
  return CheckState(state);
}

// What config.txt says of `key`, a count; 0 when it says nothing that can be one (CheckInvariants
// refuses that).
uint64_t CountIn(const KeyValues& config, std::string_view key) {
  const Result<int64_t> value = config.GetInt(key);
  return value.ok() && *value > 0 && *value <= INT32_MAX ? static_cast<uint64_t>(*value) : 0;
}

// No tensor is larger than config.txt wants it to be, which shows before anything of it is read.
Status CheckSizes(const Snapshot& snapshot) {
  const auto check = [&](std::string_view path, uint64_t data) -> Status {
    const ManifestEntry* entry = snapshot.manifest.Find(path);
    const uint64_t most = data + kNpyHeaderBytesMax;
    if (entry == nullptr || entry->bytes <= most) return {};
    return StateInconsistent(path, std::to_string(entry->bytes) + " bytes; by " +
                                       std::string(kConfigFile) + " at most " +
                                       std::to_string(most) + " are expected");
  };
  const uint64_t tokens = CountIn(snapshot.config, "n_tokens");
  for (const std::string_view path : {kInputIdsFile, kAttentionMaskFile, kPositionIdsFile}) {
    GYRATOR_RETURN_IF_ERROR(check(path, tokens * sizeof(int64_t)));
  }
  GYRATOR_RETURN_IF_ERROR(
      check(kLogitsFile, CountIn(snapshot.config, "vocab_size") * sizeof(float)));
  for (int32_t layer = 0; layer < snapshot.kv.num_layers; ++layer) {
    for (const KvTensor tensor : KvTensorsOf(snapshot.kv.dtype)) {
      const uint64_t data = KvTensorBytes(snapshot.kv, tensor, static_cast<int64_t>(tokens));
      GYRATOR_RETURN_IF_ERROR(check(KvFile(layer, tensor), data));
    }
  }
  return {};
}

// Every file of the folder is known, or (a newer minor version's) verified and left alone.
Status CheckElements(FileSystem& fs, Snapshot* snapshot) {
  for (const std::string_view path : kFullFiles) {
    if (snapshot->manifest.Find(path) == nullptr) return MissingElement(path);
  }
  std::vector<std::string> known(std::begin(kFullFiles), std::end(kFullFiles));
  known.emplace_back(kWindowFile);
  for (int32_t layer = 0; layer < snapshot->kv.num_layers; ++layer) {
    for (const KvTensor tensor : KvTensorsOf(snapshot->kv.dtype)) {
      known.push_back(KvFile(layer, tensor));
      if (snapshot->manifest.Find(known.back()) == nullptr) return MissingElement(known.back());
    }
  }
  std::sort(known.begin(), known.end());
  for (const ManifestEntry& entry : snapshot->manifest.entries()) {
    if (std::binary_search(known.begin(), known.end(), entry.path)) continue;
    if (entry.path == kMapFile) {
      return StateInconsistent(kMapFile, "a map without an entry in " + std::string(kChainFile));
    }
    if (entry.path.starts_with(kKvFolder)) {
      return StateInconsistent(entry.path, "a tensor that config.txt does not have");
    }
    GYRATOR_RETURN_IF_ERROR(VerifyFile(fs, snapshot->folder, entry));
    snapshot->notes.push_back(entry.path + ": not known to this version; left alone");
  }
  return {};
}

// Says what a folder is: a manifest, or at least token ids.
Result<bool> IsFull(const FolderFiles& files, const std::string& folder) {
  if (files.contains(kManifestFile)) return true;
  if (files.contains(kInputIdsFile) || files.contains(kProtocolFile)) return false;
  return NotAContext(folder, "it has neither " + std::string(kManifestFile) + " nor " +
                                 std::string(kInputIdsFile));
}

Result<Snapshot> OpenFull(FileSystem& fs, const std::string& folder, const FolderFiles& files) {
  Snapshot snapshot;
  GYRATOR_RETURN_IF_ERROR(ReadMetadata(fs, folder, &snapshot));
  GYRATOR_RETURN_IF_ERROR(CheckFiles(files, snapshot.manifest));
  GYRATOR_ASSIGN_OR_RETURN(const std::string chain,
                           ReadVerified(fs, folder, kChainFile, snapshot.manifest));
  GYRATOR_RETURN_IF_ERROR(CheckChain(chain));
  GYRATOR_RETURN_IF_ERROR(CheckSizes(snapshot));
  GYRATOR_RETURN_IF_ERROR(CheckElements(fs, &snapshot));
  GYRATOR_ASSIGN_OR_RETURN(snapshot.keylog,
                           ParseVerified(fs, folder, kKeylogFile, snapshot.manifest));
  GYRATOR_ASSIGN_OR_RETURN(snapshot.chat, ReadVerified(fs, folder, kChatFile, snapshot.manifest));
  GYRATOR_RETURN_IF_ERROR(ReadSequence(fs, &snapshot));
  GYRATOR_RETURN_IF_ERROR(ReadWindow(fs, &snapshot));
  return snapshot;
}

// The keys of `all` that no writer of this version sets.
KeyValues ForeignOf(KeyValues all, const KeyValues& own, std::span<const std::string_view> known) {
  all.RemoveIf([&](const KeyValues::Line& line) {
    return line.key.empty() || own.Contains(line.key) ||
           std::any_of(known.begin(), known.end(),
                       [&](std::string_view prefix) { return line.key.starts_with(prefix); });
  });
  return all;
}

}  // namespace

std::string_view VerificationName(Verification level) {
  return level == Verification::kFull ? "full" : "bare";
}

ForeignKeys Snapshot::foreign() const {
  // Prefixes of the keys that the engine sets anew at each save.
  constexpr std::string_view kConfigKnown[] = {
      "model",           "arch",           "n_",
      "head_dim",        "vocab_size",     "rope",
      "sliding_window",  "dtype",          "kv_dtype",
      "cache_",          "weights_sha256", "tokenizer_sha256",
      "template_sha256", "quantisation",   "compute",
      "numerics",        "hidden_size",    "ffn_size",
      "norm_eps",        "tied_head",      "qkv_bias",
      "output_bias",     "ffn_bias",       "qk_norm",
      "bos_token_id",    "eos_token_id",   "end_of_generation"};
  constexpr std::string_view kSessionKnown[] = {"id",
                                                "parent",
                                                "turn",
                                                "phase",
                                                "cp",
                                                "sampler.",
                                                "rng.",
                                                "stop_reason",
                                                "chat.",
                                                "engine.",
                                                "template_variables",
                                                "cache_namespace"};
  constexpr std::string_view kKeylogKnown[] = {"session_id", "source"};
  return {.config = ForeignOf(config, {}, kConfigKnown),
          .protocol = ForeignOf(protocol_text, MakeProtocol({}, ""), {}),
          .session = ForeignOf(session, {}, kSessionKnown),
          .keylog = ForeignOf(keylog, {}, kKeylogKnown)};
}

Result<Snapshot> OpenSnapshot(FileSystem& fs, const std::string& folder) {
  GYRATOR_ASSIGN_OR_RETURN(std::shared_ptr<const FileLock> hold, HoldFolder(fs, folder));
  GYRATOR_ASSIGN_OR_RETURN(const FolderFiles files, ListFolder(fs, folder));
  GYRATOR_ASSIGN_OR_RETURN(const bool full, IsFull(files, folder));
  Result<Snapshot> snapshot = full ? OpenFull(fs, folder, files) : OpenBare(fs, folder, files);
  if (!snapshot.ok()) return snapshot;
  snapshot->hold = std::move(hold);
  GYRATOR_RETURN_IF_ERROR(CheckForeign(snapshot->foreign()));
  GYRATOR_RETURN_IF_ERROR(CheckInvariants(&*snapshot));
  return snapshot;
}

Result<SnapshotSummary> ReadSummary(FileSystem& fs, const std::string& folder) {
  GYRATOR_ASSIGN_OR_RETURN(const std::unique_ptr<FileLock> hold, HoldFolder(fs, folder));
  GYRATOR_ASSIGN_OR_RETURN(const FolderFiles files, ListFolder(fs, folder));
  GYRATOR_ASSIGN_OR_RETURN(const bool full, IsFull(files, folder));
  SnapshotSummary summary;
  for (const auto& [path, bytes] : files) summary.bytes += bytes;
  if (!full) {
    GYRATOR_ASSIGN_OR_RETURN(BareSummary bare, SummarizeBare(fs, folder, files));
    summary.config = std::move(bare.config);
    summary.cp = bare.entries;
    return summary;
  }
  Snapshot snapshot;
  GYRATOR_RETURN_IF_ERROR(ReadMetadata(fs, folder, &snapshot));
  GYRATOR_RETURN_IF_ERROR(CheckFiles(files, snapshot.manifest));
  const Result<int64_t> cp = snapshot.session.GetInt("cp");
  if (!cp.ok()) return StateInconsistent(kSessionFile, cp.status().message());
  summary.verification = Verification::kFull;
  summary.protocol = std::move(snapshot.protocol);
  summary.config = std::move(snapshot.config);
  summary.session = std::move(snapshot.session);
  summary.root_digest = snapshot.manifest.root();
  summary.cp = *cp;
  return summary;
}

Status CheckPositions(const Snapshot& snapshot) {
  for (size_t i = 0; i < snapshot.positions.size(); ++i) {
    if (snapshot.positions[i] == static_cast<Position>(i)) continue;
    return Status::Unsupported(std::string(kPositionIdsFile) + ": token " + std::to_string(i) +
                               " has position " + std::to_string(snapshot.positions[i]) +
                               "; a sequence with gaps cannot be continued");
  }
  return {};
}

Result<std::vector<std::string>> CheckCompatible(const Snapshot& snapshot,
                                                 const KeyValues& live_config, int64_t capacity) {
  KeyValues config = snapshot.config;
  const bool bare = snapshot.verification == Verification::kBare;
  if (bare) config.AddMissing(MakeConfig({}, snapshot.kv));
  GYRATOR_ASSIGN_OR_RETURN(
      std::vector<std::string> notes,
      CheckIdentity(config, live_config, {.bare = bare, .minor = snapshot.protocol.minor}));
  if (snapshot.cp() > capacity) return CapacityError(snapshot.cp(), capacity);
  GYRATOR_RETURN_IF_ERROR(CheckPositions(snapshot));
  notes.insert(notes.begin(), snapshot.notes.begin(), snapshot.notes.end());
  return notes;
}

}  // namespace gyrator
