// What clients do wrong, and that the others do not notice.
#include "tests/unit/server/fake_host.h"

namespace sluice {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;

class ConnectionTest : public ServerTest {
 protected:
  void SetUp() override { start(); }
  // A client that was there all along is still served, and so is a new one.
  void expect_others_served(Client& other) {
    EXPECT_EQ(other.report().boot(), server->boot());
    Client fresh(path);
    EXPECT_THAT(fresh.hello().error(), IsEmpty());
  }
};

v1::Request report_request() {
  v1::Request request;
  request.mutable_report();
  return request;
}

TEST_F(ConnectionTest, OtherMajorIsRefusedAndNothingElseAnswered) {
  Client client(path);
  EXPECT_THAT(client.ask(report_request()).error(), HasSubstr("hello"));
  EXPECT_THAT(client.hello(2).error(), HasSubstr("protocol major 2"));
  EXPECT_THAT(client.ask(report_request()).error(), HasSubstr("hello"));
  EXPECT_THAT(client.begin(1, 0).error(), HasSubstr("hello"));
  EXPECT_THAT(client.hello().error(), IsEmpty());
  EXPECT_THAT(client.ask(report_request()).error(), IsEmpty());
}

TEST_F(ConnectionTest, OversizedMessageEndsItsConnectionAlone) {
  Client good(path), bad(path);
  good.hello();
  bad.send_raw(std::string("\x7f\xff\xff\xff", 4));
  std::optional<v1::Reply> reply = bad.receive();
  ASSERT_TRUE(reply.has_value());
  EXPECT_THAT(reply->error(), HasSubstr("2147483647 bytes"));
  EXPECT_FALSE(bad.receive().has_value());
  expect_others_served(good);
}

TEST_F(ConnectionTest, GarbageEndsItsConnectionAlone) {
  Client good(path), bad(path);
  good.hello();
  std::string frame;
  ASSERT_TRUE(append_frame(frame, "\xff\xff\xff not a message").ok());
  bad.send_raw(frame + frame);
  std::optional<v1::Reply> reply = bad.receive();
  ASSERT_TRUE(reply.has_value());
  EXPECT_THAT(reply->error(), HasSubstr("not a Request"));
  EXPECT_FALSE(bad.receive().has_value());
  expect_others_served(good);
}

TEST_F(ConnectionTest, CutMessageEndsItsConnectionAndItsTransaction) {
  Client good(path), bad(path);
  good.hello();
  bad.hello();
  EXPECT_THAT(bad.begin(1, 0).error(), IsEmpty());
  v1::Request request;
  *request.mutable_apply_part() = web();
  std::string frame;
  ASSERT_TRUE(append_frame(frame, request.SerializeAsString()).ok());
  bad.send_raw(frame.substr(0, frame.size() / 2));
  bad.close();
  EXPECT_TRUE(eventually([&] { return good.begin(1, 0).error().empty(); }));
  EXPECT_EQ(host->published(), nullptr);
  expect_others_served(good);
}

TEST_F(ConnectionTest, UnknownRequestIsRefusedAndTheConnectionStays) {
  Client client(path);
  client.hello();
  v1::Request request;
  request.GetReflection()->MutableUnknownFields(&request)->AddLengthDelimited(99,
                                                                              "from the future");
  EXPECT_THAT(client.ask(request).error(), HasSubstr("unknown request"));
  expect_others_served(client);
}

TEST_F(ConnectionTest, MessageMayComeByteByByte) {
  Client client(path);
  v1::Request request;
  request.set_id(42);
  request.mutable_hello()->set_major(kProtocolMajor);
  std::string frame;
  ASSERT_TRUE(append_frame(frame, request.SerializeAsString()).ok());
  for (const char c : frame) client.send_raw(std::string(1, c));
  std::optional<v1::Reply> reply = client.receive();
  ASSERT_TRUE(reply.has_value());
  EXPECT_EQ(reply->id(), 42u);
  EXPECT_THAT(reply->error(), IsEmpty());
}

TEST_F(ConnectionTest, RequestsSentAtOnceAreAnsweredInOrderAlsoAfterTheClientHasFinishedSending) {
  Client client(path);
  client.hello();
  for (std::uint64_t id = 100; id < 300; ++id) {
    v1::Request request = report_request();
    request.set_id(id);
    client.send(request);
  }
  client.finish_sending();
  for (std::uint64_t id = 100; id < 300; ++id) {
    std::optional<v1::Reply> reply = client.receive();
    ASSERT_TRUE(reply.has_value());
    EXPECT_EQ(reply->id(), id);
  }
  EXPECT_FALSE(client.receive().has_value());
}

TEST_F(ConnectionTest, ClientThatTakesNoRepliesIsDropped) {
  stop();
  config.client_timeout = std::chrono::milliseconds(300);
  start();
  Client good(path), slow(path);
  good.hello();
  slow.hello();
  v1::ApplyPart part;
  for (std::uint32_t id = 1; id < 9000; ++id) {
    *part.add_upsert_backends() = backend_message(
        id, "10.0." + std::to_string(id / 250) + "." + std::to_string(id % 250 + 1));
  }
  ASSERT_THAT(good.apply(1, 0, part).error(), IsEmpty());
  v1::Request request;
  request.mutable_report()->set_full(true);
  for (int i = 0; i < 20; ++i) slow.send(request);  // 20 times half a mebibyte, and none is read.
  std::this_thread::sleep_for(std::chrono::milliseconds(1500));
  int replies = 0;
  while (slow.receive().has_value()) ++replies;
  EXPECT_LT(replies, 20);
  expect_others_served(good);
}

TEST_F(ConnectionTest, ClientsBeyondTheLimitAreToldSo) {
  stop();
  config.max_clients = 2;
  start();
  auto first = std::make_unique<Client>(path);
  Client second(path);
  first->hello();
  second.hello();
  Client third(path);
  std::optional<v1::Reply> reply = third.receive();
  ASSERT_TRUE(reply.has_value());
  EXPECT_THAT(reply->error(), HasSubstr("2 clients already"));
  EXPECT_FALSE(third.receive().has_value());
  first.reset();
  EXPECT_TRUE(eventually([&] {
    Client again(path);
    v1::Request hello;
    hello.mutable_hello()->set_major(kProtocolMajor);
    again.send(hello);
    std::optional<v1::Reply> answer = again.receive();
    return answer.has_value() && answer->error().empty();
  }));
}

}  // namespace
}  // namespace sluice
