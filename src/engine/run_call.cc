#include "engine/run_call.h"

namespace gyrator {

namespace {

void AnswerTo(Request* request, bool go_on) {
  request->answer.store(go_on ? Answer::kGoOn : Answer::kStop, std::memory_order_release);
}

}  // namespace

RunCall::~RunCall() {
  if (open_ == 0) return;
  silent_ = true;
  for (Request* request : requests_) AnswerTo(request, false);
  thread_->Wake();
  Listen();
}

void RunCall::Add(Request* request) {
  request->caller = caller_;
  requests_.push_back(request);
}

void RunCall::Run() {
  if (requests_.empty()) return;
  thread_->Post([this] {
    for (Request* request : requests_) loop_->Submit(request);
  });
  open_ = requests_.size();  // behind what may throw: nothing is awaited that was not submitted
  Listen();
}

void RunCall::Listen() {
  std::vector<CallerEvent> events;
  while (open_ > 0) {
    // A callback that forks has no engine thread in the child that could end the requests.
    if (thread_->InForkedChild()) return LeaveToTheParent();
    caller_->Take(&events);
    bool answered = false;
    for (const CallerEvent& event : events) {
      if (event.kind == CallerEvent::Kind::kDone) --open_;
    }
    for (const CallerEvent& event : events) answered |= !silent_ && Hear(event);
    if (answered) thread_->Wake();
  }
}

void RunCall::LeaveToTheParent() {
  for (const auto& request : requests_) {
    request->status =
        Status::Unsupported("request: it belongs to the parent of this process").Named("forked");
  }
  open_ = 0;
}

bool RunCall::Hear(const CallerEvent& event) {
  const GenerateOptions& options = *event.request->options;
  switch (event.kind) {
    case CallerEvent::Kind::kDone:
      return false;
    case CallerEvent::Kind::kProgress:
      progress_("reading the prompt", event.done, event.total);
      return false;
    case CallerEvent::Kind::kPromptLogits:
      for (size_t at = 0; at < event.rows.size(); at += event.vocab) {
        options.on_prompt_logits(std::span(event.rows).subspan(at, event.vocab));
      }
      return false;
    case CallerEvent::Kind::kToken:
      if (!event.logits.empty()) options.on_logits(event.logits);
      AnswerTo(event.request, event.text.empty() || options.on_text(event.text));
      return true;
  }
  return false;
}

}  // namespace gyrator
