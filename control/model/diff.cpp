#include "control/model/diff.h"

#include <utility>

namespace sluice {
namespace {

// Room for the tag and length of an element beside its own bytes.
constexpr std::size_t kElementOverhead = 8;

class Parts {
 public:
  // The part an element of so many bytes goes into.
  v1::ApplyPart& room_for(std::size_t bytes) {
    const std::size_t needed = bytes + kElementOverhead;
    if (result.parts.empty() || used_ + needed > kMaxPartBytes) {
      result.parts.emplace_back();
      used_ = 0;
    }
    used_ += needed;
    return result.parts.back();
  }

  Difference result;

 private:
  std::size_t used_ = 0;
};

bool same(const google::protobuf::MessageLite& a, const google::protobuf::MessageLite& b) {
  return a.SerializeAsString() ==
         b.SerializeAsString();  // No maps inside: the bytes are canonical.
}

// Calls upsert(value) and remove(key) for what turns `reported` into `desired`.
template <typename Map, typename Upsert, typename Remove>
void compare(const Map& desired, const Map& reported, Upsert upsert, Remove remove) {
  for (const auto& [key, value] : desired) {
    const auto old = reported.find(key);
    if (old == reported.end() || !same(old->second, value)) upsert(value);
  }
  for (const auto& [key, value] : reported) {
    if (!desired.contains(key)) remove(key);
  }
}

}  // namespace

Difference difference(const DataplaneState& desired, const DataplaneState& reported) {
  Parts parts;
  Difference& counts = parts.result;
  compare(
      desired.addresses, reported.addresses,
      [&](const v1::ServedAddress& address) {
        *parts.room_for(address.ByteSizeLong()).add_upsert_addresses() = address;
        ++counts.upserts;
      },
      [&](const IpAddress& address) {
        parts.room_for(address.size()).add_delete_addresses(address.bytes());
        ++counts.deletes;
      });
  compare(
      desired.backends, reported.backends,
      [&](const v1::Backend& backend) {
        *parts.room_for(backend.ByteSizeLong()).add_upsert_backends() = backend;
        ++counts.upserts;
      },
      [&](std::uint32_t id) {
        parts.room_for(sizeof id).add_delete_backends(id);
        ++counts.deletes;
      });
  compare(
      desired.vips, reported.vips,
      [&](const v1::Vip& vip) {
        *parts.room_for(vip.ByteSizeLong()).add_upsert_vips() = vip;
        ++counts.upserts;
      },
      [&](const VipName& name) {
        v1::VipKey key = vip_key(name);
        *parts.room_for(key.ByteSizeLong()).add_delete_vips() = std::move(key);
        ++counts.deletes;
      });
  return std::move(parts.result);
}

Difference whole(const DataplaneState& desired) {
  return difference(desired, {});
}

}  // namespace sluice
