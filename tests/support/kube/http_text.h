// The texts of HTTP answers, as kube-apiserver writes them. Thread: any.
#pragma once

#include <cstddef>
#include <string>

#include "tests/support/kube/answer.h"
#include "tests/support/kube/fault.h"
#include "tests/support/kube/request.h"

namespace sluice::test::kube {

inline constexpr std::size_t kSmallAnswer = 2048;  // Longer ones go in chunks, as from Go's server.
inline constexpr std::size_t kChunk = 16 * 1024;

std::string compressed(const std::string& text);  // gzip.
std::string head_of(const Answer& answer, bool gzip, bool chunked, std::size_t length);
// A list whose items never end, or a watch whose one event never ends: how it begins, how it goes
// on.
void endless_text(const ResourcePath& path, bool watch, std::string& first, std::string& item);
Answer asked_for(const Fault& fault, const ResourcePath& path);  // Of Fault::Kind::kStatus.

}  // namespace sluice::test::kube
