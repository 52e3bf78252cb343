#include "control/model/ids.h"

#include <bit>
#include <utility>
#include <vector>

#include "control/model/dataplane_state.h"
#include "control/model/forwarding.h"

namespace sluice {
namespace {

std::string vip_text(const IpAddress& address, v1::Protocol protocol) {
  return address.text() + "/" + protocol_name(protocol);
}

// Nothing without an overlay, so that ids saved before there were any stay valid.
void append_way(const v1::Overlay& overlay, std::string* text) {
  if (overlay.kind() == v1::OVERLAY_KIND_UNSPECIFIED) return;
  *text += std::string("/") + overlay_name(overlay.kind()) + "/" +
           IpAddress::from_bytes(overlay.remote()).value_or(IpAddress()).text();
  if (overlay.kind() != v1::OVERLAY_KIND_VXLAN) return;
  *text += "/" + std::to_string(overlay.vni()) + "/" + std::to_string(overlay.port()) + "/";
  static constexpr char kDigits[] = "0123456789abcdef";
  for (const char c : overlay.mac()) {
    const auto byte = static_cast<unsigned char>(c);
    *text += {kDigits[byte >> 4], kDigits[byte & 15]};
  }
}

}  // namespace

// A text that stays where it is, as it is asked for as often as there are endpoints.
std::string_view IdAllocator::backend_text(std::string_view source, const IpAddress& address,
                                           v1::Protocol protocol, std::uint32_t port,
                                           const v1::Overlay& overlay) {
  text_.assign(source);
  text_ += '/';
  text_ += address.text();
  text_ += '/';
  text_ += protocol_name(protocol);
  text_ += '/';
  text_ += std::to_string(port);
  append_way(overlay, &text_);
  return text_;
}

// What a dataplane reports is not trusted with memory; get() gives no id beyond.
void IdAllocator::Space::take(std::uint32_t id) {
  constexpr std::uint32_t kMost = 1u << 22;
  if (id >= kMost) return;
  if (id / 64 >= taken_.size())
    taken_.resize(std::max<std::size_t>(id / 64 + 1, 2 * taken_.size()));
  taken_[id / 64] |= std::uint64_t{1} << (id % 64);
}

void IdAllocator::Space::free(std::uint32_t id) {
  if (id / 64 < taken_.size()) taken_[id / 64] &= ~(std::uint64_t{1} << (id % 64));
  lowest_ = std::min(lowest_, id);
}

void IdAllocator::Space::forget(std::uint32_t id) {
  if (const auto key = keys_.find(id); key != keys_.end()) {
    ids_.erase(key->second);
    keys_.erase(key);
  }
  if (retired_.empty()) return;
  if (const auto retired = retired_.find(id); retired != retired_.end()) {
    retired_keys_.erase(retired->second.key);
    retired_.erase(retired);
  }
}

std::uint32_t IdAllocator::Space::retired_id(std::string_view key) const {
  if (retired_keys_.empty()) return 0;
  const auto at = retired_keys_.find(std::string(key));
  return at == retired_keys_.end() ? 0 : at->second;
}

void IdAllocator::Space::insert(std::string_view key, std::uint32_t id) {
  if (id == 0) return;
  if (const auto old = ids_.find(key); old != ids_.end()) {
    if (old->second == id) return;
    const std::uint32_t other = old->second;
    free(other);
    forget(other);
  }
  if (const std::uint32_t waiting = retired_id(key); waiting != 0) {
    // Still waits for its sweep, but no longer for its owner's return.
    retired_[waiting].key.clear();
    retired_keys_.erase(std::string(key));
  }
  forget(id);
  take(id);
  Bytes owner(key);
  keys_[id] = owner;
  ids_.emplace(std::move(owner), id);
}

void IdAllocator::Space::retire(std::uint32_t id, Retired retired) {
  if (id == 0) return;
  forget(id);
  take(id);
  if (!retired.key.empty()) retired_keys_[retired.key] = id;
  retired_[id] = std::move(retired);
}

void IdAllocator::Space::adopt_unswept(std::uint32_t id, std::uint64_t generation) {
  if (keys_.contains(id)) return;
  // Retired later than is known here, it was another's in between.
  const auto known = retired_.find(id);
  if (known == retired_.end() || known->second.generation < generation)
    retire(id, {generation, std::string()});
}

void IdAllocator::Space::adopt(Space fresh) {
  std::swap(*this, fresh);
  for (auto& [id, retired] : fresh.retired_) {
    if (keys_.contains(id)) continue;
    if (ids_.contains(std::string_view(retired.key)))
      retired.key.clear();  // Its owner has another.
    retire(id, std::move(retired));
  }
}

std::uint32_t IdAllocator::Space::get(std::string_view key, std::uint32_t limit) {
  const auto known = ids_.find(key);
  std::uint32_t id = known != ids_.end() ? known->second : retired_id(key);
  if (id == 0 || id >= limit) {
    // Every sweep frees low ids: the next search passes over all the others, 64 at a time.
    while (lowest_ < limit && lowest_ / 64 < taken_.size()) {
      const std::uint64_t word = taken_[lowest_ / 64] >> (lowest_ % 64);
      if ((word & 1) == 0) break;
      lowest_ += static_cast<std::uint32_t>(std::countr_one(word));
    }
    if (lowest_ >= limit) return 0;
    id = lowest_;
  }
  insert(key, id);
  return id;
}

void IdAllocator::Space::release(std::uint32_t id, std::uint64_t generation) {
  const auto known = keys_.find(id);
  if (known != keys_.end()) retire(id, {generation, std::string(known->second.view())});
}

void IdAllocator::Space::release_others(const Wanted& wanted, std::uint64_t generation) {
  std::vector<std::uint32_t> unwanted;
  for (const auto& [id, key] : keys_) {
    if (!wanted(id)) unwanted.push_back(id);
  }
  for (const std::uint32_t id : unwanted) release(id, generation);
}

void IdAllocator::Space::swept(std::uint64_t generation) {
  for (auto at = retired_.begin(); at != retired_.end();) {
    if (at->second.generation > generation) {
      ++at;
      continue;
    }
    free(at->first);
    retired_keys_.erase(at->second.key);
    at = retired_.erase(at);
  }
}

void IdAllocator::load(const v1::Ids& ids) {
  vips_ = Space();
  backends_ = Space();
  for (const v1::RetiredId& retired : ids.retired()) {
    (retired.backend() ? backends_ : vips_)
        .retire(retired.id(), {retired.generation(), retired.key()});
  }
  for (const auto& [key, id] : ids.vips()) vips_.insert(key, id);
  for (const auto& [key, id] : ids.backends()) backends_.insert(key, id);
}

void IdAllocator::save_space(const Space& space, bool backend, v1::Ids* ids) {
  for (const auto& [id, retired] : space.retired()) {
    v1::RetiredId* saved = ids->add_retired();
    saved->set_backend(backend);
    saved->set_id(id);
    saved->set_generation(retired.generation);
    saved->set_key(retired.key);
  }
}

v1::Ids IdAllocator::save() const {
  v1::Ids ids;
  save_space(vips_, false, &ids);
  save_space(backends_, true, &ids);
  return ids;
}

// Growing step by step would hash every owner's text again each time.
void IdAllocator::Space::reserve(std::size_t ids) {
  ids_.reserve(ids);
  keys_.reserve(ids);
}

void IdAllocator::adopt(const DataplaneState& reported) {
  vips_.reserve(reported.vips.size());
  backends_.reserve(reported.backends.size());
  v1::Backend backend;
  for (const auto& [name, vip] : reported.vips) {
    vips_.insert(vip_text(name.address, name.protocol), vip->id());
    const std::string_view service = vip->service();
    const std::string_view source = service.substr(0, service.find('/'));
    for (const v1::Member& member : vip->members()) {
      const auto at = reported.backends.find(member.backend());
      if (at == reported.backends.end()) continue;
      at->second.read(&backend);
      const auto address = IpAddress::from_bytes(backend.address());
      if (!address) continue;
      backends_.insert(
          backend_text(source, *address, name.protocol, backend.port(), backend.overlay()),
          at->first);
    }
  }
}

void IdAllocator::adopt(IdAllocator fresh) {
  vips_.adopt(std::move(fresh.vips_));
  backends_.adopt(std::move(fresh.backends_));
}

void IdAllocator::adopt_unswept(const v1::UnsweptId& unswept) {
  (unswept.backend() ? backends_ : vips_).adopt_unswept(unswept.id(), unswept.generation());
}

Result<std::uint32_t> IdAllocator::vip(const IpAddress& address, v1::Protocol protocol) {
  const std::uint32_t id = vips_.get(vip_text(address, protocol), limits_.vips);
  if (id == 0) {
    return Error{"the dataplane has room for " + std::to_string(limits_.vips) +
                 " addresses and protocols; raise dataplane.tables.vips"};
  }
  return id;
}

Result<std::uint32_t> IdAllocator::backend(const std::string& source, const IpAddress& address,
                                           v1::Protocol protocol, std::uint32_t port,
                                           const v1::Overlay& overlay) {
  const std::uint32_t id =
      backends_.get(backend_text(source, address, protocol, port, overlay), limits_.backends);
  if (id == 0) {
    return Error{"the dataplane has room for " + std::to_string(limits_.backends) +
                 " backends; raise dataplane.tables.backends"};
  }
  return id;
}

void IdAllocator::release_vip(std::uint32_t id, std::uint64_t generation) {
  vips_.release(id, generation);
}

void IdAllocator::release_backend(std::uint32_t id, std::uint64_t generation) {
  backends_.release(id, generation);
}

void IdAllocator::release_others(const Wanted& vip, const Wanted& backend,
                                 std::uint64_t generation) {
  vips_.release_others(vip, generation);
  backends_.release_others(backend, generation);
}

void IdAllocator::swept(std::uint64_t generation) {
  vips_.swept(generation);
  backends_.swept(generation);
}

}  // namespace sluice
