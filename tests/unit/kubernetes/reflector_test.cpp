#include "control/kubernetes/reflector.h"

#include <gmock/gmock.h>

#include <boost/asio/co_spawn.hpp>
#include <map>

#include "tests/unit/kubernetes/scripted_calls.h"

namespace sluice::kube {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;

std::string object(const std::string& name, const std::string& version) {
  return R"({"apiVersion":"v1","kind":"Namespace","metadata":{"name":")" + name + R"(","uid":"u-)" +
         name + R"(","resourceVersion":")" + version + R"("}})";
}
std::string event(const std::string& type, const std::string& name, const std::string& version) {
  return R"({"type":")" + type + R"(","object":)" + object(name, version) + "}\n";
}
std::string bookmark(const std::string& version, bool initial_end = false) {
  return R"({"type":"BOOKMARK","object":{"kind":"Namespace","apiVersion":"v1","metadata":{"resourceVersion":")" +
         version + R"(")" +
         (initial_end ? R"(,"annotations":{"k8s.io/initial-events-end":"true"})" : "") + "}}}\n";
}
std::string error_event(int code, const std::string& reason) {
  return R"({"type":"ERROR","object":{"kind":"Status","apiVersion":"v1","status":"Failure","message":"m","reason":")" +
         reason + R"(","code":)" + std::to_string(code) + "}}\n";
}
std::string list(const std::vector<std::string>& names, const std::string& version,
                 const std::string& next = "") {
  std::string items;
  for (const std::string& name : names) items += (items.empty() ? "" : ",") + object(name, version);
  return R"({"kind":"NamespaceList","apiVersion":"v1","metadata":{"resourceVersion":")" + version +
         R"(","continue":")" + next + R"("},"items":[)" + items + "]}";
}

// Keeps what it is told as a cache would.
class Recorder final : public ReflectorHandler {
 public:
  void on_list_begin() override { listed.clear(); }
  void on_item(Decoded decoded) override {
    const std::string& name = decoded.object.namespace_().metadata().name();
    listed.insert(name);
    objects.insert(name);
  }
  void on_list_end() override {
    objects = listed;
    ++lists;
  }
  void on_change(Decoded decoded, Time) override {
    const std::string& name = decoded.object.namespace_().metadata().name();
    if (!decoded.error.empty()) ++unusable;
    objects.insert(name);
    ++changes;
  }
  void on_delete(Decoded decoded, Time) override {
    listed.erase(decoded.object.namespace_().metadata().name());
    objects.erase(decoded.object.namespace_().metadata().name());
  }
  void on_contact() override { ++contacts; }
  void on_error(const std::string& kind, const std::string&) override { ++errors[kind]; }

  std::set<std::string> listed, objects;
  std::map<std::string, int> errors;
  int lists = 0, changes = 0, contacts = 0, unusable = 0;
};

class ReflectorTest : public testing::Test {
 protected:
  ReflectorTest() : calls(io.get_executor()) {}
  ~ReflectorTest() override {
    if (reflector) {
      reflector->stop();
      EXPECT_TRUE(until([this] { return ended; }));
    }
  }
  // With the first attempt of a streaming list refused, unless `streaming`.
  void start(std::deque<ScriptedAnswer> script, bool streaming = false) {
    calls.script = std::move(script);
    if (!streaming) calls.script.push_front(refusal(422));
    ReflectorTiming timing;
    timing.first_wait = std::chrono::milliseconds(1);
    timing.longest_wait = std::chrono::milliseconds(8);
    reflector =
        std::make_unique<Reflector>(io.get_executor(), calls, v1::KIND_NAMESPACE, handler, timing);
    boost::asio::co_spawn(io, reflector->run(), [this](std::exception_ptr) { ended = true; });
  }
  bool until(const std::function<bool()>& done) {
    const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(10);
    while (!done() && std::chrono::steady_clock::now() < end) {
      io.restart();
      io.run_for(std::chrono::milliseconds(2));
    }
    return done();
  }
  // Until the script is used up and its last watch is open.
  bool at_rest() {
    const bool used = until([this] { return calls.script.empty(); });
    io.restart();
    io.run_for(std::chrono::milliseconds(20));
    return used;
  }
  std::vector<std::string> targets() const {
    std::vector<std::string> all;
    for (const Request& request : calls.requests) all.push_back(request.target);
    return all;
  }
  std::string target(std::size_t i) const {
    return i < calls.requests.size() ? calls.requests[i].target : "";
  }

  boost::asio::io_context io;
  ScriptedCalls calls;
  Recorder handler;
  std::unique_ptr<Reflector> reflector;
  bool ended = false;
};

TEST_F(ReflectorTest, ListsInPagesThenWatchesFromThere) {
  start({body(list({"a", "b"}, "7", "next/page+1")), body(list({"c"}, "7")),
         pieces({event("ADDED", "d", "8") + event("MODIFIED", "a", "9"),
                 event("DELETED", "b", "10"), bookmark("15")})});
  ASSERT_TRUE(at_rest());
  EXPECT_THAT(handler.objects, ElementsAre("a", "c", "d"));
  EXPECT_EQ(handler.lists, 1);
  EXPECT_EQ(handler.changes, 2);
  EXPECT_EQ(reflector->resource_version(), "15");
  EXPECT_EQ(target(1), "/api/v1/namespaces?limit=500");
  EXPECT_EQ(target(2), "/api/v1/namespaces?limit=500&continue=next%2Fpage%2B1");
  EXPECT_THAT(target(3), AllOf(HasSubstr("watch=true"), HasSubstr("allowWatchBookmarks=true"),
                               HasSubstr("resourceVersion=7"), HasSubstr("timeoutSeconds=")));
}

TEST_F(ReflectorTest, StreamsTheListWhereTheServerOffersIt) {
  start({pieces({event("ADDED", "a", "3") + event("ADDED", "b", "4"),
                 event("DELETED", "b", "5") + bookmark("6", true), event("ADDED", "c", "7")})},
        true);
  ASSERT_TRUE(at_rest());
  EXPECT_THAT(handler.objects, ElementsAre("a", "c"));
  EXPECT_EQ(handler.lists, 1);
  EXPECT_EQ(handler.changes, 1);
  EXPECT_EQ(reflector->resource_version(), "7");
  EXPECT_THAT(targets(), ElementsAre(AllOf(HasSubstr("sendInitialEvents=true"),
                                           HasSubstr("resourceVersionMatch=NotOlderThan"))));
}

// An old server takes the request for a plain watch: its bookmarks do not say that the list is
// whole.
TEST_F(ReflectorTest, AStreamingListThatIsIgnoredIsReadInPages) {
  start(
      {pieces({event("ADDED", "a", "3"), bookmark("4")}), body(list({"a", "b"}, "5")), pieces({})},
      true);
  ASSERT_TRUE(at_rest());
  EXPECT_THAT(handler.objects, ElementsAre("a", "b"));
  EXPECT_EQ(reflector->resource_version(), "5");
  EXPECT_EQ(handler.lists, 1);
}
TEST_F(ReflectorTest, AStreamingListWithoutAnEndIsReadInPages) {
  start({pieces({event("ADDED", "a", "3")}, After::kSilence), body(list({"a"}, "5")), pieces({})},
        true);
  ASSERT_TRUE(at_rest());
  EXPECT_EQ(handler.lists, 1);
  EXPECT_EQ(target(1), "/api/v1/namespaces?limit=500");
}
TEST_F(ReflectorTest, AStreamingListThatIsCutProvesNoAbsence) {
  start({pieces({event("ADDED", "a", "3"), event("ADDED", "b", "3") + bookmark("3", true)},
                After::kCut),
         refusal(410), pieces({event("ADDED", "a", "9")}, After::kCut),
         pieces({event("ADDED", "b", "9") + bookmark("9", true)})},
        true);
  ASSERT_TRUE(at_rest());
  EXPECT_THAT(handler.objects, ElementsAre("b"));  // By the second list that ended.
  EXPECT_EQ(handler.lists, 2);
}

TEST_F(ReflectorTest, AnExpiredContinueBeginsTheListAnewThenWithoutPages) {
  ScriptedAnswer expired = refusal(410);
  expired.response.body = R"({"kind":"Status","metadata":{"continue":"rest"},"code":410})";
  start({body(list({"a", "gone"}, "7", "x")), expired, body(list({"a"}, "9", "x")), expired,
         pieces({list({"a", "b"}, "11")}, After::kEnd), pieces({})});
  ASSERT_TRUE(at_rest());
  EXPECT_THAT(handler.objects, ElementsAre("a", "b"));
  EXPECT_EQ(target(5), "/api/v1/namespaces");
  EXPECT_EQ(handler.lists, 1);
  EXPECT_EQ(handler.errors["expired"], 2);
}

TEST_F(ReflectorTest, PagesOfAnotherMomentAreNoWholeList) {
  start({body(list({"a"}, "7", "x")), body(list({"b"}, "8")), body(list({"c"}, "9")), pieces({})});
  ASSERT_TRUE(at_rest());
  EXPECT_EQ(handler.lists, 1);
  EXPECT_THAT(handler.objects, ElementsAre("c"));
}

TEST_F(ReflectorTest, AWatchThatIsGoneIsListedAnew) {
  start({body(list({"a"}, "7")), refusal(410), body(list({"b"}, "20")),
         pieces({error_event(410, "Expired")}), body(list({"c"}, "30")), pieces({})});
  ASSERT_TRUE(at_rest());
  EXPECT_THAT(handler.objects, ElementsAre("c"));
  EXPECT_EQ(handler.lists, 3);
  EXPECT_EQ(handler.errors["expired"], 2);
  EXPECT_THAT(target(6), HasSubstr("resourceVersion=30"));
}

TEST_F(ReflectorTest, CutAndEndedWatchesGoOnWhereTheyWere) {
  start({body(list({"a"}, "7")),
         pieces({event("ADDED", "b", "8"), event("ADDED", "c", "9").substr(0, 30)}, After::kCut),
         pieces({event("ADDED", "c", "9")}, After::kEnd), pieces({bookmark("12")})});
  ASSERT_TRUE(at_rest());
  EXPECT_THAT(handler.objects, ElementsAre("a", "b", "c"));
  EXPECT_EQ(handler.lists, 1);
  EXPECT_THAT(target(3), HasSubstr("resourceVersion=8"));
  EXPECT_THAT(target(4), HasSubstr("resourceVersion=9"));
  EXPECT_EQ(reflector->resource_version(), "12");
}

// HTTP 200 and silence: also what a server does that is asked for a resourceVersion of the future.
TEST_F(ReflectorTest, ASilentWatchIsCheckedByTheServersOwnVersion) {
  start({body(list({"a"}, "700")), pieces({}, After::kSilence), body(list({}, "700", "more")),
         pieces({}, After::kSilence), body(list({}, "90", "more")), body(list({"b"}, "90")),
         pieces({})});
  ASSERT_TRUE(at_rest());
  EXPECT_EQ(target(3), "/api/v1/namespaces?limit=1");
  EXPECT_THAT(target(4), HasSubstr("resourceVersion=700"));
  EXPECT_THAT(handler.objects, ElementsAre("b"));
  EXPECT_EQ(handler.lists, 2);
  EXPECT_EQ(handler.errors["went_back"], 1);
}

TEST_F(ReflectorTest, FailuresAreTriedAgainAndTakeNothingAway) {
  start({refusal(403), breakdown(Failure::kTls), refusal(500), body("<html>"), body("{\"items\":["),
         body(list({"a"}, "7")), refusal(401), refusal(429), refusal(500),
         pieces({error_event(500, "InternalError")}), pieces({event("ADDED", "b", "8")})});
  ASSERT_TRUE(at_rest());
  EXPECT_THAT(handler.objects, ElementsAre("a", "b"));
  EXPECT_EQ(handler.lists, 1);
  EXPECT_EQ(handler.errors["forbidden"], 1);
  EXPECT_EQ(handler.errors["tls"], 1);
  EXPECT_EQ(handler.errors["decode"], 2);
  EXPECT_EQ(handler.errors["unauthorized"], 1);
  EXPECT_EQ(handler.errors["throttled"], 1);
  EXPECT_EQ(handler.errors["server"], 3);
}

TEST_F(ReflectorTest, AWatchThatFailsAgainAndAgainIsListedAnew) {
  std::deque<ScriptedAnswer> script = {body(list({"a"}, "abc"))};
  for (int i = 0; i < 5; ++i) script.push_back(refusal(500));
  script.push_back(body(list({"b"}, "9")));
  script.push_back(pieces({}));
  start(std::move(script));
  ASSERT_TRUE(at_rest());
  EXPECT_THAT(handler.objects, ElementsAre("b"));
}

TEST_F(ReflectorTest, RetryAfterIsHonoured) {
  ScriptedAnswer busy = refusal(429);
  busy.response.retry_after = std::chrono::seconds(1);  // Bounded to ten of the longest waits.
  const auto began = std::chrono::steady_clock::now();
  start({busy, body(list({"a"}, "7")), pieces({})});
  ASSERT_TRUE(at_rest());
  EXPECT_GE(std::chrono::steady_clock::now() - began, std::chrono::milliseconds(80));
}

TEST_F(ReflectorTest, AnAnswerThatIsTooLargeIsAskedForInSmallerPages) {
  start({breakdown(Failure::kTooLarge), body(list({"a"}, "7")), pieces({})});
  ASSERT_TRUE(at_rest());
  EXPECT_EQ(target(2), "/api/v1/namespaces?limit=62");
}

TEST_F(ReflectorTest, GarbageInAWatchIsListedAnew) {
  start({body(list({"a"}, "7")), pieces({"garbage\n"}), body(list({"b"}, "9")), pieces({})});
  ASSERT_TRUE(at_rest());
  EXPECT_THAT(handler.objects, ElementsAre("b"));
  EXPECT_EQ(handler.errors["decode"], 1);
}

// The object is there, so it must not count as deleted; the watch goes on.
TEST_F(ReflectorTest, AnUnusableObjectIsHandedOnAsSuch) {
  start(
      {body(list({"a"}, "7")),
       pieces(
           {R"({"type":"MODIFIED","object":{"kind":"Namespace","metadata":{"name":"a","uid":5,"resourceVersion":"8"}}})"
            "\n",
            event("ADDED", "b", "9")})});
  ASSERT_TRUE(at_rest());
  EXPECT_THAT(handler.objects, ElementsAre("a", "b"));
  EXPECT_EQ(handler.unusable, 1);
  EXPECT_EQ(handler.lists, 1);
  EXPECT_EQ(reflector->resource_version(), "9");
}

TEST_F(ReflectorTest, EventsMayBeCutAnywhere) {
  const std::string all = event("ADDED", "b", "8") + event("DELETED", "a", "9") + bookmark("10");
  std::vector<std::string> bytes;
  for (const char c : all) bytes.emplace_back(1, c);
  start({body(list({"a"}, "7")), pieces(bytes)});
  ASSERT_TRUE(until([this] { return reflector->resource_version() == "10"; }));
  EXPECT_THAT(handler.objects, ElementsAre("b"));
}

}  // namespace
}  // namespace sluice::kube
