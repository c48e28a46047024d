// What -m may be given by mistake: each is told apart, with what to give.
#include "engine/model_path.h"

#include <sys/stat.h>

#include "base/failing_calls_testing.h"
#include "base/source_path_testing.h"
#include "engine/weights_testing.h"
#include "gyrator/model.h"

namespace gyrator {
namespace {

class ModelPathTest : public testing::Test {
 protected:
  std::string Put(const std::string& name, const std::string& text = "{}") {
    const std::string path = folder_ + "/" + name;
    std::filesystem::create_directories(std::filesystem::path(path).parent_path());
    WriteAllOf(path, text);
    return path;
  }

  // The model and its text side are refused alike.
  static void ExpectRefused(const std::string& path, Code code,
                            const std::vector<std::string>& parts) {
    for (const Status& status : {Model::Load(path, {}).status(), TextModel::Load(path).status()}) {
      EXPECT_EQ(code, status.code()) << path << ": " << status.ToString();
      for (const std::string& part : parts) {
        EXPECT_NE(std::string::npos, status.message().find(part)) << status.message();
      }
    }
  }

  const std::string folder_ = FreshFolder();
};

TEST_F(ModelPathTest, NothingThere) {
  ExpectRefused(folder_ + "/nothing", Code::kNotFound, {"/nothing: no such model file or folder"});
  ExpectRefused(folder_ + "/nothing.gguf", Code::kNotFound, {"no such model file or folder"});
}

TEST_F(ModelPathTest, ANameOfAHubIsToldApart) {
  for (const char* name : {"HuggingFaceTB/SmolLM2-135M-Instruct", "org/m", "a.b/c_d"}) {
    ExpectRefused(name, Code::kNotFound, {name, "name of a model on a hub", "download the model"});
  }
  for (const char* path : {"models/other.gguf", "./model", "a/b/c", "nothing", "../up", "x/"}) {
    const Status status = ClassifyModelPath(path).status();
    EXPECT_EQ(Code::kNotFound, status.code());
    EXPECT_EQ(std::string::npos, status.message().find("hub")) << path;
  }
}

TEST_F(ModelPathTest, AFileOfAFolderIsNamedWithItsFolder) {
  Put("m/config.json");
  for (const char* name :
       {"m/config.json", "m/model.safetensors", "m/tokenizer.json", "m/tokenizer_config.json",
        "m/chat_template.jinja", "m/model-00001-of-00002.safetensors"}) {
    ExpectRefused(Put(name), Code::kInvalidArgument,
                  {name, "a file of a model folder", "give the folder: " + folder_ + "/m"});
  }
  const std::string gguf =
      ReadSmallFile(SourcePath("tests/golden/models/llama3.f32.gguf"), 1 << 24).operator*();
  EXPECT_TRUE(Model::Load(Put("odd.model", gguf), {}).ok());  // its bytes say what it is
}

TEST_F(ModelPathTest, AFolderOfGgufFilesListsThem) {
  Put("g/b.gguf");
  ExpectRefused(folder_ + "/g", Code::kNotFound,
                {"config.json", "give one of them: ", "/g/b.gguf"});
  Put("g/a.gguf");
  ExpectRefused(folder_ + "/g", Code::kNotFound, {"/g/a.gguf, " + folder_ + "/g/b.gguf"});
  for (int i = 10; i < 20; ++i) Put("g/c" + std::to_string(i) + ".gguf");
  ExpectRefused(folder_ + "/g", Code::kNotFound, {"c15.gguf, ..."});
}

// A later part of a split file is none that can be given.
TEST_F(ModelPathTest, AFolderOfPartsListsTheFirst) {
  Put("g/m-00002-of-00002.gguf");
  Put("g/m-00001-of-00002.gguf");
  Put("g/z.gguf");
  ExpectRefused(
      folder_ + "/g", Code::kNotFound,
      {"give one of them: " + folder_ + "/g/m-00001-of-00002.gguf, " + folder_ + "/g/z.gguf"});
}

TEST_F(ModelPathTest, AFolderWithoutAModelSaysWhatItLacks) {
  ExpectRefused(folder_, Code::kNotFound, {"expected a model folder with a config.json"});
  Put("readme.md");
  ExpectRefused(folder_, Code::kNotFound, {"without a GGUF file"});
}

// Opening a pipe waits for its writer, who may never come.
TEST_F(ModelPathTest, PipesAndDevicesAreRefusedWithoutWaiting) {
  const std::string pipe = folder_ + "/pipe";
  ASSERT_EQ(0, ::mkfifo(pipe.c_str(), 0600));
  ExpectRefused(pipe, Code::kInvalidArgument, {pipe, "not a regular file", "found a pipe"});
  ExpectRefused("/dev/null", Code::kInvalidArgument, {"/dev/null", "found a device"});
  std::filesystem::create_directory(folder_ + "/m");
  ASSERT_EQ(0, ::mkfifo((folder_ + "/m/config.json").c_str(), 0600));
  const Status status = Model::Load(folder_ + "/m", {}).status();
  EXPECT_EQ(Code::kInvalidArgument, status.code());
  EXPECT_NE(std::string::npos, status.message().find("config.json: not a regular file"));
}

TEST_F(ModelPathTest, WhatCannotBeLookedAtIsNotSaidToBeAbsent) {
  const std::string path = Put("folder/config.json");
  const std::string folder = std::filesystem::path(path).parent_path().string();
  EXPECT_EQ(0, WithoutCall(SYS_newfstatat, [&] {
              return ClassifyModelPath(folder).status().code() == Code::kIo ? 0 : 1;
            }));
  EXPECT_TRUE(ClassifyModelPath(folder).ok());
}

}  // namespace
}  // namespace gyrator
