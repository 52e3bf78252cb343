#include "control/model/diff.h"

#include <utility>

#include "proto/wire.h"

namespace sluice {
namespace {

using Part = v1::ApplyPart;

// Room for the tag and length of an element beside its own bytes.
constexpr std::size_t kElementOverhead = 8;

template <typename Map>
void compare(const Map& wanted, const Map& reported, DifferenceBuilder* builder) {
  const typename Map::mapped_type none{};
  for (const auto& [key, value] : wanted) {
    const auto old = reported.find(key);
    builder->add(key, value, old == reported.end() ? none : old->second);
  }
  for (const auto& [key, value] : reported) {
    if (!wanted.contains(key)) builder->add(key, none, value);
  }
}

}  // namespace

template <typename Value>
DifferenceBuilder::Step DifferenceBuilder::step(const Value& wanted, const Value& reported) {
  if (!wanted) {
    if (!reported) return Step::none;
    ++result_.deletes;
    return Step::remove;
  }
  if (same_value(wanted, reported)) return Step::none;
  ++result_.upserts;
  return Step::upsert;
}

std::string& DifferenceBuilder::begin_element(std::uint32_t field, std::size_t bytes) {
  std::vector<std::string>& parts = result_.parts;
  if (parts.empty() || parts.back().size() + bytes + kElementOverhead > kMaxPartBytes)
    parts.emplace_back();
  append_frame(field, bytes, &parts.back());
  return parts.back();
}

void DifferenceBuilder::append(std::uint32_t field, const google::protobuf::MessageLite& message) {
  message.AppendToString(&begin_element(field, message.ByteSizeLong()));
}

void DifferenceBuilder::add(const VipName& name, const Shared<v1::Vip>& wanted,
                            const Shared<v1::Vip>& reported) {
  const Step what = step(wanted, reported);
  if (what == Step::remove) append(Part::kDeleteVipsFieldNumber, vip_key(name));
  if (what != Step::upsert) return;
  ++result_.vips;
  append(Part::kUpsertVipsFieldNumber, *wanted);
}

void DifferenceBuilder::add(std::uint32_t id, const EncodedBackend& wanted,
                            const EncodedBackend& reported) {
  const Step what = step(wanted, reported);
  if (what == Step::upsert) {
    const std::string_view bytes = wanted.bytes();
    begin_element(Part::kUpsertBackendsFieldNumber, bytes.size()) += bytes;
  } else if (what == Step::remove) {
    // A packed field may come in any number of pieces.
    std::string packed;
    append_varint(id, &packed);
    begin_element(Part::kDeleteBackendsFieldNumber, packed.size()) += packed;
  }
}

void DifferenceBuilder::add(const IpAddress& address, const Shared<v1::ServedAddress>& wanted,
                            const Shared<v1::ServedAddress>& reported) {
  const Step what = step(wanted, reported);
  if (what == Step::upsert) append(Part::kUpsertAddressesFieldNumber, *wanted);
  if (what == Step::remove)
    begin_element(Part::kDeleteAddressesFieldNumber, address.size()) += address.bytes();
}

Difference difference(const DataplaneState& wanted, const DataplaneState& reported) {
  DifferenceBuilder builder;
  compare(wanted.addresses, reported.addresses, &builder);
  compare(wanted.backends, reported.backends, &builder);
  compare(wanted.vips, reported.vips, &builder);
  return builder.take();
}

}  // namespace sluice
