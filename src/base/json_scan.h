// Walks a JSON text without building values: memory is that of the text, however the text is made.
//
// Does: check the grammar of RFC 8259 as it goes, one value after the other, and give strings and
// places in the text. Does not: check names for being there twice, or the UTF-8 of the text (the
// caller has done that). base/json.h builds values, which take many times the room of a text like
// [{},{},...].
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "gyrator/status.h"

namespace gyrator {

class JsonScanner {
 public:
  // A view of `text`, which must be UTF-8; at most `depth_max` nested levels are walked.
  JsonScanner(std::string_view text, int depth_max);

  // Byte of the text that is next, white space skipped.
  size_t offset();
  // That byte; NUL at the end.
  char Peek();
  // Takes it when it is `c`.
  bool Accept(char c);
  // kCorruption names the place, what was expected and what was found.
  Status Expect(char c);
  Status ExpectEnd();
  // One string; `out` may be null.
  Status String(std::string* out);
  // A whole number of at most 18 digits, without a sign.
  Status WholeNumber(int64_t* out);
  // One value of any kind. `out`, when not null, gets its text without the white space between its
  // parts.
  Status Value(std::string* out);

 private:
  Status Failed(std::string_view expected);
  Status Number();
  Status Word(std::string_view word);
  Status Scalar();
  Status Escape(std::string* out);
  Status CodeUnit(uint32_t* unit);
  // Takes a ',' and the next name, or closes levels until one goes on or all are closed.
  Status NextInOpen(std::vector<bool>* open, std::string* out);
  Status Name(std::string* out);
  void Copy(size_t begin, std::string* out) const;

  const std::string_view text_;
  const size_t depth_max_;
  size_t at_ = 0;
};

}  // namespace gyrator
