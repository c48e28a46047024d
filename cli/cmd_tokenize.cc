// gyrator tokenize -m MODEL --text-file F: one JSON array of ids for each line of the file.
//
// Lines end at LF alone; what follows the last LF is a line when it is not empty.
#include <fmt/format.h>

#include "cli/commands.h"
#include "cli/text_input.h"

namespace gyrator::cli {

Status RunTokenize(const TokenizeArgs& args, const Context&) {
  GYRATOR_ASSIGN_OR_RETURN(const std::string path, ModelPath(args.model));
  GYRATOR_ASSIGN_OR_RETURN(const std::shared_ptr<const TextModel> text,
                           TextModel::Load(path, {.tokenizer_pre = args.tokenizer_pre}));
  GYRATOR_ASSIGN_OR_RETURN(const std::string input, ReadInput(args.text_file));
  std::string_view rest = input;
  std::string out;
  while (!rest.empty()) {
    const size_t end = rest.find('\n');
    const std::vector<TokenId> ids = text->Encode(rest.substr(0, end), args.add_special);
    fmt::format_to(std::back_inserter(out), "[{}]\n", fmt::join(ids, ", "));
    if (out.size() > 65536) {
      GYRATOR_RETURN_IF_ERROR(PrintText(out));
      out.clear();
    }
    if (end == std::string_view::npos) break;
    rest.remove_prefix(end + 1);
  }
  return PrintText(out);
}

}  // namespace gyrator::cli
