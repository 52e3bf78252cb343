// Address pools: what is checked before one is written.
#include <set>
#include <vector>

#include "control/manifest/object_rules.h"
#include "proto/address_range.h"
#include "proto/forwarding_names.h"

namespace sluice {
namespace {

constexpr int kMaxPoolRanges = 1000;
constexpr int kMaxNames = 1000;
constexpr int kMaxTerms = 100;

std::string element(const std::string& path, int index) {
  return path + "[" + std::to_string(index) + "]";
}

void check_ranges(const v1::AddressPoolSpec& spec, FieldErrors* errors) {
  if (spec.addresses().empty()) {
    errors->add("spec.addresses",
                "is empty; name at least one prefix or range, such as 192.0.2.0/24");
  }
  if (spec.addresses_size() > kMaxPoolRanges) {
    errors->add("spec.addresses", std::to_string(spec.addresses_size()) + " ranges; at most " +
                                      std::to_string(kMaxPoolRanges) + " are allowed");
    return;
  }
  std::vector<AddressRange> ranges;
  for (int i = 0; i < spec.addresses_size(); ++i) {
    const std::string path = element("spec.addresses", i);
    const auto range = AddressRange::parse(spec.addresses(i));
    if (!range) {
      errors->add(path, "\"" + spec.addresses(i) + "\" " + range.error());
      continue;
    }
    for (const IpAddress& end : {range->first, range->last}) {
      if (!end.is_unspecified() && !end.is_loopback() && !end.is_multicast() &&
          !end.is_link_local()) {
        continue;
      }
      errors->add(path, "\"" + spec.addresses(i) +
                            "\" has unspecified, loopback, link-local or multicast addresses");
      break;
    }
    if ((range->first.is_v4() && range->size() > (1u << 24))) {
      errors->add(path, "\"" + spec.addresses(i) + "\" is larger than a /8; name less");
    }
    for (const AddressRange& other : ranges) {
      if (!other.overlaps(*range)) continue;
      errors->add(path, "\"" + spec.addresses(i) + "\" overlaps another range of this pool");
      break;
    }
    ranges.push_back(*range);
  }
}

// As the API server checks a LabelSelector.
void check_term(const v1::LabelSelectorRequirement& term, const std::string& path,
                FieldErrors* errors) {
  if (!is_label_key(term.key())) {
    errors->add(path + ".key",
                "\"" + term.key() + "\" is not a label key such as example.com/name");
  }
  if (!one_of(term.operator_(), {"In", "NotIn", "Exists", "DoesNotExist"}, path + ".operator",
              errors)) {
    return;
  }
  const bool lists = term.operator_() == "In" || term.operator_() == "NotIn";
  if (lists && term.values().empty()) {
    errors->add(path + ".values", "is empty; " + term.operator_() + " needs at least one value");
  }
  if (!lists && !term.values().empty()) {
    errors->add(path + ".values", "does not go with " + term.operator_() + "; leave it out");
  }
  for (int i = 0; i < term.values_size(); ++i) {
    if (is_label_value(term.values(i))) continue;
    errors->add(element(path + ".values", i), "\"" + term.values(i) + "\" is not a label value");
  }
}

void check_selector(const v1::LabelSelector& selector, const std::string& path,
                    FieldErrors* errors) {
  check_labels(selector.match_labels(), path + ".matchLabels", errors);
  if (selector.match_expressions_size() > kMaxTerms) {
    errors->add(path + ".matchExpressions", std::to_string(selector.match_expressions_size()) +
                                                " terms; at most " + std::to_string(kMaxTerms) +
                                                " are allowed");
    return;
  }
  for (int i = 0; i < selector.match_expressions_size(); ++i) {
    check_term(selector.match_expressions(i), element(path + ".matchExpressions", i), errors);
  }
}

// Of clusters and of namespaces: DNS labels both.
void check_names(const google::protobuf::RepeatedPtrField<std::string>& names,
                 const std::string& path, FieldErrors* errors) {
  if (names.size() > kMaxNames) {
    errors->add(path, std::to_string(names.size()) + " names; at most " +
                          std::to_string(kMaxNames) + " are allowed");
    return;
  }
  std::set<std::string> seen;
  for (int i = 0; i < names.size(); ++i) {
    if (!is_dns_label(names[i])) {
      errors->add(element(path, i), "\"" + names[i] + "\" is not a DNS label: at most 63 " +
                                        "lower-case letters, digits and '-'");
    } else if (!seen.insert(names[i]).second) {
      errors->add(element(path, i), "\"" + names[i] + "\" is given twice");
    }
  }
}

}  // namespace

void check_pool(const v1::AddressPool& pool, FieldErrors* errors) {
  const v1::AddressPoolSpec& spec = pool.spec();
  check_ranges(spec, errors);
  check_names(spec.clusters(), "spec.clusters", errors);
  check_names(spec.namespaces(), "spec.namespaces", errors);
  check_selector(spec.namespace_selector(), "spec.namespaceSelector", errors);
  check_selector(spec.service_selector(), "spec.serviceSelector", errors);
  if (!spec.forwarding_mode().empty()) {
    one_of(spec.forwarding_mode(), kForwardingModeNames, "spec.forwardingMode", errors);
  }
  if (!spec.overlay().empty()) one_of(spec.overlay(), kOverlayNames, "spec.overlay", errors);
  if (!spec.unserved_ports().empty()) {
    one_of(spec.unserved_ports(), {"reject", "drop"}, "spec.unservedPorts", errors);
  }
  if (!spec.sharing().empty()) {
    one_of(spec.sharing(), {"namespace", "cluster", "any"}, "spec.sharing", errors);
  }
}

}  // namespace sluice
