// The store of fragments alone: what goes on, what waits, what is refused, and that every handle
// comes back once.
#include "dataplane/forward/fragments.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <random>
#include <set>
#include <vector>

namespace sluice {
namespace {

template <typename Family>
class Fragments : public testing::Test {
 public:
  using Store = FragmentStore<Family>;
  using Piece = typename Store::Piece;
  using Fate = typename Store::Fate;
  using Seen = typename Store::Seen;
  static constexpr std::uint8_t kSecret[16] = {1, 2, 3};

  void make(const FragmentLimits& limits = {}, std::uint16_t worker = 0,
            std::uint16_t workers = 1) {
    store = std::make_unique<Store>();
    ASSERT_TRUE(store->create(limits, worker, workers, kSecret));
  }
  static Piece piece(std::uint32_t id, std::uint32_t offset, std::uint32_t length, bool more,
                     std::uintptr_t handle = 1) {
    Piece p;
    p.source[0] = 10;
    p.destination[3] = 7;
    p.id = id;
    p.protocol = kProtocolUdp;
    p.offset = offset;
    p.length = length;
    p.more = more;
    if (offset == 0) {
      p.source_port = Be16::from_host(4000);
      p.destination_port = Be16::from_host(53);
    }
    p.handle = reinterpret_cast<void*>(handle);
    return p;
  }
  std::vector<ReleasedFragment> released() {
    std::vector<ReleasedFragment> all(store->waiting() + 1);
    all.resize(store->take_released(all.data(), static_cast<unsigned>(all.size())));
    return all;
  }
  std::vector<typename Store::Expired> expired() {
    std::vector<typename Store::Expired> all(store->waiting() + 1);
    all.resize(store->take_expired(all.data(), static_cast<unsigned>(all.size())));
    return all;
  }
  void expect_refused(const Seen& seen, DropReason reason) {
    EXPECT_EQ(seen.fate, Fate::refuse);
    EXPECT_EQ(name(seen.reason), std::string(name(reason)));
  }

  std::unique_ptr<Store> store;
  Ticks now = 100;
};
using Families = testing::Types<Ipv4, Ipv6>;
TYPED_TEST_SUITE(Fragments, Families);

TYPED_TEST(Fragments, FollowTheFirst) {
  this->make();
  const auto first = this->store->see(this->piece(9, 0, 1480, true), 1);
  const auto second = this->store->see(this->piece(9, 1480, 1480, true), 1);
  EXPECT_EQ(this->store->in_use(), 1u);
  const auto last = this->store->see(this->piece(9, 2960, 41, false), 1);
  for (const auto& seen : {first, second, last}) {
    EXPECT_EQ(seen.fate, TestFixture::Fate::forward);
    EXPECT_TRUE(seen.hint.known);
    EXPECT_EQ(seen.hint.source_port.host(), 4000);
    EXPECT_EQ(seen.hint.destination_port.host(), 53);
    EXPECT_EQ(seen.hint.protocol, kProtocolUdp);
    EXPECT_EQ(seen.hint.id, first.hint.id);
  }
  EXPECT_EQ(this->store->in_use(), 0u) << "a complete datagram takes no room";
}

TYPED_TEST(Fragments, WaitForTheFirstInTheirOrder) {
  this->make();
  EXPECT_EQ(this->store->see(this->piece(9, 2960, 41, false, 3), 1).fate, TestFixture::Fate::hold);
  EXPECT_EQ(this->store->see(this->piece(9, 1480, 1480, true, 2), 1).fate, TestFixture::Fate::hold);
  EXPECT_TRUE(this->released().empty());
  const auto first = this->store->see(this->piece(9, 0, 1480, true, 1), 2);
  EXPECT_EQ(first.fate, TestFixture::Fate::forward);
  const auto released = this->released();
  ASSERT_EQ(released.size(), 2u);
  EXPECT_EQ(released[0].handle, reinterpret_cast<void*>(3));
  EXPECT_EQ(released[1].handle, reinterpret_cast<void*>(2));
  EXPECT_EQ(released[1].hint.id, first.hint.id);
  EXPECT_EQ(released[1].hint.source_port.host(), 4000);
  EXPECT_EQ(this->store->in_use(), 0u);
  EXPECT_EQ(this->store->waiting(), 0u);
  EXPECT_TRUE(this->expired().empty());
}

TYPED_TEST(Fragments, WithoutAFirstTimeOut) {
  this->make();
  (void)this->store->see(this->piece(9, 1480, 1480, true, 2), 10);
  this->store->expire(10 + kTicksPerSecond);
  EXPECT_TRUE(this->expired().empty());
  this->store->expire(11 + kTicksPerSecond);
  const auto expired = this->expired();
  ASSERT_EQ(expired.size(), 1u);
  EXPECT_EQ(expired[0].handle, reinterpret_cast<void*>(2));
  EXPECT_EQ(expired[0].reason, DropReason::fragment_timeout);
  EXPECT_EQ(this->store->in_use(), 0u);
}

TYPED_TEST(Fragments, IncompleteDatagramsEnd) {
  this->make();
  (void)this->store->see(this->piece(9, 0, 1480, true), 10);
  this->store->expire(10 + 30 * kTicksPerSecond);
  EXPECT_EQ(this->store->in_use(), 1u);
  this->store->expire(11 + 30 * kTicksPerSecond);
  EXPECT_EQ(this->store->in_use(), 0u);
  // Its other fragments find no first one.
  EXPECT_EQ(this->store->see(this->piece(9, 1480, 8, false), 80).fate, TestFixture::Fate::hold);
}

TYPED_TEST(Fragments, OverlapRefusesTheDatagramFromThenOn) {
  struct Case {
    const char* what;
    typename TestFixture::Piece second;
  };
  for (const Case& c : {Case{"overlaps the end", this->piece(9, 792, 400, true)},
                        Case{"within", this->piece(9, 8, 16, true)},
                        Case{"same start, longer", this->piece(9, 0, 808, true)},
                        Case{"last within", this->piece(9, 400, 8, false)}}) {
    SCOPED_TRACE(c.what);
    this->make();
    (void)this->store->see(this->piece(9, 2000, 8, true, 5), 1);
    (void)this->store->see(this->piece(9, 0, 800, true), 1);
    EXPECT_EQ(this->released().size(), 1u);
    this->expect_refused(this->store->see(c.second, 1), DropReason::fragment_overlap);
    this->expect_refused(this->store->see(this->piece(9, 800, 8, true), 1),
                         DropReason::fragment_overlap);
    this->expect_refused(this->store->see(this->piece(9, 0, 800, true), 1),
                         DropReason::fragment_overlap);
    this->store->expire(40 * kTicksPerSecond);
    EXPECT_EQ(this->store->in_use(), 0u);
  }
}

TYPED_TEST(Fragments, OverlapBeforeTheFirstEndsTheWaiting) {
  this->make();
  // RFC 3128: a tiny first fragment and one that would overwrite the TCP flags.
  EXPECT_EQ(this->store->see(this->piece(9, 8, 32, true, 4), 1).fate, TestFixture::Fate::hold);
  this->expect_refused(this->store->see(this->piece(9, 0, 24, true, 5), 1),
                       DropReason::fragment_overlap);
  EXPECT_TRUE(this->released().empty());
  const auto expired = this->expired();
  ASSERT_EQ(expired.size(), 1u);
  EXPECT_EQ(expired[0].reason, DropReason::fragment_overlap);
}

TYPED_TEST(Fragments, EndsMustAgree) {
  this->make();
  (void)this->store->see(this->piece(1, 0, 800, true), 1);
  (void)this->store->see(this->piece(1, 1600, 100, false), 1);
  this->expect_refused(this->store->see(this->piece(1, 800, 100, false), 1),
                       DropReason::fragment_overlap);
  (void)this->store->see(this->piece(2, 0, 800, true), 1);
  (void)this->store->see(this->piece(2, 1600, 800, false), 1);
  this->expect_refused(this->store->see(this->piece(2, 2400, 800, true), 1),
                       DropReason::fragment_overlap);
  (void)this->store->see(this->piece(3, 1600, 800, true), 1);
  this->expect_refused(this->store->see(this->piece(3, 800, 8, false), 1),
                       DropReason::fragment_overlap);
}

TYPED_TEST(Fragments, ARepetitionIsRefusedAlone) {
  this->make();
  (void)this->store->see(this->piece(9, 0, 800, true), 1);
  this->expect_refused(this->store->see(this->piece(9, 0, 800, true), 1),
                       DropReason::fragment_overlap);
  EXPECT_EQ(this->store->see(this->piece(9, 800, 8, false), 1).fate, TestFixture::Fate::forward);
  EXPECT_EQ(this->store->in_use(), 0u);
}

TYPED_TEST(Fragments, LengthsAreChecked) {
  this->make();
  for (const auto& piece :
       {this->piece(9, 0, 801, true), this->piece(9, 0, 0, true), this->piece(9, 8, 0, false),
        this->piece(9, 65528, 8, false), this->piece(9, 65528, 1500, false)}) {
    this->expect_refused(this->store->see(piece, 1), DropReason::fragment_length);
  }
  EXPECT_EQ(this->store->in_use(), 0u);
  EXPECT_EQ(this->store->see(this->piece(9, 65528, 7, false), 1).fate, TestFixture::Fate::hold);
}

TYPED_TEST(Fragments, DatagramsAreToldApart) {
  this->make();
  (void)this->store->see(this->piece(9, 0, 800, true), 1);
  auto other = this->piece(9, 800, 8, false);
  other.source[1] = 1;
  EXPECT_EQ(this->store->see(other, 1).fate, TestFixture::Fate::hold);
  other = this->piece(9, 800, 8, false);
  other.destination[1] = 1;
  EXPECT_EQ(this->store->see(other, 1).fate, TestFixture::Fate::hold);
  EXPECT_EQ(this->store->see(this->piece(10, 800, 8, false), 1).fate, TestFixture::Fate::hold);
  other = this->piece(9, 800, 8, false);
  other.protocol = kProtocolTcp;
  // IPv6 tells them apart by the id alone; a later fragment's next header says nothing.
  EXPECT_EQ(this->store->see(other, 1).fate,
            TypeParam::kAddressBytes == 4 ? TestFixture::Fate::hold : TestFixture::Fate::forward);
}

TYPED_TEST(Fragments, AFloodOfLaterOnesTakesNoRoomFromTheOthers) {
  FragmentLimits limits;
  limits.datagrams = 64;
  limits.waiting = 1000;
  this->make(limits);
  for (std::uint32_t id = 0; id < 40; ++id)
    (void)this->store->see(this->piece(id, 0, 800, true), 1);
  std::uint32_t held = 0;
  for (std::uint32_t id = 1000; id < 1500; ++id) {
    const auto seen = this->store->see(this->piece(id, 800, 800, true, id), 1);
    held += seen.fate == TestFixture::Fate::hold;
  }
  EXPECT_EQ(held, 500u);
  const auto expired = this->expired();
  EXPECT_EQ(expired.size(), 500u - 16u);
  for (const auto& e : expired) EXPECT_EQ(e.reason, DropReason::fragment_store_full);
  for (std::uint32_t id = 0; id < 40; ++id) {
    EXPECT_EQ(this->store->see(this->piece(id, 800, 8, false), 1).fate, TestFixture::Fate::forward);
  }
}

TYPED_TEST(Fragments, TheOldestGivesWay) {
  FragmentLimits limits;
  limits.datagrams = 16;
  this->make(limits);
  for (std::uint32_t id = 0; id < 17; ++id)
    (void)this->store->see(this->piece(id, 0, 800, true), 1);
  EXPECT_EQ(this->store->in_use(), 16u);
  EXPECT_EQ(this->store->see(this->piece(16, 800, 8, false), 1).fate, TestFixture::Fate::forward);
  EXPECT_EQ(this->store->see(this->piece(0, 800, 8, false), 1).fate, TestFixture::Fate::hold);
}

TYPED_TEST(Fragments, WaitingAndPiecesAreBounded) {
  FragmentLimits limits;
  limits.waiting = 10;
  this->make(limits);
  for (std::uint32_t n = 1; n <= 10; ++n) {
    EXPECT_EQ(this->store->see(this->piece(9, 800 * n, 800, true, n), 1).fate,
              TestFixture::Fate::hold);
  }
  this->expect_refused(this->store->see(this->piece(9, 8800, 800, true), 1),
                       DropReason::fragment_store_full);
  EXPECT_EQ(this->expired().size(), 10u);

  typename TestFixture::Seen seen;
  for (std::uint32_t n = 0; n <= TestFixture::Store::kMaxPieces; ++n)
    seen = this->store->see(this->piece(8, 8 * n, 8, true), 1);
  this->expect_refused(seen, DropReason::fragment_store_full);
}

TYPED_TEST(Fragments, IdsOfWorkersAndOfDatagramsInFlightDiffer) {
  std::set<std::uint32_t> ids;
  for (std::uint16_t worker = 0; worker < 3; ++worker) {
    this->make({}, worker, 3);
    for (std::uint32_t id = 0; id < 1000; ++id) {
      const auto seen = this->store->see(this->piece(id, 0, 800, true), 1);
      EXPECT_TRUE(ids.insert(seen.hint.id).second);
      if (TypeParam::kAddressBytes == 4) {
        EXPECT_LE(seen.hint.id, 0xffffu);
      }
      EXPECT_EQ(seen.hint.id % 3, worker);
    }
  }
}

TYPED_TEST(Fragments, IdsRestBeforeTheyComeAgain) {
  this->make();
  std::map<std::uint32_t, unsigned> last_use;
  for (unsigned n = 0; n < 200000; ++n) {
    const auto first = this->store->see(this->piece(n, 0, 800, true), 1);
    ASSERT_EQ(first.fate, TestFixture::Fate::forward);
    const auto [at, fresh] = last_use.try_emplace(first.hint.id, n);
    if (!fresh) {
      ASSERT_GT(n - at->second, 60000u);
    }
    at->second = n;
    ASSERT_EQ(this->store->see(this->piece(n, 800, 8, false), 1).fate, TestFixture::Fate::forward);
  }
}

// Many datagrams at once, cut and shuffled at random, some without their first: every handle comes
// back exactly once, whole datagrams whole, and nothing is left.
TYPED_TEST(Fragments, EveryHandleComesBackOnce) {
  FragmentLimits limits;
  limits.datagrams = 256;
  limits.waiting = 4096;
  this->make(limits);
  std::mt19937 random(7);
  std::vector<typename TestFixture::Piece> pieces;
  std::uintptr_t handle = 0;
  std::set<std::uint32_t> headless;
  for (std::uint32_t id = 0; id < 60; ++id) {
    const unsigned count = 2 + random() % 20;
    std::uint32_t offset = 0;
    for (unsigned n = 0; n < count; ++n) {
      const std::uint32_t length = 8 * (1 + random() % 100);
      auto piece = this->piece(id, offset, length, n + 1 < count, ++handle);
      offset += length;
      if (n == 0 && id % 5 == 0) {
        headless.insert(id);
      } else {
        pieces.push_back(piece);
      }
    }
  }
  std::shuffle(pieces.begin(), pieces.end(), random);
  std::multiset<void*> back;
  std::size_t timed_out = 0;
  for (const auto& piece : pieces) {
    const auto seen = this->store->see(piece, 1);
    ASSERT_NE(seen.fate, TestFixture::Fate::refuse);
    if (seen.fate == TestFixture::Fate::forward) back.insert(piece.handle);
    for (const auto& r : this->released()) back.insert(r.handle);
  }
  this->store->expire(10);
  for (const auto& e : this->expired()) {
    back.insert(e.handle);
    ++timed_out;
  }
  EXPECT_EQ(back.size(), pieces.size());
  EXPECT_EQ(std::set<void*>(back.begin(), back.end()).size(), pieces.size());
  EXPECT_EQ(timed_out, static_cast<std::size_t>(std::count_if(
                           pieces.begin(), pieces.end(),
                           [&](const auto& piece) { return headless.contains(piece.id); })));
  EXPECT_EQ(this->store->in_use(), 0u);
  EXPECT_EQ(this->store->waiting(), 0u);
}

}  // namespace
}  // namespace sluice
