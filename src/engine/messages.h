// Messages and JSON values; what the engine knows beyond gyrator/messages.h.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "gyrator/messages.h"

namespace gyrator {

// Levels of the extras of a message, so that a list of messages in an object still parses.
inline constexpr int kExtrasDepthMax = 198;

// kInvalidArgument: a role that is not system, user, assistant or tool; content that is no UTF-8;
// extras that are no JSON object, or one with role or content.
Status CheckMessage(const Message& message);

// The extras as an object, empty when there are none. kInvalidArgument.
Result<Json> ParseExtras(const Message& message);

// "<where>: <expected> expected, found <value>", kInvalidArgument; a null `found` is a field that
// is not there. Long text is cut.
Status ExpectedJson(std::string where, std::string_view expected, const Json* found);

// The field of an object; null when there is none.
const Json* FindField(const Json& object, const char* name);

// A tool's message says which call it answers: kInvalidArgument ("<where>.tool_call_id: ...") when
// `role` is tool and `fields`, an object, has no such text.
Status CheckToolCallId(std::string_view role, const Json& fields, std::string_view where);

// As templates and chat.json have them: [{role, content, ...extras}], content always a string.
// kInvalidArgument as ParseExtras has it.
Result<Json> MessagesToJson(std::span<const Message> messages);

// As OpenAI has them: an assistant's empty content beside tool_calls is null. kInvalidArgument as
// ParseExtras has it.
Result<Json> MessagesToOpenAi(std::span<const Message> messages);

// The reverse of both: the reading that gyrator/messages.h describes, without a look at tool_calls
// and tool_call_id, which a Session need not have. kInvalidArgument, kUnsupported.
Result<std::vector<Message>> MessagesFromJson(const Json& value);

// The same with that look: what ParseMessages makes of its text.
Result<std::vector<Message>> RequestMessages(const Json& value);

}  // namespace gyrator
