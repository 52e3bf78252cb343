#include "dataplane/forward/state_pages.h"

#include <gtest/gtest.h>

#include <map>
#include <random>

namespace sluice {
namespace {

struct Block {
  std::uint32_t key;
};
using Hash = PagedHash<Block>;

const Block* find(const Hash& hash, std::uint32_t h, std::uint32_t key) {
  return hash.find(h, [&](const Block& b) { return b.key == key; });
}

TEST(PagedArray, CopiesShareUntilEdited) {
  PagedArray<int> first;
  first.edit(3) = 3;
  first.edit(1000) = 1000;
  PagedArray<int> second = first;
  second.edit(3) = 4;
  EXPECT_EQ(*first.find(3), 3);
  EXPECT_EQ(*second.find(3), 4);
  EXPECT_EQ(first.find(1000), second.find(1000)) << "the other page is shared";
  EXPECT_EQ(*second.find(1001), 0) << "never set";
  EXPECT_EQ(second.find(100000), nullptr);
}

// Random work against a std::map, with every earlier copy staying as it was.
TEST(PagedHash, AgreesWithAMapThroughGrowthAndCopies) {
  std::mt19937 random(7);
  Hash hash;
  std::map<std::uint32_t, const Block*> model;
  const auto spread = [](std::uint32_t key) {
    return key % 5000 * 2654435761u;
  };  // Some hashes are equal.
  std::vector<std::pair<Hash, std::map<std::uint32_t, const Block*>>> copies;
  for (int step = 0; step < 30000; ++step) {
    const std::uint32_t key = random() % 8000;
    const Block* old = find(hash, spread(key), key);
    ASSERT_EQ(old, model.count(key) != 0 ? model[key] : nullptr);
    if (old == nullptr) {
      auto block = std::make_shared<const Block>(Block{key});
      model[key] = block.get();
      ASSERT_TRUE(hash.insert(spread(key), std::move(block)));
    } else if (random() % 2 == 0) {
      hash.erase(spread(key), old);
      model.erase(key);
    } else {
      auto block = std::make_shared<const Block>(Block{key});
      model[key] = block.get();
      hash.replace(spread(key), old, std::move(block));
    }
    if (step % 5000 == 0) copies.emplace_back(hash, model);
  }
  copies.emplace_back(hash, model);
  for (const auto& pair : copies) {
    // Not structured bindings, which clang 14 does not let a lambda capture.
    const auto& copy = pair.first;
    const auto& expected = pair.second;
    EXPECT_EQ(copy.size(), expected.size());
    for (std::uint32_t key = 0; key < 8000; ++key) {
      const auto it = expected.find(key);
      ASSERT_EQ(find(copy, spread(key), key), it == expected.end() ? nullptr : it->second);
    }
    std::size_t visited = 0;
    copy.for_each([&](const std::shared_ptr<const Block>& block) {
      ++visited;
      EXPECT_EQ(expected.at(block->key), block.get());
    });
    EXPECT_EQ(visited, expected.size());
  }
}

TEST(PagedHash, ManyEntriesOfOneHashSpillAndAreFound) {
  Hash hash;
  for (std::uint32_t key = 0; key < 150; ++key) {
    ASSERT_TRUE(hash.insert(42, std::make_shared<const Block>(Block{key})));
  }
  for (std::uint32_t key = 0; key < 150; ++key) {
    const Block* block = find(hash, 42, key);
    ASSERT_NE(block, nullptr);
    EXPECT_EQ(block->key, key);
  }
  EXPECT_EQ(find(hash, 42, 150), nullptr);
}

TEST(PagedHash, RefusesWhatNoSizeCanHold) {
  Hash hash;
  bool refused = false;
  for (std::uint32_t key = 0; key < 200 && !refused; ++key) {
    refused = !hash.insert(42, std::make_shared<const Block>(Block{key}));
  }
  EXPECT_TRUE(refused);
  EXPECT_EQ(hash.size(), 160u);
  EXPECT_NE(find(hash, 42, 159), nullptr);
}

}  // namespace
}  // namespace sluice
