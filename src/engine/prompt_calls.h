// Calls of tools with their results: where they lie in a prompt, and what of them may be evicted.
//
// An agent has one question and then calls of tools, each with its results. When the window is full
// the old calls go, each with its results; the question and the newest call with its results stay.
#pragma once

#include <span>

#include "engine/prompt.h"
#include "engine/text_model.h"
#include "engine/window.h"
#include "gyrator/status.h"
#include "kv/eviction.h"

namespace gyrator {

// Adds calls and atomic spans to a layout that has its turns. A turn with a call that cannot be
// found goes as a whole. kInvalidArgument: the template's own error.
Status FindCalls(const TextModelImpl& text, const Rendered& rendered,
                 std::span<const TokenId> tokens, PromptLayout* layout);

// Lets the calls of the newest turn but the last one go, and keeps what lies between them.
// REQUIRES: `view` has its turns and newest.
void ShowCalls(const PromptLayout& layout, const Window& window, WindowView* view);

}  // namespace gyrator
