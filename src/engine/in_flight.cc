#include "engine/in_flight.h"

#include <utility>

#include "base/check.h"

namespace gyrator {

InFlight::InFlight(Work* work, const Tokenizer* tokenizer)
    : asked_(work->session->AskedNow(work->kind, static_cast<int32_t>(work->tokens.size()))),
      request_(work->session, work->options, tokenizer) {
  GYRATOR_CHECK(work->session->in_use());
  request_.tokens = std::move(work->tokens);
  request_.layout = std::move(work->layout);
  request_.prompt_length = asked_.prompt_length;
  request_.holds = work->kind == WorkKind::kHold;
  request_.room = work->room;
  request_.continues = work->continues;
}

InFlight::~InFlight() { Settle(); }

void InFlight::Settle() noexcept {
  if (settled_ || request_.state != RequestState::kDone) return;  // it was never submitted
  settled_ = true;
  request_.session->Settle(&request_, asked_);
}

Result<Reply> InFlight::Finish() {
  Settle();
  return request_.session->Conclude(&request_, asked_);
}

}  // namespace gyrator
