// Merged: what all contributions together want of one kind of thing (VIPs, backends, addresses).
// Several may offer the same key; the best offer is what counts, and the key stays as long as one
// offers it. Notes which keys changed since they were last taken.
// Ownership: refers to the contributions, which must not move. Thread: one.
#pragma once

#include <algorithm>
#include <boost/container/small_vector.hpp>
#include <functional>
#include <map>
#include <set>
#include <string>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

#include "control/model/contribution.h"

namespace sluice {

template <typename OfferType, std::vector<OfferType> Contribution::*offers>
class Merged {
 public:
  using Key = typename OfferType::Key;
  using Message = typename OfferType::Message;
  struct Entry {
    Shared<Message> value;
    boost::container::small_vector<const Contribution*, 1> users;
  };
  using Entries = std::map<Key, Entry>;

  // Makes `next` what `user` offers. Values that did not change stay the same messages. `gone`
  // gets what nobody offers any more.
  void put(Contribution* user, std::vector<OfferType> next,
           std::vector<std::pair<Key, Shared<Message>>>* gone) {
    const std::vector<OfferType> old = std::exchange(user->*offers, std::move(next));
    auto a = old.begin();
    auto b = (user->*offers).begin();
    while (a != old.end() || b != (user->*offers).end()) {
      if (b == (user->*offers).end() || (a != old.end() && a->key < b->key)) {
        leave(*user, *a++, gone);
      } else if (a == old.end() || b->key < a->key) {
        entries_[b->key].users.push_back(user);
        settle(b++->key);
      } else {
        const bool moved = a->held != b->held;
        const bool same = same_bytes(*a->value, *b->value);
        if (same) b->value = a->value;
        if (moved || !same) settle(b->key);
        ++a, ++b;
      }
    }
  }

  const Entries& entries() const { return entries_; }
  const Message* find(const Key& key) const {
    const auto at = entries_.find(key);
    return at == entries_.end() ? nullptr : at->second.value.get();
  }
  Shared<Message> share(const Key& key) const {
    const auto at = entries_.find(key);
    return at == entries_.end() ? nullptr : at->second.value;
  }
  bool contains(const Key& key) const { return entries_.contains(key); }
  const std::set<Key>& changed() const { return changed_; }
  void forget_changes() { changed_.clear(); }
  // Of those who hold as reported what has just been reported otherwise, for another's sake.
  void list_holders_of_changes(std::set<ServiceKey>* services) const {
    for (const Key& key : changed_) {
      const auto at = entries_.find(key);
      if (at == entries_.end()) continue;
      for (const Contribution* user : at->second.users)
        if (offer_of(*user, key).held) services->insert(user->service);
    }
  }

 private:
  static const OfferType& offer_of(const Contribution& user, const Key& key) {
    const std::vector<OfferType>& all = user.*offers;
    return *std::lower_bound(all.begin(), all.end(), key,
                             [](const OfferType& o, const Key& k) { return o.key < k; });
  }
  // Two Services may name one endpoint differently; the choice must not depend on their order.
  static const std::string& rank(const Message& message) {
    static const std::string none;
    if constexpr (std::is_same_v<Message, v1::Backend>) return message.target();
    return none;
  }
  static auto order(const Contribution* user, const OfferType& offer) {
    return std::make_tuple(!offer.held, std::cref(rank(*offer.value)), std::cref(user->service));
  }

  void leave(const Contribution& user, const OfferType& offer,
             std::vector<std::pair<Key, Shared<Message>>>* gone) {
    const auto at = entries_.find(offer.key);
    auto& users = at->second.users;
    users.erase(std::find(users.begin(), users.end(), &user));
    if (!users.empty()) return settle(offer.key);
    gone->emplace_back(offer.key, std::move(at->second.value));
    entries_.erase(at);
    changed_.insert(offer.key);
  }

  void settle(const Key& key) {
    Entry& entry = entries_.find(key)->second;
    const OfferType* best = &offer_of(*entry.users.front(), key);
    if (entry.users.size() > 1) {
      const auto user = *std::max_element(
          entry.users.begin(), entry.users.end(), [&](const auto* a, const auto* b) {
            return order(a, offer_of(*a, key)) < order(b, offer_of(*b, key));
          });
      best = &offer_of(*user, key);
    }
    if (entry.value == best->value) return;
    if (entry.value != nullptr && same_bytes(*entry.value, *best->value)) return;
    entry.value = best->value;
    changed_.insert(key);
  }

  Entries entries_;
  std::set<Key> changed_;
};

}  // namespace sluice
