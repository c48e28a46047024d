// gyrator model info|verify: what a model is, and whether its weights are what they were.
#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "cli/commands.h"

namespace gyrator::cli {

namespace {

Json JsonOf(const ModelInfo& info) {
  return {{"path", info.path},
          {"name", info.name},
          {"family", info.family},
          {"parameters", info.parameters},
          {"file_bytes", info.file_bytes},
          {"stored", DTypeName(info.stored)},
          {"compute", ComputeTypeName(info.compute)},
          {"isa", info.isa},
          {"numerics", info.numerics},
          {"layers", info.num_layers},
          {"hidden", info.hidden},
          {"heads", info.num_heads},
          {"kv_heads", info.num_kv_heads},
          {"head_dim", info.head_dim},
          {"ffn", info.ffn},
          {"vocab", info.vocab},
          {"context_max", info.context_max},
          {"rope", info.rope}};
}

Json JsonOf(const std::vector<StoredBytes>& stored) {
  Json sizes = Json::object();
  for (const StoredBytes& of : stored) sizes[std::string(DTypeName(of.dtype))] = of.bytes;
  return sizes;
}

// "q4_K 480.2 MB, f32 1.1 MB"
std::string TextOf(const std::vector<StoredBytes>& stored) {
  std::string text;
  for (const StoredBytes& of : stored) {
    text += fmt::format("{}{} {}", text.empty() ? "" : ", ", DTypeName(of.dtype),
                        BytesText(static_cast<uint64_t>(of.bytes)));
  }
  return text;
}

}  // namespace

Status RunModelInfo(const ModelInfoArgs& args, const Context& context) {
  ProgressView progress(context.terminals);
  GYRATOR_ASSIGN_OR_RETURN(const std::shared_ptr<const Model> model,
                           OpenModel(args.model, &progress));
  GYRATOR_ASSIGN_OR_RETURN(const double added_error, model->AddedError());
  progress.Clear();
  Json info = JsonOf(model->info());
  if (context.json) {
    info["stored_bytes"] = JsonOf(model->info().stored_bytes);
    info["memory_bytes"] = model->info().operand_bytes;
    info["added_error"] = added_error;
    info["notes"] = model->info().notes;
    return PrintJson(info);
  }
  info["stored_bytes"] = TextOf(model->info().stored_bytes);
  info["memory_bytes"] = BytesText(static_cast<uint64_t>(model->info().operand_bytes));
  info["added_error"] = fmt::format("{:.2g} %", 100 * added_error);
  std::string text;
  for (const auto& [key, value] : info.items()) {
    text +=
        fmt::format("{:12} {}\n", key, value.is_string() ? value.get<std::string>() : value.dump());
  }
  return PrintText(Printable(text));
}

Status RunModelVerify(const ModelVerifyArgs& args, const Context& context) {
  ProgressView progress(context.terminals);
  GYRATOR_ASSIGN_OR_RETURN(const std::shared_ptr<const Model> model,
                           OpenModel(args.model, &progress));
  const std::optional<std::string> known = model->KnownWeightsDigest();
  GYRATOR_ASSIGN_OR_RETURN(const std::string found, model->WeightsDigest(true));
  progress.Clear();
  if (known && known != found) {
    return Status::Corruption(model->info().path + ": weights hash to " + found +
                              ", but hashed to " + *known + " before");
  }
  if (context.json) {
    return PrintJson({{"path", model->info().path},
                      {"ok", true},
                      {"hashed_before", known.has_value()},
                      {"weights_sha256", found}});
  }
  const std::string first = known ? "" : "hashed for the first time: nothing to compare it with\n";
  return PrintText("ok " + Printable(model->info().path) + "\nweights sha256 " + found + "\n" +
                   first);
}

}  // namespace gyrator::cli
