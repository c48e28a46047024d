// Messages as the OpenAI chat API has them: a JSON array of objects with role and content.
//
// Does: read a request's "messages" and write such a list. Does not: render a prompt (TextModel),
// look into unknown fields, or take anything but text.
//
// Reading: the roles are system, developer (read as system), user, assistant and tool. Content is a
// string; an array of {"type": "text", "text"} parts, which are joined without a separator (other
// fields of a part are dropped); or null or absent in an assistant's message with tool_calls, which
// gives empty content. A tool's message needs a tool_call_id that is not empty. tool_calls is null
// or an array of objects with function.name, a string, and function.arguments, a string or an
// object (absent: none), each kept as given. Every field but role and content goes to
// Message::extras, in order, and is written back; numbers there are kept as 64-bit integers or
// doubles. A name given twice counts once, with its last value.
//
// Source: the OpenAI API reference, "Create chat completion". Thread safety: free functions without
// state.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "gyrator/model.h"
#include "gyrator/status.h"

namespace gyrator {

// The messages of a JSON array (UTF-8, nested at most 199 deep). Errors name the place, what was
// expected and what was found, "messages[1].tool_call_id: a string that is not empty expected,
// found nothing": kInvalidArgument; kUnsupported for a content part that is no text.
Result<std::vector<Message>> ParseMessages(std::string_view json);

// One line of JSON: role, content, then the extras in their order. Empty content of an assistant's
// message with tool_calls is null. What ParseMessages gave reads back equal. kInvalidArgument when
// a message is none that a Session takes: unknown role, broken UTF-8, extras that are no object or
// that hold role or content.
Result<std::string> MessagesJson(std::span<const Message> messages);

}  // namespace gyrator
