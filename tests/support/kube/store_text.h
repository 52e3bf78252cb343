// Small texts of stored objects. Thread: any.
#pragma once

#include <string>

#include "tests/support/kube/store.h"

namespace sluice::test::kube {

std::string key_of(const Stored& object);  // "namespace/name" or "name".
std::string now_text();                    // "2026-11-22T15:59:29Z"
std::string random_uid();
std::string random_suffix();  // Five characters, as generateName gets.

}  // namespace sluice::test::kube
