// Small texts of stored objects. Thread: any.
#pragma once

#include <boost/json.hpp>
#include <string>

#include "tests/support/kube/store.h"

namespace sluice::test::kube {

std::string key_of(const Stored& object);  // "namespace/name" or "name".
std::string now_text();                    // "2026-11-22T15:59:29Z"
std::string random_uid();
std::string random_suffix();  // Five characters, as generateName gets.

Answer with_object(unsigned status, const std::string& object);
bool has_finalizers(const boost::json::object& object);

}  // namespace sluice::test::kube
