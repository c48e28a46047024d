#include "gyrator/status.h"

namespace gyrator {

namespace {
const std::string& EmptyString() {
  static const std::string empty;
  return empty;
}
}  // namespace

std::string_view CodeName(Code code) {
  switch (code) {
    case Code::kOk:
      return "ok";
    case Code::kInternal:
      return "internal";
    case Code::kInvalidArgument:
      return "invalid argument";
    case Code::kNotFound:
      return "not found";
    case Code::kCorruption:
      return "corruption";
    case Code::kMismatch:
      return "mismatch";
    case Code::kExhausted:
      return "exhausted";
    case Code::kKey:
      return "key";
    case Code::kIo:
      return "i/o";
    case Code::kUnsupported:
      return "unsupported";
    case Code::kCancelled:
      return "cancelled";
  }
  return "unknown";
}

Status::Status(Code code, std::string message)
    : rep_(code == Code::kOk ? nullptr : new Rep{code, std::move(message), {}}) {}

Status::Status(const Status& other) : rep_(other.rep_ ? new Rep(*other.rep_) : nullptr) {}

Status& Status::operator=(const Status& other) {
  if (this != &other) rep_.reset(other.rep_ ? new Rep(*other.rep_) : nullptr);
  return *this;
}

const std::string& Status::message() const { return rep_ ? rep_->message : EmptyString(); }
const std::string& Status::name() const { return rep_ ? rep_->name : EmptyString(); }

Status Status::Named(std::string_view name) && {
  if (rep_) rep_->name = name;
  return std::move(*this);
}

Status Status::Annotate(std::string_view where) && {
  if (rep_) rep_->message = std::string(where) + ": " + rep_->message;
  return std::move(*this);
}

std::string Status::ToString() const {
  if (ok()) return "ok";
  return std::string(CodeName(rep_->code)) + ": " + rep_->message;
}

}  // namespace gyrator
