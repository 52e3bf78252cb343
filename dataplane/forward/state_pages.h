// PagedArray and PagedHash: the containers a ForwardingState is made of. A copy shares all pages
// with its original; editing the copy clones the pages it touches and no other, so a change costs
// its own pages, whatever the size of the whole.
//
// Thread: a copy is edited by one thread while its original stays alive; once published it is
// read-only
//   and readers take no lock. Ownership: pages are counted references; elements of a PagedHash are
//   shared, immutable blocks. Errors: PagedHash::insert gives false when a bucket cannot hold one
//   more.
#pragma once

#include <immintrin.h>

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "dataplane/table/prefetch.h"

namespace sluice {

// Values by a small integer, value-initialised where none was set.
template <typename T, unsigned kPageBits = 8>
class PagedArray {
 public:
  // nullptr where no page is; else the element, which may be one that was never set.
  const T* find(std::uint32_t index) const {
    const std::uint32_t page = index >> kPageBits;
    if (page >= pages_.size() || pages_[page] == nullptr) [[unlikely]]
      return nullptr;
    return &pages_[page]->items[index & (kPageSize - 1)];
  }

  // The caller bounds `index`. Valid until the array is copied.
  T& edit(std::uint32_t index) {
    const std::uint32_t number = index >> kPageBits;
    if (number >= pages_.size()) pages_.resize(number + 1);
    std::shared_ptr<Page>& page = pages_[number];
    if (page == nullptr) {
      page = std::make_shared<Page>();
    } else if (page.use_count() > 1) {  // The original has it too, and is alive: see the contract.
      page = std::make_shared<Page>(*page);
    }
    return page->items[index & (kPageSize - 1)];
  }

  // One past the highest index that has a page.
  std::uint32_t end() const { return static_cast<std::uint32_t>(pages_.size()) << kPageBits; }

 private:
  static constexpr std::uint32_t kPageSize = 1u << kPageBits;
  struct Page {
    std::array<T, kPageSize> items{};
  };
  std::vector<std::shared_ptr<Page>> pages_;
};

// Blocks by a 32-bit hash of their key. A bucket is one cache line with the whole hash of each of
// its entries, so that a look-up reads page pointer, bucket and block, and no block but the right
// one. A full bucket spills into the next ones of its page.
template <typename Block>
class PagedHash {
  static constexpr std::uint32_t kBuckets = 32;  // Of a page; the low bits of the hash choose one.
  static constexpr std::size_t kMaxPages = std::size_t{1} << 20;
  struct alignas(64) Bucket {
    std::uint32_t hash[5] = {};
    std::uint16_t count = 0;
    bool spilled = false;        // An entry of this or an earlier bucket went past it.
    const Block* block[5] = {};  // nullptr where there is no entry, whose hash is 0.
    bool more() const { return spilled || count > 4; }  // Than its first four.
  };
  static_assert(sizeof(Bucket) == 64);
  struct Page {
    std::array<Bucket, kBuckets> buckets;
    std::vector<std::pair<std::uint32_t, std::shared_ptr<const Block>>>
        entries;  // Owns what buckets point to.
  };

 public:
  PagedHash() : pages_(1) {}

  // The look-up of a burst: prefetch() all, then candidate() of all, then the blocks are there. By
  // a value of its own, so that stores in between do not have it read again where the table stands.
  class View {
   public:
    void prefetch(std::uint32_t hash) const {
      if (const Page* page = page_of(hash)) prefetch_near_line(&page->buckets[bucket_of(hash)]);
    }
    // The first block of this hash: nearly always the one or, nullptr, proof that there is none. A
    // caller whose candidate is another one's asks find(). No branch depends on where among the
    // first four it stands.
    const Block* candidate(std::uint32_t hash) const {
      const Page* page = page_of(hash);
      if (page == nullptr) [[unlikely]]
        return nullptr;
      const Bucket& bucket = page->buckets[bucket_of(hash)];
      const unsigned equal = equal_hashes(bucket, hash);
      if (equal == 0) [[unlikely]] {
        if (!bucket.more()) return nullptr;
        return table_->find(hash, [](const Block&) { return true; });
      }
      const Block* block = bucket.block[std::countr_zero(equal)];
      prefetch_near_line(block);
      return block;
    }

   private:
    friend class PagedHash;
    explicit View(const PagedHash& table)
        : table_(&table), pages_(table.pages_.data()), mask_(table.pages_.size() - 1) {}
    const Page* page_of(std::uint32_t hash) const { return pages_[hash / kBuckets & mask_].get(); }
    const PagedHash* table_;
    const std::shared_ptr<Page>* pages_;
    std::size_t mask_;
  };
  View view() const { return View(*this); }
  void prefetch(std::uint32_t hash) const { view().prefetch(hash); }
  const Block* candidate(std::uint32_t hash) const { return view().candidate(hash); }

  // The block for which matches(block) holds among those of this hash, or nullptr.
  template <typename Matches>
  const Block* find(std::uint32_t hash, Matches matches) const {
    const Page* page = page_of(hash);
    if (page == nullptr) return nullptr;
    std::uint32_t at = bucket_of(hash);
    for (std::uint32_t step = 0; step < kBuckets; ++step, at = (at + 1) & (kBuckets - 1)) {
      const Bucket& bucket = page->buckets[at];
      for (std::uint32_t i = 0; i < bucket.count; ++i) {
        if (bucket.hash[i] == hash && matches(*bucket.block[i])) return bucket.block[i];
      }
      if (!bucket.spilled) [[likely]]
        return nullptr;
    }
    return nullptr;
  }

  // Adds a block whose key is not there yet. False: no room even in a larger table, nothing
  // changed.
  bool insert(std::uint32_t hash, std::shared_ptr<const Block> block) {
    if (size_ >= 2 * kBuckets * pages_.size() && !grow()) return false;
    while (!place(edit_page(hash), hash, block)) {
      if (!grow()) return false;
    }
    ++size_;
    return true;
  }

  // Takes out `block`, which find() gave.
  void erase(std::uint32_t hash, const Block* block) {
    std::shared_ptr<Page>& page = pages_[page_number(hash)];
    auto fresh = std::make_shared<Page>();
    for (auto& [entry_hash, entry] : page->entries) {
      if (entry.get() != block) place(*fresh, entry_hash, entry);
    }
    page = std::move(fresh);
    --size_;
  }

  // Puts `block` in the place of `old`, which find() gave and which has the same key.
  void replace(std::uint32_t hash, const Block* old, std::shared_ptr<const Block> block) {
    Page& page = edit_page(hash);
    for (Bucket& bucket : page.buckets) {
      for (std::uint32_t i = 0; i < bucket.count; ++i) {
        if (bucket.block[i] == old) bucket.block[i] = block.get();
      }
    }
    for (auto& [entry_hash, entry] : page.entries) {
      if (entry.get() == old) {
        entry = std::move(block);
        return;
      }
    }
  }

  std::size_t size() const { return size_; }

  // visit(const std::shared_ptr<const Block>&), in no order that means anything.
  template <typename Visit>
  void for_each(Visit visit) const {
    for (const auto& page : pages_) {
      if (page == nullptr) continue;
      for (const auto& entry : page->entries) visit(entry.second);
    }
  }

 private:
  // Bit i is set where entry i of the first four has this hash, or for 0 has none.
  static unsigned equal_hashes(const Bucket& bucket, std::uint32_t hash) {
    const __m128i four = _mm_load_si128(reinterpret_cast<const __m128i*>(bucket.hash));
    const __m128i equal = _mm_cmpeq_epi32(four, _mm_set1_epi32(static_cast<int>(hash)));
    return static_cast<unsigned>(_mm_movemask_ps(_mm_castsi128_ps(equal)));
  }

  static std::uint32_t bucket_of(std::uint32_t hash) { return hash & (kBuckets - 1); }
  // The number of pages is a power of two.
  std::size_t page_number(std::uint32_t hash) const {
    return (hash / kBuckets) & (pages_.size() - 1);
  }
  const Page* page_of(std::uint32_t hash) const { return pages_[page_number(hash)].get(); }

  Page& edit_page(std::uint32_t hash) {
    std::shared_ptr<Page>& page = pages_[page_number(hash)];
    if (page == nullptr) {
      page = std::make_shared<Page>();
    } else if (page.use_count() > 1) {  // As in PagedArray::edit.
      page = std::make_shared<Page>(*page);
    }
    return *page;
  }

  static bool place(Page& page, std::uint32_t hash, std::shared_ptr<const Block> block) {
    if (page.entries.size() >= kBuckets * std::size(Bucket{}.block)) return false;
    std::uint32_t at = bucket_of(hash);
    while (page.buckets[at].count == std::size(Bucket{}.block)) {
      page.buckets[at].spilled = true;
      at = (at + 1) & (kBuckets - 1);
    }
    Bucket& bucket = page.buckets[at];
    bucket.hash[bucket.count] = hash;
    bucket.block[bucket.count] = block.get();
    ++bucket.count;
    page.entries.emplace_back(hash, std::move(block));
    return true;
  }

  // Doubles the pages: each one's entries go to itself or to its twin.
  bool grow() {
    if (pages_.size() >= kMaxPages) return false;
    PagedHash larger;
    larger.pages_.resize(pages_.size() * 2);
    for (const auto& page : pages_) {
      if (page == nullptr) continue;
      for (const auto& [hash, block] : page->entries) place(larger.edit_page(hash), hash, block);
    }
    pages_ = std::move(larger.pages_);
    return true;
  }

  std::size_t size_ = 0;
  std::vector<std::shared_ptr<Page>> pages_;
};

}  // namespace sluice
