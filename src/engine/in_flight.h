// A request and its session, from the moment the request is made until the session has taken over
// what it left.
//
// The rule that a session agrees with its cache is kept here and nowhere else: whoever makes a
// request makes one of these, and its destructor settles the session. A callback that throws, an
// allocation that fails on the way, or a refusal cannot skip it.
#pragma once

#include <vector>

#include "engine/request.h"
#include "engine/session_impl.h"

namespace gyrator {

// What is asked of one session.
struct Work {
  using Kind = WorkKind;
  SessionImpl* session = nullptr;
  Kind kind = Kind::kComplete;
  std::vector<TokenId> tokens = {};
  const GenerateOptions* options = nullptr;
  PromptLayout layout = {};  // of tokens
  int32_t room = 0;
  bool continues = false;  // its prompt was a request of its own, which was counted
};

class InFlight {
 public:
  // Takes the tokens and the layout of `work`. REQUIRES: the session is claimed, and stays so for
  // as long as this lives. `tokenizer` may be null.
  InFlight(Work* work, const Tokenizer* tokenizer);
  // REQUIRES: a request that was submitted is done.
  ~InFlight();
  InFlight(const InFlight&) = delete;
  InFlight& operator=(const InFlight&) = delete;

  Request* request() { return &request_; }
  // Settles the session and gives the reply. Once. REQUIRES: the request is done.
  Result<Reply> Finish();

 private:
  void Settle() noexcept;

  const Asked asked_;
  Request request_;
  bool settled_ = false;
};

}  // namespace gyrator
