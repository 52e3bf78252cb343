// How libFuzzer calls a fuzzer that defines run() (fuzz.h): without protobuf's own words about
// input that does not parse.
#include <google/protobuf/stubs/logging.h>

#include "tests/fuzz/fuzz.h"

extern "C" int LLVMFuzzerInitialize(int*, char***) {
  google::protobuf::SetLogHandler(nullptr);
  return 0;
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  sluice::fuzz::run({data, size});
  return 0;
}
