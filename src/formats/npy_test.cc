#include "formats/npy.h"

#include <gtest/gtest.h>

#include <cstring>
#include <string>

namespace gyrator {
namespace {

// A file of version `major`.0 with this header text.
std::string FileOf(const std::string& header, size_t data_bytes, char major = 1) {
  std::string text = std::string("\x93NUMPY") + major + '\0';
  const auto size = static_cast<uint32_t>(header.size());
  text.append(reinterpret_cast<const char*>(&size), major == 1 ? 2 : 4);
  return text + header + std::string(data_bytes, '\0');
}

std::string Dict(const std::string& descr, const std::string& order, const std::string& shape) {
  return "{'descr': " + descr + ", 'fortran_order': " + order + ", 'shape': " + shape + ", }";
}

std::string Good(const std::string& shape) { return Dict("'<f4'", "False", shape); }

TEST(Npy, HeadersAreReadBack) {
  const std::vector<std::pair<DType, Shape>> cases = {
      {DType::kF32, {2, 3}}, {DType::kF16, {}},           {DType::kF64, {5}},
      {DType::kI8, {0}},     {DType::kI16, {1, 2, 3, 4}}, {DType::kI32, {1, 128}},
      {DType::kI64, {1, 7}}, {DType::kU8, {3, 0, 2}},     {DType::kU16, {2}},
      {DType::kU32, {2}},    {DType::kU64, {2}},          {DType::kBool, {2, 2}},
  };
  for (const auto& [dtype, shape] : cases) {
    const std::string header = NpyHeader(dtype, shape);
    EXPECT_EQ(0u, header.size() % 64);
    const std::string text = header + std::string(*TensorBytes(dtype, shape), 'x');
    const auto array = ParseNpy(AsBytes(text));
    ASSERT_TRUE(array.ok()) << array.status().ToString();
    EXPECT_EQ(dtype, array->dtype);
    EXPECT_EQ(shape, array->shape);
    EXPECT_TRUE(array->IsNative());
    EXPECT_EQ(text.substr(header.size()), AsText(array->data));
    EXPECT_EQ(text.data() + header.size(), AsText(array->view().bytes).data());
  }
  EXPECT_EQ(NpyHeader(DType::kU16, {3, 4}), NpyHeader(DType::kBF16, {3, 4}));
}

TEST(Npy, EveryWayToWriteAHeaderIsRead) {
  for (const std::string& header : {
           Good("(1, 2)"),
           Good("(1, 2,)"),
           Good("(2,)"),
           Good("( 2 , )"),
           Good("(2L, 1L)"),
           std::string("{'shape':(2,),'descr':'<f4','fortran_order':False}"),
           std::string("{\"descr\": \"<f4\", \"shape\": (2,), \"fortran_order\": False}  \n"),
           std::string("\n{ 'descr'\t:'<f4','fortran_order': True,'shape': (2,) , }\n"),
       }) {
    const auto array = ParseNpy(AsBytes(FileOf(header, 8)));
    EXPECT_TRUE(array.ok()) << header << ": " << array.status().ToString();
  }
  for (char major : {'\x01', '\x02', '\x03'}) {
    EXPECT_TRUE(ParseNpy(AsBytes(FileOf(Good("()"), 4, major))).ok()) << int{major};
  }
}

TEST(Npy, FortranAndBigEndianBecomeNative) {
  // 0..5 as [2, 3] in Fortran order lie as 0 3 1 4 2 5.
  const std::string header = Dict("'>u2'", "True", "(2, 3)");
  std::string text = FileOf(header, 0);
  for (char value : {0, 3, 1, 4, 2, 5}) text += {'\x10', value};
  const auto array = ParseNpy(AsBytes(text));
  ASSERT_TRUE(array.ok()) << array.status().ToString();
  EXPECT_TRUE(array->fortran_order && array->big_endian && !array->IsNative());
  const std::vector<std::byte> native = NativeCopy(*array);
  ASSERT_EQ(12u, native.size());
  for (uint16_t i = 0; i < 6; ++i) {
    uint16_t value;
    std::memcpy(&value, native.data() + 2 * i, 2);
    EXPECT_EQ(0x1000 + i, value);
  }
}

TEST(Npy, NativeCopyOfNativeIsTheData) {
  const std::string text = NpyHeader(DType::kU8, {3}) + "abc";
  const auto array = ParseNpy(AsBytes(text));
  ASSERT_TRUE(array.ok());
  EXPECT_EQ("abc", AsText(NativeCopy(*array)));
  // Nothing to walk over.
  const std::string none = FileOf(Dict("'>f8'", "True", "(3, 0, 2)"), 0);
  const auto empty = ParseNpy(AsBytes(none));
  ASSERT_TRUE(empty.ok());
  EXPECT_TRUE(NativeCopy(*empty).empty());
}

struct BrokenFile {
  const char* what;
  std::string text;
  Code code;
  const char* message;  // part of it
};

std::vector<BrokenFile> BrokenFiles() {
  const Code bad = Code::kCorruption;
  const Code foreign = Code::kUnsupported;
  const std::string magic = "\x93NUMPY";
  const std::string dims65 = [] {
    std::string shape = "(";
    for (int i = 0; i < 65; ++i) shape += "1,";
    return shape + ")";
  }();
  return {
      {"empty file", "", bad, "truncated"},
      {"magic cut", "\x93NUM", bad, "truncated"},
      {"wrong magic", "\x93NUMPX" + FileOf(Good("()"), 4).substr(6), bad, "magic"},
      {"no version", magic, bad, "truncated"},
      {"version 0", FileOf(Good("()"), 4, '\0'), foreign, "version 0.0"},
      {"version 4", FileOf(Good("()"), 4, '\x04'), foreign, "version 4.0"},
      {"version 1.1", magic + "\x01\x01", foreign, "version 1.1"},
      {"no length", magic + std::string("\x01\0\x10", 3), bad, "truncated"},
      {"header cut", magic + std::string("\x01\0\xff\0{'descr'", 12), bad, "truncated"},
      {"header of 4 GB", magic + std::string("\x02\0\xff\xff\xff\xff", 6), bad, "at most 10000"},
      {"header of 10,001 bytes", FileOf(std::string(10'001, ' '), 0), bad, "at most 10000"},
      {"empty header", FileOf("", 4), bad, "expected '{'"},
      {"no dict", FileOf("('<f4', False, ())", 4), bad, "expected '{'"},
      {"dict not closed", FileOf("{'descr': '<f4', ", 4), bad, "expected a string"},
      {"text after the dict", FileOf(Good("()") + "x", 4), bad, "end of the header"},
      {"NUL after the dict", FileOf(Good("()") + std::string(1, '\0'), 4), bad,
       "end of the header"},
      {"key unknown", FileOf("{'shape': (), 'order': 1}", 4), bad, "'order'"},
      {"key twice", FileOf("{'shape': (), 'shape': ()}", 4), bad, "'shape'"},
      {"key is a number", FileOf("{1: 2}", 4), bad, "expected a string"},
      {"no colon", FileOf("{'shape' ()}", 4), bad, "expected ':'"},
      {"no comma", FileOf("{'shape': () 'descr': '<f4'}", 4), bad, "expected ','"},
      {"no descr", FileOf("{'fortran_order': False, 'shape': ()}", 4), bad, "lacks"},
      {"no shape", FileOf("{'fortran_order': False, 'descr': '<f4'}", 4), bad, "lacks"},
      {"no order", FileOf("{'shape': (), 'descr': '<f4'}", 4), bad, "lacks"},
      {"order is 0", FileOf(Dict("'<f4'", "0", "()"), 4), bad, "True or False"},
      {"quote open", FileOf("{'descr: <f4}", 4), bad, "closing quote"},
      {"escape", FileOf(Dict("'\\x3cf4'", "False", "()"), 4), bad, "escapes"},
      {"pickled objects", FileOf(Dict("'|O'", "False", "()"), 8), foreign, "'|O'"},
      {"structured", FileOf(Dict("[('a', '<f4')]", "False", "()"), 4), foreign, "structured"},
      {"complex", FileOf(Dict("'<c8'", "False", "()"), 8), foreign, "'<c8'"},
      {"text", FileOf(Dict("'<U4'", "False", "()"), 16), foreign, "'<U4'"},
      {"raw", FileOf(Dict("'|V2'", "False", "()"), 2), foreign, "'|V2'"},
      {"no byte order", FileOf(Dict("'f4'", "False", "()"), 4), foreign, "'f4'"},
      {"native byte order", FileOf(Dict("'=f4'", "False", "()"), 4), foreign, "'=f4'"},
      {"byte order of no use", FileOf(Dict("'|f4'", "False", "()"), 4), foreign, "'|f4'"},
      {"empty descr", FileOf(Dict("''", "False", "()"), 4), foreign, "''"},
      {"shape is a list", FileOf(Good("[1]"), 4), bad, "expected '('"},
      {"shape is a number", FileOf(Good("1"), 4), bad, "expected '('"},
      {"one in brackets", FileOf(Good("(1)"), 4), bad, "a tuple"},
      {"lonely comma", FileOf(Good("(,)"), 4), bad, "whole number"},
      {"two commas", FileOf(Good("(1,,)"), 4), bad, "whole number"},
      {"no comma in the shape", FileOf(Good("(1 1)"), 4), bad, "',' or ')'"},
      {"negative dimension", FileOf(Good("(-1,)"), 4), bad, "whole number"},
      {"broken dimension", FileOf(Good("(1.0,)"), 4), bad, "',' or ')'"},
      {"octal dimension", FileOf(Good("(01,)"), 4), bad, "whole number"},
      {"dimension of 2^63", FileOf(Good("(9223372036854775808,)"), 4), bad, "2^63"},
      {"shape overflows", FileOf(Good("(4294967296, 4294967296)"), 4), bad, "overflows"},
      {"bytes overflow", FileOf(Good("(9223372036854775807,)"), 4), bad, "overflows"},
      {"65 dimensions", FileOf(Good(dims65), 4), bad, "64 dimensions"},
      {"data cut", FileOf(Good("(2,)"), 7), bad, "7 bytes of data, expected 8"},
      {"bytes after the data", FileOf(Good("(2,)"), 9), bad, "9 bytes of data, expected 8"},
      {"a petabyte that is not there", FileOf(Good("(1000000, 1000000, 1000)"), 4), bad,
       "4 bytes of data"},
  };
}

TEST(Npy, BrokenFilesAreRefusedByName) {
  for (const BrokenFile& broken : BrokenFiles()) {
    const auto array = ParseNpy(AsBytes(broken.text));
    ASSERT_FALSE(array.ok()) << broken.what;
    EXPECT_EQ(broken.code, array.status().code()) << broken.what;
    EXPECT_NE(std::string::npos, array.status().message().find(broken.message))
        << broken.what << ": " << array.status().message();
  }
}

}  // namespace
}  // namespace gyrator
