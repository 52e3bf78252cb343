// Everything a real API server was recorded to send is decoded, and compared field by field with a
// plain JSON tree of the same bytes.
#include <gmock/gmock.h>

#include <boost/json.hpp>
#include <filesystem>
#include <fstream>
#include <set>
#include <sstream>

#include "control/kubernetes/api_json.h"
#include "control/manifest/show.h"
#include "control/model/key.h"

namespace sluice::kube {
namespace {

namespace fs = std::filesystem;
namespace json = boost::json;

std::string read(const fs::path& file) {
  std::ifstream in(file, std::ios::binary);
  std::stringstream text;
  text << in.rdbuf();
  return text.str();
}

std::vector<fs::path> files(const std::string& folder, const std::string& ending) {
  std::vector<fs::path> found;
  for (const auto& entry : fs::directory_iterator(fs::path(SLUICE_FIXTURES) / folder)) {
    const std::string name = entry.path().filename();
    if (name.ends_with(ending) && !name.ends_with(".meta.json")) found.push_back(entry.path());
  }
  std::sort(found.begin(), found.end());
  return found;
}

std::optional<v1::Kind> kind_of_text(std::string name) {
  if (name.ends_with("List")) name.resize(name.size() - 4);
  if (name != "Service" && name != "EndpointSlice" && name != "Node") return std::nullopt;
  return kind_from_name(name);
}

bool says_nothing(const json::value& value) {
  return value.is_null() || (value.is_bool() && !value.get_bool()) ||
         (value.is_number() && value.to_number<double>() == 0) ||
         (value.is_string() && value.get_string().empty()) ||
         (value.is_array() && value.get_array().empty()) ||
         (value.is_object() && value.get_object().empty());
}

// Not kept on purpose, wherever they stand in a recorded object.
bool is_dropped(const std::string& path) {
  static const std::set<std::string> names{"managedFields",
                                           "ownerReferences",
                                           "generateName",
                                           "finalizers",
                                           "selfLink",
                                           "capacity",
                                           "allocatable",
                                           "nodeInfo",
                                           "daemonEndpoints",
                                           "lastHeartbeatTime",
                                           "taints",
                                           "fieldPath",
                                           "images",
                                           "providerID",
                                           "lastTransitionTime",
                                           "deletionGracePeriodSeconds"};
  if (path.ends_with("targetRef.resourceVersion") || path.ends_with("targetRef.apiVersion")) {
    return true;
  }
  return names.contains(path.substr(path.rfind('.') + 1));
}

// Both ways: nothing invented, nothing lost.
void expect_same(const json::value& sent, const json::value* kept, const std::string& path) {
  if (kept == nullptr) {
    EXPECT_TRUE(says_nothing(sent) || is_dropped(path)) << path << " is lost: " << sent;
    return;
  }
  if (sent.is_object() && kept->is_object()) {
    for (const auto& [name, value] : sent.get_object()) {
      expect_same(value, kept->get_object().if_contains(name), path + "." + std::string(name));
    }
    for (const auto& [name, value] : kept->get_object()) {
      EXPECT_TRUE(sent.get_object().contains(name)) << path << "." << name << " is invented";
    }
  } else if (sent.is_array() && kept->is_array()) {
    ASSERT_EQ(sent.get_array().size(), kept->get_array().size()) << path;
    for (std::size_t i = 0; i < sent.get_array().size(); ++i) {
      expect_same(sent.get_array()[i], &kept->get_array()[i], path);
    }
  } else {
    EXPECT_EQ(sent, *kept) << path;
  }
}

void expect_object(const json::value& sent, const Decoded& decoded) {
  EXPECT_EQ(decoded.error, "");
  EXPECT_THAT(decoded.problems, testing::IsEmpty());
  EXPECT_EQ(decoded.object.header().unknown_fields_size(), 0)
      << decoded.object.header().DebugString();
  json::value kept = json::parse(object_json(decoded.object));
  if (!sent.as_object().contains("kind")) {  // Items of lists have neither.
    kept.as_object().erase("kind");
    kept.as_object().erase("apiVersion");
  }
  expect_same(sent, &kept, "");
}

TEST(Recordings, Lists) {
  int decoded_lists = 0;
  std::size_t objects = 0;
  for (const fs::path& file : files("list", ".json")) {
    SCOPED_TRACE(file);
    const std::string text = read(file);
    const json::value tree = json::parse(text);
    const auto kind = kind_of_text(json::value_to<std::string>(tree.at("kind")));
    if (!kind) continue;
    std::vector<Decoded> items;
    const auto metadata =
        decode_list(*kind, text, [&](Decoded item) { items.push_back(std::move(item)); });
    ASSERT_TRUE(metadata.ok()) << metadata.error();
    const json::object& sent = tree.at("metadata").as_object();
    EXPECT_EQ(metadata->resource_version, sent.at("resourceVersion").as_string().c_str());
    EXPECT_EQ(metadata->continue_token,
              sent.contains("continue") ? sent.at("continue").as_string().c_str() : "");
    EXPECT_EQ(metadata->remaining_item_count.has_value(), sent.contains("remainingItemCount"));
    const json::array& expected = tree.at("items").as_array();
    ASSERT_EQ(items.size(), expected.size());
    for (std::size_t i = 0; i < items.size(); ++i) expect_object(expected[i], items[i]);
    ++decoded_lists;
    objects += items.size();
  }
  EXPECT_GE(decoded_lists, 15);
  EXPECT_GE(objects, 100u);
}

void expect_event(const std::string& line, const WatchEvent& event, v1::Kind kind) {
  const json::value sent = json::parse(line);
  const std::string type(sent.at("type").as_string());
  const json::object& object = sent.at("object").as_object();
  if (type == "ERROR") {
    EXPECT_EQ(event.type, WatchEvent::Type::kError);
    EXPECT_EQ(event.status.code, object.at("code").as_int64());
    EXPECT_EQ(event.status.reason, object.at("reason").as_string().c_str());
    return;
  }
  EXPECT_EQ(event.resource_version,
            object.at("metadata").at("resourceVersion").as_string().c_str());
  if (type == "BOOKMARK") {
    EXPECT_EQ(event.type, WatchEvent::Type::kBookmark);
    EXPECT_EQ(event.initial_events_end, line.find("initial-events-end") != std::string::npos);
    return;
  }
  EXPECT_EQ(event.type, type == "ADDED"      ? WatchEvent::Type::kAdded
                        : type == "MODIFIED" ? WatchEvent::Type::kModified
                                             : WatchEvent::Type::kDeleted);
  EXPECT_EQ(kind_of(event.decoded.object), kind);
  expect_object(sent.at("object"), event.decoded);
}

TEST(Recordings, Watches) {
  std::size_t events = 0;
  for (const fs::path& file : files("watch", ".jsonl")) {
    SCOPED_TRACE(file);
    const std::string name = file.filename();
    const std::string resource = name.substr(0, name.find('.'));
    if (resource == "endpoints") continue;
    const v1::Kind kind = resource == "nodes"      ? v1::KIND_NODE
                          : resource == "services" ? v1::KIND_SERVICE
                                                   : v1::KIND_ENDPOINT_SLICE;
    // In pieces of a size that is no divisor of anything, and compared with a plain split.
    const std::string text = read(file);
    JsonLines lines;
    std::istringstream plain(text);
    for (std::size_t at = 0; at < text.size(); at += 997) {
      ASSERT_TRUE(lines.feed(std::string_view(text).substr(at, 997)).ok());
      while (const auto line = lines.next()) {
        std::string expected;
        std::getline(plain, expected);
        ASSERT_EQ(*line, expected);
        const auto event = decode_event(kind, *line);
        ASSERT_TRUE(event.ok()) << event.error();
        expect_event(expected, *event, kind);
        ++events;
      }
    }
    EXPECT_FALSE(lines.partial());
  }
  EXPECT_GE(events, 300u);
}

TEST(Recordings, ErrorsAreStatuses) {
  int statuses = 0;
  for (const fs::path& file : files("errors", ".json")) {
    SCOPED_TRACE(file);
    const std::string name = file.filename();
    if (!isdigit(static_cast<unsigned char>(name[0]))) continue;
    const auto status = decode_status(read(file));
    ASSERT_TRUE(status.has_value());
    EXPECT_EQ(status->code, std::stoi(name));
    EXPECT_NE(status->message, "");
    EXPECT_EQ(!status->continue_token.empty(), name == "410-list-continue-expired.json");
    ++statuses;
  }
  EXPECT_GE(statuses, 9);
}

TEST(Recordings, A410OfAWatchIsAnErrorEvent) {
  for (const char* name : {"watch-410-rv-1.json", "watch-410-old-rv-after-restart.json"}) {
    const auto event =
        decode_event(v1::KIND_SERVICE, read(fs::path(SLUICE_FIXTURES) / "errors" / name));
    ASSERT_TRUE(event.ok()) << event.error();
    EXPECT_EQ(event->type, WatchEvent::Type::kError);
    EXPECT_EQ(event->status.code, 410);
    EXPECT_EQ(event->status.reason, "Expired");
  }
}

TEST(Recordings, SingleObjects) {
  int services = 0;
  for (const char* folder : {"objects", "writeback"}) {
    for (const fs::path& file : files(folder, ".json")) {
      const std::string text = read(file);
      json::error_code error;
      const json::value tree = json::parse(text, error);
      if (error || !tree.is_object() || !tree.as_object().contains("kind")) continue;
      if (tree.at("kind").as_string() != "Service") continue;
      SCOPED_TRACE(file);
      const auto decoded = decode_object(v1::KIND_SERVICE, text);
      ASSERT_TRUE(decoded.ok()) << decoded.error();
      expect_object(tree, *decoded);
      ++services;
    }
  }
  EXPECT_GE(services, 10);
}

}  // namespace
}  // namespace sluice::kube
