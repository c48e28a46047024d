#include "gyrator/chat_request.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>
#include <span>
#include <utility>

#include "engine/messages.h"

namespace gyrator {

namespace {

constexpr int64_t kTokensMax = int64_t{1} << 30;
constexpr int64_t kMillisecondsMax = int64_t{1} << 40;
constexpr int64_t kPriorityMost = 1'000'000;

// The field when it says something: null is as good as absent.
const Json* Given(const Json& object, const char* name) {
  const Json* field = FindField(object, name);
  return field == nullptr || field->is_null() ? nullptr : field;
}

Status Refused(const char* name, std::string_view why) {
  return Status::Unsupported(std::string(name) + ": " + std::string(why))
      .Named("unsupported_field");
}

struct Range {
  int64_t low = 0, high = 0;
};

// The integer that a number is, also when it is written as 5.0 or 5e0: JSON has no other numbers,
// and some clients write all of them so.
std::optional<int64_t> AsInteger(const Json& number) {
  if (number.is_number_unsigned()) {
    constexpr auto kMost = static_cast<uint64_t>(std::numeric_limits<int64_t>::max());
    if (number.get<uint64_t>() > kMost) return std::nullopt;
    return number.get<int64_t>();
  }
  if (number.is_number_integer()) return number.get<int64_t>();
  if (!number.is_number_float()) return std::nullopt;
  constexpr double kExact = 9007199254740992;  // beyond it a double is no longer one integer
  const auto value = number.get<double>();
  if (value != std::trunc(value) || std::abs(value) > kExact) return std::nullopt;
  return static_cast<int64_t>(value);
}

// Leaves *value as it is when the field is not given.
Status ReadInteger(const Json& body, const char* name, Range range, int64_t* value) {
  const Json* field = Given(body, name);
  if (field == nullptr) return {};
  const std::optional<int64_t> number = AsInteger(*field);
  if (!number || *number < range.low || *number > range.high) {
    return ExpectedJson(
        name, "an integer from " + std::to_string(range.low) + " to " + std::to_string(range.high),
        field);
  }
  *value = *number;
  return {};
}

Status ReadInteger(const Json& body, const char* name, Range range, int32_t* value) {
  int64_t wide = *value;
  GYRATOR_RETURN_IF_ERROR(ReadInteger(body, name, range, &wide));
  *value = static_cast<int32_t>(wide);
  return {};
}

Status ReadMilliseconds(const Json& body, const char* name, std::optional<int64_t>* value) {
  if (Given(body, name) == nullptr) return {};
  return ReadInteger(body, name, {0, kMillisecondsMax}, &value->emplace());
}

// A number beyond every float is the largest one, which the sampler's own ranges refuse.
float ToFloat(const Json& number) {
  constexpr double kMost = std::numeric_limits<float>::max();
  return static_cast<float>(std::clamp(number.get<double>(), -kMost, kMost));
}

Status ReadNumber(const Json& body, const char* name, float* value) {
  const Json* field = Given(body, name);
  if (field == nullptr) return {};
  if (!field->is_number()) return ExpectedJson(name, "a number", field);
  *value = ToFloat(*field);
  return {};
}

Status ReadSwitch(const Json& body, const char* name, bool* value) {
  const Json* field = Given(body, name);
  if (field == nullptr) return {};
  if (!field->is_boolean()) return ExpectedJson(name, "true or false", field);
  *value = field->get<bool>();
  return {};
}

Status ReadText(const Json& body, const char* name, std::string* value) {
  const Json* field = Given(body, name);
  if (field == nullptr) return {};
  if (!field->is_string()) return ExpectedJson(name, "a string", field);
  *value = field->get<std::string>();
  return {};
}

// A token id as the name of a field.
Result<TokenId> ReadTokenId(const std::string& text) {
  TokenId id = 0;
  const auto parsed = std::from_chars(text.data(), text.data() + text.size(), id);
  if (parsed.ec == std::errc() && parsed.ptr == text.data() + text.size() && id >= 0) return id;
  const Json found = text;
  return ExpectedJson("logit_bias", "token ids", &found);
}

Result<float> ReadBias(const Json& value) {
  if (value.is_number()) return ToFloat(value);
  if (value.is_boolean() && !value.get<bool>()) return -std::numeric_limits<float>::infinity();
  return ExpectedJson("logit_bias", "a number, or false,", &value);
}

Status ReadLogitBias(const Json& body, SamplerOptions* sampler) {
  const Json* field = Given(body, "logit_bias");
  if (field == nullptr) return {};
  if (!field->is_object() && !field->is_array()) {
    return ExpectedJson("logit_bias", "an object or an array of pairs", field);
  }
  sampler->logit_bias.clear();
  if (field->is_object()) {
    for (const auto& [name, value] : field->get_ref<const Json::object_t&>()) {
      GYRATOR_ASSIGN_OR_RETURN(const TokenId id, ReadTokenId(name));
      GYRATOR_ASSIGN_OR_RETURN(const float bias, ReadBias(value));
      sampler->logit_bias.emplace_back(id, bias);
    }
    return {};
  }
  for (const Json& pair : *field) {
    const bool is_pair = pair.is_array() && pair.size() == 2;
    const std::optional<int64_t> number = is_pair ? AsInteger(pair[0]) : std::nullopt;
    if (!number) return ExpectedJson("logit_bias", "pairs of a token id and a number", &pair);
    GYRATOR_ASSIGN_OR_RETURN(const TokenId id, ReadTokenId(std::to_string(*number)));
    GYRATOR_ASSIGN_OR_RETURN(const float bias, ReadBias(pair[1]));
    sampler->logit_bias.emplace_back(id, bias);
  }
  return {};
}

Status ReadSampler(const Json& body, ChatRequest* request) {
  constexpr int64_t kMost = std::numeric_limits<int32_t>::max();
  SamplerOptions& sampler = request->sampler;
  GYRATOR_RETURN_IF_ERROR(ReadNumber(body, "temperature", &sampler.temperature));
  GYRATOR_RETURN_IF_ERROR(ReadNumber(body, "top_p", &sampler.top_p));
  GYRATOR_RETURN_IF_ERROR(ReadNumber(body, "min_p", &sampler.min_p));
  GYRATOR_RETURN_IF_ERROR(ReadNumber(body, "typical_p", &sampler.typical_p));
  GYRATOR_RETURN_IF_ERROR(ReadNumber(body, "repeat_penalty", &sampler.repeat_penalty));
  GYRATOR_RETURN_IF_ERROR(ReadNumber(body, "frequency_penalty", &sampler.frequency_penalty));
  GYRATOR_RETURN_IF_ERROR(ReadNumber(body, "presence_penalty", &sampler.presence_penalty));
  GYRATOR_RETURN_IF_ERROR(ReadInteger(body, "top_k", {0, kMost}, &sampler.top_k));
  GYRATOR_RETURN_IF_ERROR(ReadInteger(body, "repeat_last_n", {-1, kMost}, &sampler.penalty_last_n));
  GYRATOR_RETURN_IF_ERROR(ReadLogitBias(body, &sampler));
  int64_t seed = -1;
  GYRATOR_RETURN_IF_ERROR(
      ReadInteger(body, "seed", {-1, std::numeric_limits<int64_t>::max()}, &seed));
  request->has_seed = seed >= 0;
  if (request->has_seed) sampler.seed = static_cast<uint64_t>(seed);
  return CheckSampler(sampler);
}

// A string or an array of strings, none of them empty.
Status ReadStop(const Json& body, std::vector<std::string>* stop) {
  const Json* field = Given(body, "stop");
  if (field == nullptr) return {};
  const bool one = field->is_string();
  if (!one && !field->is_array()) {
    return ExpectedJson("stop", "a string or an array of strings", field);
  }
  for (size_t i = 0; i < (one ? 1 : field->size()); ++i) {
    const Json& text = one ? *field : (*field)[i];
    if (!text.is_string() || text.get_ref<const std::string&>().empty()) {
      return ExpectedJson("stop", "strings that are not empty", &text);
    }
    stop->push_back(text.get<std::string>());
  }
  return {};
}

Status ReadVariables(const Json& body, std::string* variables) {
  const Json* field = Given(body, "chat_template_kwargs");
  if (field == nullptr) return {};
  if (!field->is_object()) return ExpectedJson("chat_template_kwargs", "an object", field);
  if (!field->empty()) *variables = DumpJson(*field);
  return {};
}

// Tools as they are offered now and as they were before.
Status CheckTools(const Json& body) {
  for (const char* name : {"tools", "functions"}) {
    const Json* tools = Given(body, name);
    if (tools == nullptr) continue;
    if (!tools->is_array()) return ExpectedJson(name, "an array", tools);
    if (!tools->empty()) return Refused(name, "not supported");
  }
  for (const char* name : {"tool_choice", "function_call"}) {
    const Json* choice = Given(body, name);
    if (choice == nullptr || *choice == "none" || *choice == "auto") continue;
    if (!choice->is_string() && !choice->is_object()) {
      return ExpectedJson(name, "a string or an object", choice);
    }
    return Refused(name, "'none' and 'auto' only: no tool is called");
  }
  return {};
}

// What else than text is wanted of the reply, or to go with it.
Status CheckModalities(const Json& body) {
  if (const Json* modalities = Given(body, "modalities"); modalities != nullptr) {
    if (!modalities->is_array()) return ExpectedJson("modalities", "an array", modalities);
    for (const Json& modality : *modalities) {
      if (modality != "text") return Refused("modalities", "text only");
    }
  }
  bool logprobs = false;
  GYRATOR_RETURN_IF_ERROR(ReadSwitch(body, "logprobs", &logprobs));
  if (logprobs) return Refused("logprobs", "not supported");
  int64_t top = 0;
  GYRATOR_RETURN_IF_ERROR(ReadInteger(body, "top_logprobs", {0, kTokensMax}, &top));
  if (top > 0) return Refused("top_logprobs", "not supported");
  for (const char* name : {"audio", "web_search_options", "grammar", "json_schema"}) {
    const Json* field = Given(body, name);
    if (field != nullptr && *field != "") return Refused(name, "not supported");
  }
  return {};
}

// What would change the reply's form or meaning and is not served.
Status CheckRefused(const Json& body) {
  bool stream = false;
  GYRATOR_RETURN_IF_ERROR(ReadSwitch(body, "stream", &stream));
  if (stream) return Refused("stream", "a reply comes whole");
  int64_t choices = 1;
  GYRATOR_RETURN_IF_ERROR(ReadInteger(body, "n", {1, kTokensMax}, &choices));
  if (choices > 1) return Refused("n", "one choice a request");
  GYRATOR_RETURN_IF_ERROR(CheckTools(body));
  GYRATOR_RETURN_IF_ERROR(CheckModalities(body));
  const Json* format = Given(body, "response_format");
  if (format == nullptr) return {};
  if (!format->is_object()) return ExpectedJson("response_format", "an object", format);
  const Json* type = FindField(*format, "type");
  if (type == nullptr || !type->is_string()) {
    return ExpectedJson("response_format.type", "a string", type);
  }
  if (*type != "text") return Refused("response_format", "text only");
  return {};
}

// Names of an object that are not among `known`.
std::vector<std::string> Others(const Json& object, std::span<const std::string_view> known) {
  std::vector<std::string> others;
  for (const auto& field : object.get_ref<const Json::object_t&>()) {
    if (std::ranges::find(known, field.first) == known.end()) others.push_back(field.first);
  }
  std::ranges::sort(others);
  return others;
}

std::vector<std::string> Ignored(const Json& body) {
  static constexpr std::string_view kKnown[] = {"messages",
                                                "model",
                                                "max_tokens",
                                                "max_completion_tokens",
                                                "temperature",
                                                "top_p",
                                                "min_p",
                                                "typical_p",
                                                "top_k",
                                                "repeat_penalty",
                                                "repeat_last_n",
                                                "seed",
                                                "frequency_penalty",
                                                "presence_penalty",
                                                "logit_bias",
                                                "ignore_eos",
                                                "stream",
                                                "n",
                                                "tools",
                                                "response_format",
                                                "stop",
                                                "chat_template_kwargs",
                                                "functions",
                                                "tool_choice",
                                                "function_call",
                                                "modalities",
                                                "logprobs",
                                                "top_logprobs",
                                                "audio",
                                                "web_search_options",
                                                "grammar",
                                                "json_schema",
                                                "priority",
                                                "cancel_after_ms",
                                                "deadline_ms",
                                                "cache_namespace",
                                                "custom_id"};
  return Others(body, kKnown);
}

Status ReadBody(const Json& body, const char* where, ChatRequest* request) {
  if (!body.is_object()) return ExpectedJson(where, "an object", &body);
  GYRATOR_RETURN_IF_ERROR(ReadText(body, "custom_id", &request->custom_id));
  request->ignored = Ignored(body);
  const Json* messages = FindField(body, "messages");
  if (messages == nullptr) return ExpectedJson("messages", "an array", nullptr);
  GYRATOR_ASSIGN_OR_RETURN(request->messages, RequestMessages(*messages));
  if (request->messages.empty()) {
    return Status::InvalidArgument("messages: at least one expected, found none");
  }
  GYRATOR_RETURN_IF_ERROR(CheckRefused(body));
  GYRATOR_RETURN_IF_ERROR(ReadInteger(body, "max_tokens", {-1, kTokensMax}, &request->tokens_max));
  GYRATOR_RETURN_IF_ERROR(
      ReadInteger(body, "max_completion_tokens", {-1, kTokensMax}, &request->tokens_max));
  GYRATOR_RETURN_IF_ERROR(ReadSampler(body, request));
  GYRATOR_RETURN_IF_ERROR(ReadSwitch(body, "ignore_eos", &request->ignore_end));
  GYRATOR_RETURN_IF_ERROR(ReadStop(body, &request->stop));
  GYRATOR_RETURN_IF_ERROR(ReadVariables(body, &request->template_variables));
  GYRATOR_RETURN_IF_ERROR(
      ReadInteger(body, "priority", {-kPriorityMost, kPriorityMost}, &request->priority));
  GYRATOR_RETURN_IF_ERROR(ReadMilliseconds(body, "cancel_after_ms", &request->cancel_after_ms));
  GYRATOR_RETURN_IF_ERROR(ReadMilliseconds(body, "deadline_ms", &request->deadline_ms));
  return ReadText(body, "cache_namespace", &request->cache_namespace);
}

// OpenAI's form of a line, around a body.
Status ReadEnvelope(const Json& line, ChatRequest* request) {
  std::string custom_id, method = "POST", url = "/v1/chat/completions";
  GYRATOR_RETURN_IF_ERROR(ReadText(line, "custom_id", &custom_id));
  request->custom_id = custom_id;
  GYRATOR_RETURN_IF_ERROR(ReadText(line, "method", &method));
  if (method != "POST") return Refused("method", "POST only");
  GYRATOR_RETURN_IF_ERROR(ReadText(line, "url", &url));
  if (url != "/v1/chat/completions") return Refused("url", "/v1/chat/completions only");
  const Status status = ReadBody(*FindField(line, "body"), "body", request);
  if (!custom_id.empty()) request->custom_id = std::move(custom_id);  // the line's goes first
  static constexpr std::string_view kKnown[] = {"custom_id", "method", "url", "body"};
  const std::vector<std::string> others = Others(line, kKnown);
  request->ignored.insert(request->ignored.end(), others.begin(), others.end());
  std::ranges::sort(request->ignored);
  return status;
}

ChatRequest Blank(const ChatDefaults& defaults) {
  ChatRequest request;
  request.sampler = defaults.sampler;
  request.tokens_max = defaults.tokens_max;
  return request;
}

// kInvalidArgument: to those who ask, a body that is no JSON is as wrong as any other.
Result<Json> ParseBody(std::string_view text) {
  auto json = ParseExactJson(text);
  if (!json.ok()) {
    return Status::InvalidArgument("body: a JSON object expected: " + json.status().message());
  }
  return json;
}

}  // namespace

std::optional<size_t> FindStop(std::string_view text, std::span<const std::string> stop) {
  size_t first = std::string_view::npos;
  for (const std::string& string : stop) first = std::min(first, text.find(string));
  return first == std::string_view::npos ? std::nullopt : std::optional(first);
}

Result<ChatRequest> ParseChatRequest(std::string_view json, const ChatDefaults& defaults) {
  GYRATOR_ASSIGN_OR_RETURN(const Json body, ParseBody(json));
  ChatRequest request = Blank(defaults);
  GYRATOR_RETURN_IF_ERROR(ReadBody(body, "body", &request));
  return request;
}

BatchLine ParseBatchLine(std::string_view json, const ChatDefaults& defaults) {
  BatchLine line{.status = {}, .request = Blank(defaults)};
  const auto value = ParseBody(json);
  if (!value.ok()) {
    line.status = value.status();
  } else if (value->is_object() && FindField(*value, "body") != nullptr) {
    line.status = ReadEnvelope(*value, &line.request);
  } else {
    line.status = ReadBody(*value, "body", &line.request);
  }
  return line;
}

}  // namespace gyrator
