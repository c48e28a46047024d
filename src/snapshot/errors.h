// The named refusals of this module. Each names the element, what was expected and what was found.
#pragma once

#include <string>
#include <string_view>

#include "gyrator/status.h"

namespace gyrator {

// A path that is no context at all.
inline Status NotAContext(std::string_view path, std::string_view why) {
  return Status::NotFound(std::string(path) + ": not a context: " + std::string(why))
      .Named("not_a_context");
}
// A file or key that every context of its kind has.
inline Status MissingElement(std::string_view name) {
  return Status::Corruption(std::string(name) + ": missing").Named("missing_element");
}
// A file that is not what the manifest says.
inline Status ManifestMismatch(std::string_view file, std::string_view why) {
  return Status::Corruption(std::string(file) + ": " + std::string(why)).Named("manifest_mismatch");
}
// Elements that contradict each other, or the grammar of a file.
inline Status StateInconsistent(std::string_view which, std::string_view why) {
  return Status::Corruption(std::string(which) + ": " + std::string(why))
      .Named("state_inconsistent");
}
inline Status UnsupportedProtocol(std::string_view what) {
  return Status::Unsupported("metadata/protocol.txt: " + std::string(what))
      .Named("unsupported_protocol");
}
inline Status ModelMismatch(std::string_view field, std::string_view expected,
                            std::string_view found) {
  return Status::Mismatch(std::string(field) + ": the model has '" + std::string(expected) +
                          "', the context was made with '" + std::string(found) + "'")
      .Named("model_mismatch");
}
inline Status ShapeMismatch(std::string_view tensor, std::string_view expected,
                            std::string_view found) {
  return Status::Mismatch(std::string(tensor) + ": the model expects " + std::string(expected) +
                          ", the context has " + std::string(found))
      .Named("shape_mismatch");
}
inline Status CapacityError(int64_t cp, int64_t capacity) {
  return Status::Exhausted("the context has cp " + std::to_string(cp) +
                           ", the session's capacity is " + std::to_string(capacity))
      .Named("capacity");
}

}  // namespace gyrator
