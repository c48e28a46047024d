#include "tokenizer/regex.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include <algorithm>
#include <limits>
#include <utility>

namespace gyrator {

namespace {

constexpr size_t kPatternBytesMax = 32768;
// Bounds of one search. Oniguruma gives up after 10,000,000 steps back, so what it finds is found
// here; a text of its own length may take a pattern a few steps a byte, whatever its length.
constexpr uint64_t kStepsMin = 20'000'000, kStepsByte = 64;
constexpr uint64_t kDepthMin = 200'000, kDepthByte = 4;  // nested backtracking points
constexpr uint64_t kHeapKibMin = 64 * 1024;  // for the interpreter, and half a KiB a byte
constexpr size_t kShortText = 65536;         // the least bounds are enough

template <auto Free>
struct Deleter {
  template <class T>
  void operator()(T* pointer) const {
    Free(pointer);
  }
};
using CodePtr = std::unique_ptr<pcre2_code, Deleter<pcre2_code_free>>;
using CompileContextPtr =
    std::unique_ptr<pcre2_compile_context, Deleter<pcre2_compile_context_free>>;
using MatchContextPtr = std::unique_ptr<pcre2_match_context, Deleter<pcre2_match_context_free>>;
using MatchDataPtr = std::unique_ptr<pcre2_match_data, Deleter<pcre2_match_data_free>>;

std::string ErrorText(int error) {
  PCRE2_UCHAR text[256];
  pcre2_get_error_message(error, text, sizeof(text));
  return reinterpret_cast<const char*>(text);
}

uint32_t Bounded(uint64_t limit) {
  return static_cast<uint32_t>(std::min<uint64_t>(limit, std::numeric_limits<uint32_t>::max()));
}

// Bounds for texts of `size` bytes.
void SetLimits(pcre2_match_context* context, uint64_t size) {
  pcre2_set_match_limit(context, Bounded(std::max(kStepsMin, kStepsByte * size)));
  pcre2_set_depth_limit(context, Bounded(kDepthMin + kDepthByte * size));
  pcre2_set_heap_limit(context, Bounded(kHeapKibMin + size / 2));
}

size_t NextCharacter(std::string_view text, size_t at) {
  ++at;
  while (at < text.size() && (static_cast<uint8_t>(text[at]) & 0xC0) == 0x80) ++at;
  return at;
}

}  // namespace

struct Regex::Compiled {
  CodePtr code;
  MatchContextPtr context;
};

Regex::Regex(std::string pattern, bool is_literal, std::unique_ptr<Compiled> code)
    : pattern_(std::move(pattern)), is_literal_(is_literal), code_(std::move(code)) {}
Regex::Regex(Regex&&) noexcept = default;
Regex& Regex::operator=(Regex&&) noexcept = default;
Regex::~Regex() = default;

Result<Regex> Regex::Compile(std::string_view pattern) {
  if (pattern.size() > kPatternBytesMax) {
    return Status::Unsupported("regex: pattern of " + std::to_string(pattern.size()) +
                               " bytes, at most " + std::to_string(kPatternBytesMax));
  }
  GYRATOR_ASSIGN_OR_RETURN(const std::string translated, TranslateRegex(pattern));
  return CompileTranslated(pattern, translated, /*is_literal=*/false);
}

Result<Regex> Regex::Literal(std::string_view text) {
  return CompileTranslated(text, std::string(text), /*is_literal=*/true);
}

Result<Regex> Regex::CompileTranslated(std::string_view pattern, const std::string& translated,
                                       bool is_literal) {
  CompileContextPtr compile(pcre2_compile_context_create(nullptr));
  pcre2_set_newline(compile.get(), PCRE2_NEWLINE_LF);
  // In Ruby's syntax ^ and $ are always those of lines.
  const uint32_t options = PCRE2_UTF | (is_literal ? PCRE2_LITERAL : PCRE2_UCP | PCRE2_MULTILINE);
  int error = 0;
  PCRE2_SIZE offset = 0;
  auto code = std::make_unique<Compiled>();
  code->code.reset(pcre2_compile(reinterpret_cast<PCRE2_SPTR>(translated.data()), translated.size(),
                                 options, &error, &offset, compile.get()));
  if (code->code == nullptr) {
    const Code kind =
        error == PCRE2_ERROR_UNKNOWN_UNICODE_PROPERTY ? Code::kUnsupported : Code::kCorruption;
    return Status(kind, "regex: " + ErrorText(error) + " in \"" + std::string(pattern) + "\"");
  }
  // Where the JIT cannot run (a hardened kernel, a pattern too large) the interpreter does.
  (void)pcre2_jit_compile(code->code.get(), PCRE2_JIT_COMPLETE);
  code->context.reset(pcre2_match_context_create(nullptr));
  SetLimits(code->context.get(), kShortText);
  return Regex(std::string(pattern), is_literal, std::move(code));
}

void Regex::FindAll(std::string_view text, std::vector<TextRange>* matches) const {
  const MatchDataPtr data(pcre2_match_data_create(1, nullptr));
  MatchContextPtr wide;  // of this call: the shared one is not written after Compile
  if (text.size() > kShortText) {
    wide.reset(pcre2_match_context_copy(code_->context.get()));
    SetLimits(wide.get(), text.size());
  }
  pcre2_match_context* context = wide != nullptr ? wide.get() : code_->context.get();
  const auto* subject = reinterpret_cast<PCRE2_SPTR>(text.data());
  bool matched_before = false;
  size_t last_end = 0;
  for (size_t from = 0; from <= text.size();) {
    const auto search = [&](uint32_t options) {
      return pcre2_match(code_->code.get(), subject, text.size(), from,
                         PCRE2_NO_UTF_CHECK | options, data.get(), context);
    };
    int found = search(0);
    if (found == PCRE2_ERROR_JIT_STACKLIMIT) found = search(PCRE2_NO_JIT);
    if (found < 0) return;
    const PCRE2_SIZE* offsets = pcre2_get_ovector_pointer(data.get());
    const TextRange match{offsets[0], offsets[1]};
    if (match.begin == match.end && matched_before && last_end == match.end) {
      from = NextCharacter(text, from);
      continue;
    }
    matches->push_back(match);
    from = last_end = match.end;
    matched_before = true;
  }
}

}  // namespace gyrator
