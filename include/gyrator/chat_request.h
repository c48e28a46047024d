// A request for a chat completion as the OpenAI API and llama-server have it, and a line of a batch
// of them.
//
// Does: read one JSON object. Does not: run it, look at the model that it names, or stream.
//
// Read: messages (gyrator/messages.h); max_completion_tokens, else max_tokens; temperature, top_p,
// seed, frequency_penalty, presence_penalty, logit_bias ({"15043": -1} or [[15043, -1], ...], false
// for -infinity), stop (a string or an array of them); llama-server's top_k, min_p, typical_p,
// repeat_penalty, repeat_last_n, ignore_eos and chat_template_kwargs; and our own priority,
// cancel_after_ms, deadline_ms, cache_namespace and custom_id. null is as good as absent, and 5.0
// is an integer. Refused by name, because a reply without them would not be what was asked for:
// stream, n above 1, tools and functions, a tool_choice or function_call that asks for one,
// logprobs, modalities other than text, audio, web_search_options, grammar, json_schema, and a
// response_format other than text. All else is ignored, and listed.
//
// Source: the OpenAI API reference, "Create chat completion" and "Batch"; llama.cpp's
// tools/server/README.md. Thread safety: free functions without state.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "gyrator/engine.h"
#include "gyrator/model.h"
#include "gyrator/status.h"

namespace gyrator {

struct ChatRequest {
  std::vector<Message> messages = {};
  SamplerOptions sampler = {};
  bool has_seed = false;    // false: the sampler's seed is the default's, -1 counts as none
  int32_t tokens_max = -1;  // -1: until the end of the reply or of the capacity
  bool ignore_end = false;
  std::vector<std::string> stop = {};   // the reply ends before the first of them: FindStop
  std::string template_variables = {};  // SessionOptions::template_variables
  int32_t priority = 0;                 // GenerateOptions::priority
  // Milliseconds after the request began.
  std::optional<int64_t> cancel_after_ms = {};
  std::optional<int64_t> deadline_ms = {};
  std::string cache_namespace = {};
  std::string custom_id = {};             // the caller's own name for it; empty: none
  std::vector<std::string> ignored = {};  // names of fields that mean nothing here, sorted
};

// Where the first of the stop strings begins in a reply, the leftmost of those that are in it.
std::optional<size_t> FindStop(std::string_view text, std::span<const std::string> stop);

// What a request does not say is taken from `defaults`.
struct ChatDefaults {
  SamplerOptions sampler = {};
  int32_t tokens_max = -1;
};

// The body of one request. Errors name the field, what was expected and what was found:
// kInvalidArgument; kUnsupported, named "unsupported_field" where the field as a whole is refused.
Result<ChatRequest> ParseChatRequest(std::string_view json, const ChatDefaults& defaults);

// A line of a batch: a body, or OpenAI's {"custom_id", "method": "POST", "url":
// "/v1/chat/completions", "body": {...}}.
struct BatchLine {
  Status status;        // why there is no request
  ChatRequest request;  // custom_id also when there is none, as far as it could be read
};
BatchLine ParseBatchLine(std::string_view json, const ChatDefaults& defaults);

}  // namespace gyrator
