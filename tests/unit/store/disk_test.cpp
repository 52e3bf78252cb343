#include "control/store/disk.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <iterator>

namespace sluice::store {
namespace {

using testing::HasSubstr;

class Disk : public testing::Test {
 protected:
  Disk() : folder(testing::TempDir() + "sluice-disk-" + std::to_string(::getpid())) {
    std::filesystem::create_directories(folder);
  }
  ~Disk() override { std::filesystem::remove_all(folder); }

  static v1::DiskState example() {
    v1::DiskState state;
    state.set_incarnation("abc");
    state.set_generation(7);
    state.set_maglev_seed(0xfedcba9876543210u);
    v1::DiskSource* source = state.add_sources();
    source->mutable_marker()->set_source("manual");
    source->set_sequence(12);
    source->add_objects()->mutable_service()->mutable_metadata()->set_name("web");
    return state;
  }
  std::string bytes() const {
    std::ifstream file(path(), std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
  }
  void write(const std::string& text) const { std::ofstream(path(), std::ios::binary) << text; }
  std::string path() const { return folder + "/state.pb"; }
  // Neither used nor lost.
  void expect_moved_aside(const std::string& why) {
    const std::string was = bytes();
    const auto loaded = load_disk_state(path());
    ASSERT_TRUE(loaded) << loaded.error();
    EXPECT_FALSE(loaded->state);
    EXPECT_THAT(loaded->warning, HasSubstr(why));
    EXPECT_FALSE(std::filesystem::exists(path()));
    const std::string aside = loaded->warning.substr(loaded->warning.rfind(' ') + 1);
    EXPECT_EQ(std::filesystem::file_size(aside), was.size());
  }
  std::string folder;
};

// Objects that are shared with those who use them, more than one block of the file.
TEST_F(Disk, SourcesBesideTheState) {
  DiskImage image(example());
  for (const char* name : {"east", "west"}) {
    DiskImage::Source& source = image.sources.emplace_back();
    source.head.mutable_marker()->set_source(name);
    source.head.set_sequence(40);
    for (int i = 0; i < 3000; ++i) {
      auto object = std::make_shared<v1::Object>();
      v1::ObjectMeta& meta = *object->mutable_service()->mutable_metadata();
      meta.set_name(name + std::to_string(i));
      (*meta.mutable_annotations())["text"] = std::string(static_cast<std::size_t>(i % 300), 'x');
      source.objects.push_back(std::move(object));
    }
  }
  image.sources.emplace_back().head.mutable_marker()->set_source("empty");
  ASSERT_TRUE(save_disk_state(path(), image));
  const auto loaded = load_disk_state(path());
  ASSERT_TRUE(loaded && loaded->state) << loaded->warning;
  ASSERT_EQ(loaded->state->sources_size(), 4);
  EXPECT_EQ(loaded->state->sources(0).marker().source(), "manual");
  EXPECT_EQ(loaded->state->sources(3).objects_size(), 0);
  for (int n : {1, 2}) {
    const v1::DiskSource& source = loaded->state->sources(n);
    EXPECT_EQ(source.sequence(), 40u);
    ASSERT_EQ(source.objects_size(), 3000);
    EXPECT_EQ(source.objects(2999).service().metadata().name(), source.marker().source() + "2999");
  }
}

TEST_F(Disk, RoundTrip) {
  ASSERT_TRUE(save_disk_state(path(), example()));
  const auto loaded = load_disk_state(path());
  ASSERT_TRUE(loaded && loaded->state);
  EXPECT_EQ(loaded->state->incarnation(), "abc");
  EXPECT_EQ(loaded->state->maglev_seed(), 0xfedcba9876543210u);
  EXPECT_EQ(loaded->state->sources(0).objects(0).service().metadata().name(), "web");
  EXPECT_EQ(loaded->warning, "");
}

TEST_F(Disk, OnlyItsOwnerMayReadIt) {
  ASSERT_TRUE(save_disk_state(path(), example()));
  struct stat status {};
  ASSERT_EQ(::stat(path().c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777, 0600u);
  EXPECT_FALSE(std::filesystem::exists(path() + ".new"));
}

TEST_F(Disk, MissingIsNoError) {
  const auto loaded = load_disk_state(path());
  ASSERT_TRUE(loaded);
  EXPECT_FALSE(loaded->state);
  EXPECT_EQ(loaded->warning, "");
}

TEST_F(Disk, EveryCutIsNoticed) {
  ASSERT_TRUE(save_disk_state(path(), example()));
  const std::string whole = bytes();
  for (std::size_t size = 0; size < whole.size(); ++size) {
    write(whole.substr(0, size));
    const auto loaded = load_disk_state(path());
    ASSERT_TRUE(loaded);
    EXPECT_FALSE(loaded->state) << size;
  }
}

TEST_F(Disk, AFlippedBitIsMovedAside) {
  ASSERT_TRUE(save_disk_state(path(), example()));
  std::string text = bytes();
  text[text.size() - 3] = static_cast<char>(text[text.size() - 3] ^ 4);
  write(text);
  expect_moved_aside("checksum");
}

TEST_F(Disk, AnotherProgramsFileIsMovedAside) {
  write("something that was never written by us");
  expect_moved_aside("not a state file");
}

TEST_F(Disk, AFailedSaveLeavesTheOldOne) {
  ASSERT_TRUE(save_disk_state(path(), example()));
  std::filesystem::create_directories(path() + ".new/in-the-way");
  v1::DiskState other = example();
  other.set_incarnation("other");
  EXPECT_FALSE(save_disk_state(path(), other));
  EXPECT_EQ(load_disk_state(path())->state->incarnation(), "abc");
}

TEST_F(Disk, AFolderThatIsMissingIsAnError) {
  EXPECT_THAT(save_disk_state(folder + "/none/state.pb", example()).error(),
              HasSubstr("No such file"));
}

}  // namespace
}  // namespace sluice::store
