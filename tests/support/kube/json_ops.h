// JSON operations of the API's writes: the patch types, paths, and YAML as JSON.
// Ownership: by value. Thread: any. Errors: Result with a text for the answer.
// Source: RFC 7386 (merge patch), RFC 6902 (JSON patch), Kubernetes' strategic merge patch.
#pragma once

#include <boost/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "proto/result.h"

namespace sluice::test::kube {

namespace json = boost::json;

// The keys of the associative list at a path ("status.conditions"): empty: the list is atomic.
std::vector<std::string_view> list_keys(std::string_view kind, const std::string& path);

void merge_patch(json::value& target, const json::value& patch);
// Lists with keys are merged by them, others replaced; `$patch: delete` and `$patch: replace` are
// known.
void strategic_merge(json::value& target, const json::value& patch, std::string_view kind,
                     const std::string& path = "");
Status json_patch(json::value& target, const json::value& patch);

Result<json::object> parse_object(const std::string& text);
Result<json::value> yaml_to_json(const std::string& text);  // One document.
Result<std::vector<json::value>> yaml_documents(const std::string& text);

// Members by names; nullptr where one is absent or no object.
const json::value* at(const json::value& value, std::initializer_list<std::string_view> names);
const json::value* at(const json::object& object, std::initializer_list<std::string_view> names);
std::string text_at(const json::object& object, std::initializer_list<std::string_view> names);
json::object& child(json::object& object, std::string_view name);  // Made where absent.
// Removes a member, the order of the others kept.
void drop(json::object& object, std::string_view name);
// Without the order of members.
bool equal(const json::value& one, const json::value& other);

}  // namespace sluice::test::kube
