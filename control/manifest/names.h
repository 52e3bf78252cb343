// What Kubernetes takes for names: RFC 1123 label (at most 63) and subdomain (at most 253), label
// keys and values, IANA port names. Thread: any, pure. Source: Kubernetes, "Object Names and IDs",
// "Labels".
#pragma once

#include <string>

namespace sluice {

bool is_dns_label(const std::string& text);
bool is_dns_subdomain(const std::string& text);
bool is_label_key(const std::string& text);
bool is_label_value(const std::string& text);
bool is_port_name(const std::string& text);

}  // namespace sluice
