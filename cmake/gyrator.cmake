# One line a folder: sources, tests and fuzz targets are found by name, so nothing is left unlisted.

# gyrator_module(NAME DEPS... [SHARDS N]): static library gyrator_NAME of src/NAME/**.cc, and one test
# program NAME_test of src/NAME/**_test.cc. <x>_fake.cc and <x>_testing.cc belong to the tests.
function(gyrator_module name)
  cmake_parse_arguments(arg "" "SHARDS" "" ${ARGN})
  file(GLOB_RECURSE sources CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/src/${name}/*.cc)
  set(tests ${sources})
  list(FILTER sources EXCLUDE REGEX "_(test|fake|testing)\\.cc$")
  list(FILTER tests INCLUDE REGEX "_(test|fake|testing)\\.cc$")
  if(NOT sources)
    return()
  endif()
  add_library(gyrator_${name} STATIC ${sources})
  target_include_directories(gyrator_${name} PUBLIC ${PROJECT_SOURCE_DIR}/include ${PROJECT_SOURCE_DIR}/src)
  set(libraries "")
  foreach(dep ${arg_UNPARSED_ARGUMENTS})
    if(TARGET gyrator_${dep})
      list(APPEND libraries gyrator_${dep})
    elseif(NOT dep MATCHES "^(base|tensor|formats|kernels|tokenizer|model|kv|transform|store|snapshot|memory|engine)$")
      list(APPEND libraries ${dep})
    endif()
  endforeach()
  target_link_libraries(gyrator_${name} PUBLIC gyrator_options ${libraries})
  if(tests AND GYRATOR_DEV)
    gyrator_test(${name}_test SOURCES ${tests} DEPS gyrator_${name} SHARDS ${arg_SHARDS})
  endif()
endfunction()

# The one object that knows where the tree and the build folder are (src/base/source_path_testing.h).
add_library(gyrator_source_path OBJECT EXCLUDE_FROM_ALL ${PROJECT_SOURCE_DIR}/tests/source_path.cc)
target_include_directories(gyrator_source_path PUBLIC ${PROJECT_SOURCE_DIR}/src)
target_compile_features(gyrator_source_path PRIVATE cxx_std_20)
target_compile_definitions(gyrator_source_path PRIVATE
  GYRATOR_SOURCE_DIR="${PROJECT_SOURCE_DIR}" GYRATOR_BINARY_DIR="${PROJECT_BINARY_DIR}")

# gyrator_test(NAME SOURCES ... DEPS ... ARGS ... SHARDS N): a GoogleTest program run by ctest. With
# SHARDS, ctest runs its tests as NAME_1 to NAME_N, which share the cores.
function(gyrator_test name)
  cmake_parse_arguments(arg "" "SHARDS" "SOURCES;DEPS;ARGS" ${ARGN})
  add_executable(${name} ${arg_SOURCES})
  target_link_libraries(${name} PRIVATE ${arg_DEPS} gyrator_source_path GTest::gmock GTest::gtest
    GTest::gtest_main)
  # A test's own code need not be fast, and -O3 doubles the time that it takes to compile.
  target_compile_options(${name} PRIVATE $<$<CONFIG:Release>:-O1>)
  set(shards 1)
  if(arg_SHARDS)
    set(shards ${arg_SHARDS})
  endif()
  foreach(shard RANGE 1 ${shards})
    set(run ${name})
    if(shards GREATER 1)
      set(run ${name}_${shard})
    endif()
    math(EXPR index "${shard} - 1")
    add_test(NAME ${run} COMMAND ${name} --gtest_output=xml:${PROJECT_BINARY_DIR}/results/${run}.xml
      ${arg_ARGS})
    set_tests_properties(${run} PROPERTIES
      ENVIRONMENT "GTEST_TOTAL_SHARDS=${shards};GTEST_SHARD_INDEX=${index}")
  endforeach()
endfunction()

# gyrator_fuzz(NAME DEPS...): fuzz/NAME_fuzz.cc. With clang: a libFuzzer program. Otherwise: replays
# fuzz/corpus/NAME and small mutations of it, as a test.
function(gyrator_fuzz name)
  add_executable(${name}_fuzz ${PROJECT_SOURCE_DIR}/fuzz/${name}_fuzz.cc)
  target_link_libraries(${name}_fuzz PRIVATE ${ARGN})
  if(GYRATOR_LIBFUZZER)
    target_link_options(${name}_fuzz PRIVATE -fsanitize=fuzzer)
  else()
    target_sources(${name}_fuzz PRIVATE ${PROJECT_SOURCE_DIR}/fuzz/replay_main.cc)
    add_test(NAME ${name}_fuzz COMMAND ${name}_fuzz ${PROJECT_SOURCE_DIR}/fuzz/corpus/${name})
  endif()
endfunction()
