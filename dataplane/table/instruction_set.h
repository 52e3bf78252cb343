// InstructionSet: which of the compiled variants of a hot loop runs; chosen once, at the start.
// Everything else is compiled for the base, x86-64-v2.
//
// Thread: any, pure. Errors: a set that this machine lacks, or an unknown name, is refused with
// what would be right.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "proto/result.h"

namespace sluice {

enum class InstructionSet : std::uint8_t { scalar, sse, avx2, avx512 };

std::string_view instruction_set_name(InstructionSet set);

// Those that both the CPU and the kernel (which must save the registers) support, ascending.
std::vector<InstructionSet> supported_instruction_sets();

// `wanted`: "auto", the fastest of `supported`, or a name. `supported` holds scalar at least.
Result<InstructionSet> choose_instruction_set(
    std::string_view wanted,
    const std::vector<InstructionSet>& supported = supported_instruction_sets());

// What "auto" means on this machine.
InstructionSet fastest_instruction_set();

}  // namespace sluice
