#include "control/model/diff.h"

#include <utility>

namespace sluice {
namespace {

// Room for the tag and length of an element beside its own bytes.
constexpr std::size_t kElementOverhead = 8;

template <typename Map>
void compare(const Map& wanted, const Map& reported, DifferenceBuilder* builder) {
  for (const auto& [key, value] : wanted) {
    const auto old = reported.find(key);
    builder->add(key, value.get(), old == reported.end() ? nullptr : old->second.get());
  }
  for (const auto& [key, value] : reported) {
    if (!wanted.contains(key)) builder->add(key, nullptr, value.get());
  }
}

}  // namespace

v1::ApplyPart& DifferenceBuilder::room_for(std::size_t bytes) {
  const std::size_t needed = bytes + kElementOverhead;
  if (result_.parts.empty() || used_ + needed > kMaxPartBytes) {
    result_.parts.emplace_back();
    used_ = 0;
  }
  used_ += needed;
  return result_.parts.back();
}

bool DifferenceBuilder::upserts(const google::protobuf::MessageLite* wanted,
                                const google::protobuf::MessageLite* reported) {
  if (wanted == nullptr) {
    result_.deletes += reported != nullptr ? 1 : 0;
    return false;
  }
  if (reported != nullptr && same_bytes(*wanted, *reported)) return false;
  ++result_.upserts;
  return true;
}

void DifferenceBuilder::add(const VipName& name, const v1::Vip* wanted, const v1::Vip* reported) {
  if (upserts(wanted, reported)) {
    ++result_.vips;
    *room_for(wanted->ByteSizeLong()).add_upsert_vips() = *wanted;
  } else if (wanted == nullptr && reported != nullptr) {
    v1::VipKey key = vip_key(name);
    *room_for(key.ByteSizeLong()).add_delete_vips() = std::move(key);
  }
}

void DifferenceBuilder::add(std::uint32_t id, const v1::Backend* wanted,
                            const v1::Backend* reported) {
  if (upserts(wanted, reported)) {
    *room_for(wanted->ByteSizeLong()).add_upsert_backends() = *wanted;
  } else if (wanted == nullptr && reported != nullptr) {
    room_for(sizeof id).add_delete_backends(id);
  }
}

void DifferenceBuilder::add(const IpAddress& address, const v1::ServedAddress* wanted,
                            const v1::ServedAddress* reported) {
  if (upserts(wanted, reported)) {
    *room_for(wanted->ByteSizeLong()).add_upsert_addresses() = *wanted;
  } else if (wanted == nullptr && reported != nullptr) {
    room_for(address.size()).add_delete_addresses(address.bytes());
  }
}

Difference difference(const DataplaneState& wanted, const DataplaneState& reported) {
  DifferenceBuilder builder;
  compare(wanted.addresses, reported.addresses, &builder);
  compare(wanted.backends, reported.backends, &builder);
  compare(wanted.vips, reported.vips, &builder);
  return builder.take();
}

}  // namespace sluice
