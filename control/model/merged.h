// Merged: what all contributions together want of one kind of thing (VIPs, backends, addresses).
// Several may offer the same key; the best offer is what counts, and the key stays as long as one
// offers it. Notes which keys changed since they were last taken.
// Ownership: refers to the contributions, which must not move. Thread: one.
#pragma once

#include <algorithm>
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

template <typename OfferType, std::vector<OfferType> Contribution::*offers,
          template <typename> typename MapOf>
class Merged {
 public:
  using Key = typename OfferType::Key;
  using Value = typename OfferType::Value;
  struct Entry {
    Value value;
    const Contribution* user = nullptr;  // One of them; `more_` has the others, if any.
  };
  using Entries = MapOf<Entry>;

  // Makes `next` what `user` offers. Values that did not change stay the same messages. `gone`
  // gets what nobody offers any more.
  void put(Contribution* user, std::vector<OfferType> next,
           std::vector<std::pair<Key, Value>>* gone) {
    const std::vector<OfferType> old = std::exchange(user->*offers, std::move(next));
    auto a = old.begin();
    auto b = (user->*offers).begin();
    while (a != old.end() || b != (user->*offers).end()) {
      if (b == (user->*offers).end() || (a != old.end() && a->key < b->key)) {
        leave(*user, *a++, gone);
      } else if (a == old.end() || b->key < a->key) {
        join(*user, *b++);
      } else {
        const bool moved = a->held != b->held;
        const bool same = same_value(a->value, b->value);
        if (same) b->value = a->value;
        if (moved || !same) settle(b->key);
        ++a, ++b;
      }
    }
  }

  const Entries& entries() const { return entries_; }
  // Null: nobody offers it.
  const Value& find(const Key& key) const {
    static const Value none{};
    const auto at = entries_.find(key);
    return at == entries_.end() ? none : at->second.value;
  }
  bool contains(const Key& key) const { return entries_.contains(key); }
  // In order.
  const std::vector<Key>& changed() const {
    std::sort(changed_.begin(), changed_.end());
    changed_.erase(std::unique(changed_.begin(), changed_.end()), changed_.end());
    return changed_;
  }
  void forget_changes() { changed_ = {}; }
  // Of those who hold as reported what has just been reported otherwise, for another's sake.
  void list_holders_of_changes(std::set<ServiceKey>* services) const {
    for (const Key& key : changed_) {
      const auto at = entries_.find(key);
      if (at == entries_.end()) continue;
      for_each_user(key, at->second, [&](const Contribution* user) {
        if (offer_of(*user, key).held) services->insert(user->service);
      });
    }
  }

 private:
  static const OfferType& offer_of(const Contribution& user, const Key& key) {
    const std::vector<OfferType>& all = user.*offers;
    return *std::lower_bound(all.begin(), all.end(), key,
                             [](const OfferType& o, const Key& k) { return o.key < k; });
  }
  // Two Services may name one endpoint differently; the choice must not depend on their order.
  static std::string rank(const Value& value) {
    if constexpr (std::is_same_v<Value, EncodedBackend>) return value.message().target();
    return {};
  }
  static auto order(const Contribution* user, const OfferType& offer) {
    return std::make_tuple(!offer.held, rank(offer.value), std::cref(user->service));
  }

  template <typename Use>
  void for_each_user(const Key& key, const Entry& entry, Use use) const {
    use(entry.user);
    if (more_.empty()) return;
    const auto [begin, end] = more_.equal_range(key);
    for (auto at = begin; at != end; ++at) use(at->second);
  }

  void join(const Contribution& user, const OfferType& offer) {
    const auto [at, added] = entries_.try_emplace(offer.key);
    Entry& entry = at->second;
    if (added) {
      entry = {offer.value, &user};
      changed_.push_back(offer.key);
      return;
    }
    more_.emplace(offer.key, &user);
    settle(offer.key);
  }

  void leave(const Contribution& user, const OfferType& offer,
             std::vector<std::pair<Key, Value>>* gone) {
    const auto at = entries_.find(offer.key);
    const auto [begin, end] = more_.equal_range(offer.key);
    if (begin == end) {
      gone->emplace_back(offer.key, std::move(at->second.value));
      entries_.erase(at);
      changed_.push_back(offer.key);
      return;
    }
    if (at->second.user == &user) {
      at->second.user = begin->second;
      more_.erase(begin);
    } else {
      more_.erase(std::find_if(begin, end, [&](const auto& m) { return m.second == &user; }));
    }
    settle(offer.key);
  }

  void settle(const Key& key) {
    Entry& entry = entries_.find(key)->second;
    const Contribution* best = nullptr;
    for_each_user(key, entry, [&](const Contribution* user) {
      if (best == nullptr || order(best, offer_of(*best, key)) < order(user, offer_of(*user, key)))
        best = user;
    });
    const Value& value = offer_of(*best, key).value;
    if (same_value(entry.value, value)) return;
    entry.value = value;
    changed_.push_back(key);
  }

  Entries entries_;
  std::multimap<Key, const Contribution*> more_;
  mutable std::vector<Key> changed_;  // As noted: in no order, and some twice.
};

}  // namespace sluice
