#include "tests/schedules/player.h"

#include <algorithm>
#include <stop_token>
#include <utility>

#include "base/check.h"
#include "base/sha256.h"

namespace gyrator {

namespace {

// Enough of a digest to be told apart.
std::string Short(ByteSpan bytes) { return HexText(Sha256Of(bytes)).substr(0, 16); }

template <class T>
std::string DigestOf(std::span<const T> values) {
  return Short(std::as_bytes(values));
}

std::string DigestOf(std::span<const Message> transcript) {
  std::string all;
  for (const Message& message : transcript) {
    all += message.role + ":" + std::to_string(message.content.size()) + ":" + message.content;
  }
  return Short(AsBytes(all));
}

std::string NameOf(StopReason stop) {
  switch (stop) {
    case StopReason::kNone:
      return "none";
    case StopReason::kEndOfGeneration:
      return "end";
    case StopReason::kLength:
      return "length";
    case StopReason::kCancelled:
      return "cancelled";
    case StopReason::kDeadline:
      return "deadline";
  }
  return "unknown";
}

std::string NameOf(const Status& status) {
  if (status.ok()) return "ok";
  return std::to_string(static_cast<int>(status.code())) + ":" + std::string(status.name());
}

std::string ListOf(std::span<const TokenId> tokens) {
  std::string list;
  for (const TokenId token : tokens) list += (list.empty() ? "" : ",") + std::to_string(token);
  return list;
}

// Cancels at the token whose number is `stop_at`.
void StopAtToken(int32_t stop_at, GenerateOptions* options) {
  const auto stop = std::make_shared<std::stop_source>();
  options->cancel = stop->get_token();
  options->on_logits = [stop, left = stop_at](auto) mutable {
    if (--left == 0) stop->request_stop();
  };
}

void SetStop(const Turn& turn, GenerateOptions* options) {
  std::stop_source now;
  switch (turn.stop) {
    case Stop::kNone:
    case Stop::kWhenFull:  // see StopWhenFull
      return;
    case Stop::kBefore:
      now.request_stop();
      options->cancel = now.get_token();
      return;
    case Stop::kAtToken:
      return StopAtToken(turn.stop_at, options);
    case Stop::kAtText:
      options->on_text = [left = turn.stop_at](auto) mutable { return --left > 0; };
      return;
  }
}

GenerateOptions Nothing() {
  GenerateOptions options;
  options.tokens_max = 0;
  return options;
}

}  // namespace

EngineOptions OptionsFor(const Script& script) {
  EngineOptions options;
  options.context = kContext;
  options.kv_dtype = script.kv_dtype;
  return options;
}

Player::Player(const Script& script, std::unique_ptr<Session> session)
    : script_(&script), session_(std::move(session)) {}

Result<Player> Player::Open(Engine& engine, const Script& script) {
  SessionOptions options;
  options.sampler = script.sampler;
  options.window = script.window;
  options.cache_namespace = script.name_space;
  GYRATOR_ASSIGN_OR_RETURN(auto session, engine.NewSession(options));
  return Player(script, std::move(session));
}

Result<Player> Player::Fork(const Script& script) {
  GYRATOR_CHECK(script.forked_at == turn_ && script.parent == script_->number);
  ForkOptions options;
  options.seed = script.turns[turn_].reseed;
  GYRATOR_ASSIGN_OR_RETURN(auto session, session_->Fork(options));
  Player child(script, std::move(session));
  child.said_ = said_;
  child.turn_ = turn_;
  child.forked_ = true;
  return child;
}

double Player::Keeps(const Turn& turn) const {
  const auto said = script_->chats ? std::ssize(session_->all_tokens()) : std::ssize(said_);
  return turn.change == Change::kCut || said > script_->enough ? turn.keep : 1;
}

void Player::ChangeMessages(const Turn& turn) {
  const std::span<const Message> now = session_->transcript();
  const auto kept = static_cast<size_t>(Keeps(turn) * static_cast<double>(now.size()));
  const bool edits = kept < now.size() && now[kept].role == "user";
  if (turn.change == Change::kSplice && edits && kept > 0) {
    std::vector<Message> messages(now.begin(), now.end());
    messages[kept - 1].content += " Or not.";
    GYRATOR_CHECK(session_->SetTranscript(std::move(messages)).ok());
  } else if (edits) {
    GYRATOR_CHECK(session_->Edit(kept, turn.text).ok());
    return;
  } else {
    GYRATOR_CHECK(session_->Rewind(kept).ok());
  }
  if (session_->transcript().empty() && !script_->system.empty()) {
    const Message system = {.role = "system", .content = script_->system, .extras = {}};
    GYRATOR_CHECK(session_->Append(system).ok());
  }
  const Message line = {.role = "user", .content = turn.text, .extras = {}};
  GYRATOR_CHECK(session_->Append(line).ok());
}

void Player::ChangeTokens(const Turn& turn) {
  said_.resize(static_cast<size_t>(Keeps(turn) * static_cast<double>(said_.size())));
  if (said_.empty()) said_ = turn.opening;
  said_.insert(said_.end(), turn.line.begin(), turn.line.end());
}

// The prompt alone first: afterwards it is known how much room there is.
void Player::StopWhenFull(BatchRequest* request) {
  const auto prepared =
      script_->chats ? session_->Prepare({}) : session_->Complete(request->prefix, Nothing());
  if (!prepared.ok()) return;
  const int32_t full = kContext - session_->info().cp + 1;
  request->options.tokens_max = full + 5;
  request->options.ignore_end = true;
  StopAtToken(full, &request->options);
}

BatchRequest Player::Begin() {
  const Turn& turn = script_->turns[turn_];
  if (turn.reseed && !forked_) {
    SamplerOptions sampler = session_->sampler();
    sampler.seed = *turn.reseed;
    GYRATOR_CHECK(session_->SetSampler(sampler).ok());
  }
  forked_ = false;
  room_ = "none";
  if (turn.room > 0) {
    const auto freed = session_->MakeRoom(turn.room);
    room_ = freed.ok() ? std::to_string(*freed) : NameOf(freed.status());
  }
  BatchRequest request{.session = session_.get()};
  if (script_->chats) {
    ChangeMessages(turn);
  } else {
    ChangeTokens(turn);
    request.prefix = said_;
  }
  request.options.tokens_max = turn.reply;
  request.options.ignore_end = !turn.ends;
  SetStop(turn, &request.options);
  if (turn.stop == Stop::kWhenFull) StopWhenFull(&request);
  return request;
}

std::string Player::End(const Result<Reply>& reply) {
  if (reply.ok()) {
    said_.insert(said_.end(), reply->tokens.begin(), reply->tokens.end());
  } else {
    said_ = session_->all_tokens();
  }
  std::string words = "turn=" + std::to_string(turn_++);
  words += " status=" + NameOf(reply.status());
  if (reply.ok()) {
    words += " stop=" + NameOf(reply->stop) + " reply=" + ListOf(reply->tokens);
    words += " left=" + std::to_string(reply->tokens_evicted);
    words += reply->window_rebuilt ? " anew" : "";
  }
  return words + " room=" + room_ + State();
}

std::string Player::State() const {
  const SessionInfo info = session_->info();
  const std::vector<TokenId> window = session_->tokens(), all = session_->all_tokens();
  return " cp=" + std::to_string(info.cp) + " evicted=" + std::to_string(info.evicted) + "/" +
         std::to_string(info.evictions) + " window=" + DigestOf<TokenId>(window) +
         " all=" + DigestOf<TokenId>(all) + " transcript=" + DigestOf(session_->transcript()) +
         " logits=" + DigestOf(session_->last_logits());
}

}  // namespace gyrator
