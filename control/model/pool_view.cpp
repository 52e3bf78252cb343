#include "control/model/pool_view.h"

#include <algorithm>
#include <tuple>

namespace sluice {
namespace {

// Kubernetes gives it to every Namespace.
constexpr const char* kNamespaceNameLabel = "kubernetes.io/metadata.name";
constexpr std::size_t kLongestText = 500;

std::string joined(const google::protobuf::RepeatedPtrField<std::string>& parts) {
  std::string text;
  for (const std::string& part : parts) {
    if (text.size() > kLongestText) return text + ", ...";
    text += (text.empty() ? "" : ", ") + part;
  }
  return text;
}

bool lists(const google::protobuf::RepeatedPtrField<std::string>& names, const std::string& name) {
  return names.empty() || std::find(names.begin(), names.end(), name) != names.end();
}

const std::string* find_label(const v1::ObjectMeta& metadata, const std::string& key) {
  const auto at = metadata.labels().find(key);
  return at == metadata.labels().end() ? nullptr : &at->second;
}

}  // namespace

PoolView::PoolView(const v1::AddressPool& pool)
    : pool_(&pool),
      narrowed_(!spec().clusters().empty() || !spec().namespaces().empty() ||
                !is_empty(spec().namespace_selector()) || !is_empty(spec().service_selector())) {
  for (const std::string& text : spec().addresses()) {
    auto range = AddressRange::parse(text);
    if (!range) continue;
    ranges_.push_back({*range, range->first_automatic()});
  }
  ranges_text_ = joined(spec().addresses());
  std::sort(ranges_.begin(), ranges_.end(),
            [](const Range& a, const Range& b) { return a.range.first < b.range.first; });
}

Sharing PoolView::sharing() const {
  if (spec().sharing() == "any") return Sharing::anywhere;
  return spec().sharing() == "cluster" ? Sharing::in_cluster : Sharing::in_namespace;
}

bool PoolView::contains(const IpAddress& address) const {
  return std::any_of(ranges_.begin(), ranges_.end(),
                     [&](const Range& r) { return r.range.contains(address); });
}

bool PoolView::has_family(IpFamily family) const {
  return std::any_of(ranges_.begin(), ranges_.end(),
                     [&](const Range& r) { return family_of(r.range.first) == family; });
}

Admission PoolView::admits(const Applicant& who) const {
  if (!narrowed_) return {};
  const AddressRequest& request = *who.request;
  if (!lists(spec().clusters(), request.service.source)) {
    return {Match::no, "is for clusters " + joined(spec().clusters()) + " alone"};
  }
  if (!lists(spec().namespaces(), request.service.ns)) {
    return {Match::no, "is for namespaces " + joined(spec().namespaces()) + " alone"};
  }
  const auto own_label = [&](const std::string& key) {
    const bool there = request.object != nullptr;
    return Label{true, there ? find_label(request.object->service().metadata(), key) : nullptr};
  };
  if (match(spec().service_selector(), own_label) != Match::yes) {
    return {Match::no,
            "is for Services with labels " + selector_text(spec().service_selector()) + " alone"};
  }
  return by_namespace_labels(who);
}

Admission PoolView::by_namespace_labels(const Applicant& who) const {
  const ServiceKey& service = who.request->service;
  const auto namespace_label = [&](const std::string& key) {
    if (key == kNamespaceNameLabel) return Label{true, &service.ns};
    return Label{who.ns != nullptr, who.ns ? find_label(who.ns->metadata(), key) : nullptr};
  };
  const Match matched = match(spec().namespace_selector(), namespace_label);
  if (matched == Match::yes) return {};
  const std::string labels = selector_text(spec().namespace_selector());
  if (matched == Match::no) {
    return {Match::no, "is for namespaces with labels " + labels + " alone"};
  }
  // What is manual is known as a whole: a Namespace nobody applied will not come by itself.
  const bool manual = service.source == kManualSource;
  return {manual ? Match::no : Match::unknown,
          "is for namespaces with labels " + labels + ", and those of namespace " + service.ns +
              " are not known" + (manual ? "; apply the Namespace" : " yet")};
}

std::optional<IpAddress> PoolView::lowest_free(
    IpFamily family, const std::function<bool(const IpAddress&)>& is_free) {
  for (Range& r : ranges_) {
    if (family_of(r.range.first) != family) continue;
    const IpAddress last = r.range.last_automatic();
    while (r.next) {
      const IpAddress address = *r.next;
      if (is_free(address)) return address;
      r.next = address == last ? std::nullopt : std::optional(address.next());
    }
  }
  return std::nullopt;
}

std::string PoolView::text() const {
  return name() + " (" + ranges_text_ + ")";
}

Pools::Pools(const std::map<std::string, ObjectPointer>& objects) {
  for (const auto& [name, object] : objects) views_.emplace_back(object->address_pool());
  std::sort(views_.begin(), views_.end(), [](const PoolView& a, const PoolView& b) {
    return std::tuple(-static_cast<long>(a.priority()), a.name()) <
           std::tuple(-static_cast<long>(b.priority()), b.name());
  });
  for (const PoolView& view : views_) by_name_[view.name()] = &view;
}

const PoolView* Pools::find(std::string_view name) const {
  const auto at = by_name_.find(name);
  return at == by_name_.end() ? nullptr : at->second;
}

Sharing Pools::sharing(std::string_view name) const {
  const PoolView* pool = find(name);
  return pool == nullptr ? Sharing::in_namespace : pool->sharing();
}

std::string Pools::text() const {
  if (views_.empty()) return "there is no AddressPool; apply one";
  std::string list;
  for (const PoolView& pool : views_) {
    if (list.size() > kLongestText) return "pools: " + list + ", ...";
    list += (list.empty() ? "" : ", ") + pool.text();
  }
  return "pools: " + list;
}

}  // namespace sluice
