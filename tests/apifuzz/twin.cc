#include "tests/apifuzz/twin.h"

#include <algorithm>
#include <filesystem>
#include <utility>

#include "base/check.h"
#include "base/sha256.h"
#include "gyrator/contexts.h"

namespace gyrator {

namespace {

constexpr int32_t kFreshEvery = 8;  // logits that a session of its own decodes, prefix and all

template <class T>
std::string DigestOf(std::span<const T> values) {
  return HexText(Sha256Of(std::as_bytes(values))).substr(0, 12);
}

std::string DigestOf(std::span<const Message> transcript) {
  std::string all;
  for (const Message& message : transcript) {
    all += message.role + ":" + std::to_string(message.content.size()) + ":" + message.content;
  }
  return DigestOf(std::span<const char>(all));
}

std::vector<float> LogitsOf(const Session& session) {
  return {session.last_logits().begin(), session.last_logits().end()};
}

// K and V of these are those of the window's tokens alone.
bool IsFunctionOfTokens(const Session& session) {
  return session.info().evicted == 0 || session.window().mode == EvictMode::kRecompute;
}

GenerateOptions Steps(int32_t count) {
  GenerateOptions options;
  options.tokens_max = count;
  options.ignore_end = true;
  return options;
}

EngineOptions QuietOptions(std::optional<DType> kv_dtype, int32_t sessions) {
  EngineOptions options;
  options.context = kFuzzContext;
  options.sessions_max = sessions;
  options.kv_dtype = kv_dtype;
  options.threads = 1;
  options.share_prefixes = false;
  return options;
}

std::unique_ptr<Engine> Open(const std::shared_ptr<const Model>& model,
                             const EngineOptions& options) {
  auto engine = Engine::Create(model, options);
  GYRATOR_CHECK(engine.ok());
  return *std::move(engine);
}

}  // namespace

bool HasNoRoom(const Status& status) {
  return status.code() == Code::kExhausted && status.name() == "kv_pool";
}

Quiet::Quiet(std::shared_ptr<const Model> model, std::optional<DType> kv_dtype)
    : engine_(Open(model, QuietOptions(kv_dtype, 64))),
      oracle_(Open(model, QuietOptions(kv_dtype, 2))) {}

std::vector<float> Quiet::Logits(const std::vector<TokenId>& tokens) {
  if (asked_++ % kFreshEvery == 0) {
    auto decoder = oracle_->NewSession({});
    GYRATOR_CHECK(decoder.ok());
    decoder_ = *std::move(decoder);
  }
  GYRATOR_CHECK(decoder_->Complete(tokens, Steps(0)).ok());
  return LogitsOf(*decoder_);
}

std::string StateOf(const Session& session) {
  const SessionInfo info = session.info();
  const std::vector<TokenId> window = session.tokens(), all = session.all_tokens();
  std::string text = "cp=" + std::to_string(info.cp) + " evicted=" + std::to_string(info.evicted) +
                     "/" + std::to_string(info.evictions) +
                     " rows=" + std::to_string(window.size()) +
                     " window=" + DigestOf(std::span<const TokenId>(window)) +
                     " all=" + DigestOf(std::span<const TokenId>(all)) +
                     " messages=" + std::to_string(session.transcript().size()) + "/" +
                     DigestOf(session.transcript()) + " turns=" + std::to_string(info.turns) +
                     " phase=" + std::to_string(static_cast<int>(info.phase));
  const WindowOptions& options = session.window();
  text += " overflow=" + std::string(OverflowName(options.overflow)) + "," +
          std::string(EvictModeName(options.mode)) + "," + std::to_string(options.sinks) + "," +
          std::to_string(options.headroom);
  return text + " seed=" + std::to_string(session.sampler().seed) + "," +
         std::to_string(session.sampler().temperature);
}

std::string Difference(const Session& live, const Session& shadow, bool crowded) {
  const std::string here = StateOf(live), there = StateOf(shadow);
  if (here != there) return "live:   " + here + "\n  shadow: " + there;
  if (live.info().cp != std::ssize(live.tokens())) return "cp and tokens differ: " + here;
  if (crowded && (live.last_logits().empty() || shadow.last_logits().empty())) return {};
  if (LogitsOf(live) == LogitsOf(shadow)) return {};
  return "logits differ from the shadow's (" + std::to_string(live.last_logits().size()) + " and " +
         std::to_string(shadow.last_logits().size()) + "): " + here;
}

std::string LogitsDiffer(const Session& session, Quiet* quiet) {
  const std::vector<TokenId> tokens = session.tokens();
  if (tokens.empty() || session.last_logits().empty() || !IsFunctionOfTokens(session)) return {};
  if (quiet->Logits(tokens) == LogitsOf(session)) return {};
  return "logits are not those of the tokens: " + StateOf(session);
}

std::string BlocksDiffer(Session* live, Session* shadow, Quiet* quiet, TokenId next) {
  if (std::ssize(live->tokens()) >= kFuzzContext) return {};
  std::vector<TokenId> all = live->all_tokens();
  all.push_back(next);
  std::vector<float> logits[2];
  Status refused[2];  // for want of room in the session, where that has to evict anew
  bool evicted = false;
  for (Session* one : {live, shadow}) {
    auto fork = one->Fork({});
    if (HasNoRoom(fork.status())) return std::string(kNoRoom);
    if (!fork.ok()) return "fork: " + fork.status().ToString();
    const Result<Reply> reply = (*fork)->Complete(all, Steps(0));
    if (HasNoRoom(reply.status())) return std::string(kNoRoom);
    refused[one == shadow ? 1 : 0] = reply.status();
    if (!reply.ok()) continue;
    if ((*fork)->all_tokens() != all) return "a fork has other tokens: " + StateOf(**fork);
    logits[one == shadow ? 1 : 0] = LogitsOf(**fork);
    evicted |= (*fork)->info().evicted > 0;
  }
  if (refused[0].name() != refused[1].name()) {
    return "forks that go on: " + refused[0].ToString() +
           ", of the shadow: " + refused[1].ToString();
  }
  if (!refused[0].ok()) {
    return refused[0].name() == "capacity" ? "" : "forks that go on: " + refused[0].ToString();
  }
  if (logits[0] != logits[1]) return "K and V differ from the shadow's: " + StateOf(*live);
  // A fork lets go of dropped messages, and with them of the gap that an eviction left: so its own
  // eviction counts, not that of the session.
  if (evicted || quiet->Logits(all) == logits[0]) return {};
  return "K and V are not those of the tokens: " + StateOf(*live);
}

std::string SavedDiffers(Session* live, Session* shadow, Quiet* quiet, const std::string& root) {
  const Result<SaveReport> saved = live->Save({.root = root, .name = {}});
  if (HasNoRoom(saved.status())) return std::string(kNoRoom);
  if (!saved.ok()) return "save: " + saved.status().ToString();
  const Status verified = VerifyContext(saved->folder, {});
  auto loaded = quiet->engine().LoadSession(saved->folder, nullptr);
  std::filesystem::remove_all(saved->folder);
  if (!verified.ok()) return "verify: " + verified.ToString();
  if (!loaded.ok()) return "load: " + loaded.status().ToString();
  if (std::string text = LogitsDiffer(**loaded, quiet); !text.empty()) return "loaded: " + text;
  if (std::string text = BlocksDiffer(loaded->get(), shadow, quiet, 11); !text.empty()) {
    return "loaded: " + text;
  }
  // Draws go on where they stood.
  auto fork = shadow->Fork({});
  GYRATOR_CHECK(fork.ok());
  std::vector<TokenId> longer = shadow->all_tokens();
  longer.push_back(7);
  const auto there = (*fork)->Complete(longer, Steps(3));
  const auto here = (*loaded)->Complete(longer, Steps(3));
  if (there.ok() != here.ok()) {
    return "loaded, it goes on otherwise: " + here.status().ToString() + ", expected " +
           there.status().ToString();
  }
  if (there.ok() && there->tokens != here->tokens) return "loaded, it says something else";
  return {};
}

Result<std::unique_ptr<Session>> ShadowOf(Session* live, Quiet* quiet, const std::string& root) {
  GYRATOR_ASSIGN_OR_RETURN(const SaveReport saved, live->Save({.root = root, .name = {}}));
  auto loaded = quiet->engine().LoadSession(saved.folder, nullptr);
  std::filesystem::remove_all(saved.folder);
  return loaded;
}

}  // namespace gyrator
