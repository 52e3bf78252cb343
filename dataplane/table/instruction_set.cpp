#include "dataplane/table/instruction_set.h"

#include <algorithm>
#include <string>

namespace sluice {
namespace {

constexpr std::string_view kNames[] = {"scalar", "sse", "avx2", "avx512"};

// The flags are those that CMakeLists.txt compiles the variant with.
bool is_supported(InstructionSet set) {
  switch (set) {
    case InstructionSet::avx512:
      return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
             __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
    case InstructionSet::avx2:
      return __builtin_cpu_supports("avx2");
    default:
      return true;
  }
}

}  // namespace

std::string_view instruction_set_name(InstructionSet set) {
  return kNames[static_cast<unsigned>(set)];
}

std::vector<InstructionSet> supported_instruction_sets() {
  __builtin_cpu_init();  // A static object's constructor may ask before it ran by itself.
  std::vector<InstructionSet> sets;
  for (unsigned i = 0; i < std::size(kNames); ++i) {
    const auto set = static_cast<InstructionSet>(i);
    if (is_supported(set)) sets.push_back(set);
  }
  return sets;
}

Result<InstructionSet> choose_instruction_set(std::string_view wanted,
                                              const std::vector<InstructionSet>& supported) {
  // None was measured to be slower than the one before it, by tests/bench/table_bench.cpp.
  if (wanted == "auto") return *std::max_element(supported.begin(), supported.end());
  std::string right = "auto";
  for (const InstructionSet set : supported) {
    const std::string_view name = instruction_set_name(set);
    if (wanted == name) return set;
    right.append(", ").append(name);
  }
  const bool known = std::find(std::begin(kNames), std::end(kNames), wanted) != std::end(kNames);
  return Error{
      "\"" + std::string(wanted) + "\" is " +
      (known ? "not supported by this machine's CPU, hypervisor or kernel" : "no instruction set") +
      "; right here are: " + right};
}

InstructionSet fastest_instruction_set() {
  static const InstructionSet fastest = *choose_instruction_set("auto");
  return fastest;
}

}  // namespace sluice
