// What every released version wrote is still read: golden/VERSION/NAME.hex are its bytes,
// NAME.txtpb says what they mean. Files of a released version are never changed; a new one adds a
// folder.
#include <gmock/gmock.h>
#include <google/protobuf/text_format.h>
#include <google/protobuf/util/message_differencer.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <memory>
#include <set>

#include "control/store/objects.h"

namespace sluice::store {
namespace {

namespace fs = std::filesystem;

std::string text_of(const fs::path& path) {
  std::ifstream file(path);
  return {std::istreambuf_iterator<char>(file), {}};
}

std::string bytes_of(const fs::path& path) {
  std::string bytes;
  std::string digits;
  for (const char c : text_of(path)) {
    if (c == '\n') continue;
    digits.push_back(c);
    if (digits.size() < 2) continue;
    bytes.push_back(static_cast<char>(std::stoi(digits, nullptr, 16)));
    digits.clear();
  }
  EXPECT_TRUE(digits.empty()) << path;
  return bytes;
}

std::unique_ptr<google::protobuf::Message> message_for(const std::string& name) {
  if (name.starts_with("object.")) return std::make_unique<v1::Object>();
  if (name == "marker") return std::make_unique<v1::SourceMarker>();
  if (name == "address") return std::make_unique<v1::Address>();
  if (name == "presence") return std::make_unique<v1::GatewayPresence>();
  if (name == "status") return std::make_unique<v1::ServiceStatus>();
  if (name == "secret") return std::make_unique<v1::ClusterSecret>();
  if (name == "disk") return std::make_unique<v1::DiskState>();
  return nullptr;
}

std::vector<fs::path> golden_files() {
  std::vector<fs::path> files;
  for (const auto& entry : fs::recursive_directory_iterator(SLUICE_GOLDEN_DIR)) {
    if (entry.path().extension() == ".hex") files.push_back(entry.path());
  }
  return files;
}

TEST(Golden, EveryReleasedVersionIsRead) {
  ASSERT_GE(golden_files().size(), 13u);
  for (const fs::path& path : golden_files()) {
    const auto read = message_for(path.stem().string());
    ASSERT_TRUE(read) << path;
    ASSERT_TRUE(read->ParseFromString(bytes_of(path))) << path;
    const std::unique_ptr<google::protobuf::Message> meant(read->New());
    ASSERT_TRUE(google::protobuf::TextFormat::ParseFromString(
        text_of(fs::path(path).replace_extension(".txtpb")), meant.get()))
        << path;
    std::string difference;
    google::protobuf::util::MessageDifferencer differencer;
    differencer.ReportDifferencesToString(&difference);
    EXPECT_TRUE(differencer.Compare(*meant, *read)) << path << "\n" << difference;
  }
}

TEST(Golden, ObjectsAreReadAsTheStoreReadsThem) {
  std::set<v1::Kind> kinds;
  for (const fs::path& path : golden_files()) {
    if (!path.filename().string().starts_with("object.")) continue;
    const std::string bytes = bytes_of(path);
    v1::Object object;
    ASSERT_TRUE(object.ParseFromString(bytes));
    const auto read = decode_object(key_of("prod", object), bytes);
    ASSERT_TRUE(read) << path << ": " << read.error();
    kinds.insert(kind_of(*read));
    // Written again it is the same, but for who wrote it.
    const auto again = decode_object(key_of("prod", object), encode_stamped(*read, "test"));
    ASSERT_TRUE(again) << again.error();
    v1::Object expected = object;
    stamp(expected.mutable_header(), "test");
    EXPECT_TRUE(google::protobuf::util::MessageDifferencer::Equals(expected, *again)) << path;
    EXPECT_EQ(again->header().unknown_fields_size(), 1);
  }
  EXPECT_EQ(kinds.size(), static_cast<std::size_t>(v1::Kind_MAX));
}

}  // namespace
}  // namespace sluice::store
