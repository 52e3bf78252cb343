// The rules of each kind, for validate(). Thread: any, pure.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "control/manifest/validate.h"

namespace sluice {

class FieldErrors {
 public:
  void add(std::string path, std::string text) {
    if (errors_.size() < kMost) errors_.push_back({std::move(path), std::move(text)});
  }
  std::vector<FieldError> take() { return std::move(errors_); }

 private:
  static constexpr std::size_t kMost = 100;
  std::vector<FieldError> errors_;
};

void check_labels(const google::protobuf::Map<std::string, std::string>& labels,
                  const std::string& path, FieldErrors* errors);
void check_service(const v1::Service& service, FieldErrors* errors);
void check_slice(const v1::EndpointSlice& slice, FieldErrors* errors);
void check_endpoints(const v1::Endpoints& endpoints, FieldErrors* errors);
void check_pod(const v1::Pod& pod, FieldErrors* errors);
void check_node(const v1::Node& node, FieldErrors* errors);
void check_pool(const v1::AddressPool& pool, FieldErrors* errors);

// Shared by the kinds.
void check_port_number(std::int64_t port, const std::string& path, FieldErrors* errors);
void check_protocol(const std::string& protocol, const std::string& path, FieldErrors* errors);
bool one_of(const std::string& value, std::initializer_list<const char*> words,
            const std::string& path, FieldErrors* errors);
bool one_of(const std::string& value, std::span<const char* const> words, const std::string& path,
            FieldErrors* errors);
// An address that endpoints may have; "IPv4", "IPv6" or empty for either.
void check_endpoint_address(const std::string& text, const std::string& family,
                            const std::string& path, FieldErrors* errors);

}  // namespace sluice
