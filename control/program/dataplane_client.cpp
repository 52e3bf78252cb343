#include "control/program/dataplane_client.h"

#include <sys/un.h>

#include <array>
#include <boost/asio/buffer.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <optional>
#include <utility>

#include "proto/wire.h"

namespace sluice {

namespace asio = boost::asio;
using boost::system::error_code;
using Socket = asio::local::stream_protocol::socket;

namespace {

constexpr std::uint32_t kMajor = 1;
constexpr std::size_t kMaxMessage = 4u << 20;  // As proto/dataplane.proto says.
constexpr std::size_t kMaxPart = 1u << 20;
// A full report of every VIP and backend a dataplane may hold stays far below this; a peer that
// never says more = false does not.
constexpr std::size_t kMaxReplies = 1u << 20;

auto awaiting(error_code& error) {
  return asio::redirect_error(asio::use_awaitable, error);
}

std::string encode(const v1::Request& request, const std::string& rest) {
  const std::size_t size = request.ByteSizeLong() + rest.size();
  std::string frame(4, '\0');
  frame.reserve(4 + size);
  for (int i = 0; i < 4; ++i) frame[i] = static_cast<char>(size >> (24 - 8 * i));
  request.AppendToString(&frame);
  frame += rest;
  return frame;
}

}  // namespace

// Shared with the deadline's handler, which may run after the client is gone.
struct DataplaneClient::Connection {
  explicit Connection(const asio::any_io_executor& executor)
      : socket(std::make_shared<Socket>(executor)), deadline(executor) {}

  // Closing the socket is the only clean way out of a half-read message.
  void expire_after(std::chrono::milliseconds timeout) {
    expired = std::make_shared<bool>(false);
    deadline.expires_after(timeout);
    deadline.async_wait([socket_ = socket, flag = expired](error_code error) {
      if (error) return;
      *flag = true;
      error_code ignored;
      socket_->close(ignored);
    });
  }

  std::shared_ptr<Socket> socket;
  asio::steady_timer deadline;
  std::shared_ptr<bool> expired = std::make_shared<bool>(false);
};

// Who takes the replies, and where: without `beside` on the connection's own thread.
struct DataplaneClient::Replies {
  OnReply take;
  std::optional<asio::any_io_executor> beside;
};

namespace {

// One reply's bytes, decoded and handed over if they answer the request `expected`.
struct Taken {
  std::uint64_t expected = 0;
  bool wanted = true;  // Not after one that was refused.
  bool parsed = false;
  bool more = false;
  std::uint64_t id = 0;
  std::string error;
  Status status = Ok{};
};

void take(const std::string& bytes, const std::function<Status(v1::Reply&)>& on_reply,
          Taken* taken) {
  v1::Reply reply;
  taken->parsed = reply.ParseFromString(bytes);
  taken->id = reply.id();
  taken->more = reply.more();
  taken->error = reply.error();
  if (taken->parsed && taken->wanted && taken->id == taken->expected && taken->error.empty())
    taken->status = on_reply(reply);
}

asio::awaitable<void> take_beside(const std::string* bytes,
                                  const std::function<Status(v1::Reply&)>* on_reply, Taken* taken) {
  take(*bytes, *on_reply, taken);
  co_return;
}

}  // namespace

DataplaneClient::DataplaneClient(asio::any_io_executor executor, std::chrono::milliseconds timeout)
    : executor_(std::move(executor)), timeout_(timeout) {}

DataplaneClient::~DataplaneClient() {
  close();
}

bool DataplaneClient::connected() const {
  return connection_ && connection_->socket->is_open();
}

bool DataplaneClient::refused() const {
  return refused_;
}

void DataplaneClient::close() {
  if (!connection_) return;
  error_code ignored;
  connection_->deadline.cancel();
  connection_->socket->close(ignored);
  // A running exchange still holds the connection; it sees the closed socket and ends.
  if (!busy_) connection_.reset();
}

Error DataplaneClient::broken(const std::string& what, const std::string& reason) {
  const bool timed_out = connection_ && *connection_->expired;
  close();
  return Error{what + ": " + (timed_out ? "no answer in time" : reason) + " (dataplane socket " +
               path_ + "; is sluice-dataplane running?)"};
}

asio::awaitable<Result<v1::HelloReply>> DataplaneClient::connect(std::string path,
                                                                 std::string client) {
  path_ = path;
  if (busy_) co_return Error{"the connection to the dataplane is in use"};
  close();
  if (path.empty() || path.size() >= sizeof(sockaddr_un::sun_path))
    co_return Error{"dataplane.socket \"" + path + "\": must be a path of 1 to " +
                    std::to_string(sizeof(sockaddr_un::sun_path) - 1) + " bytes"};
  connection_ = std::make_unique<Connection>(executor_);
  busy_ = true;
  connection_->expire_after(timeout_);
  error_code error;
  co_await connection_->socket->async_connect(asio::local::stream_protocol::endpoint(path),
                                              awaiting(error));
  busy_ = false;
  if (error) co_return broken("cannot connect to the dataplane", error.message());

  v1::Request request;
  request.mutable_hello()->set_major(kMajor);
  request.mutable_hello()->set_client(client);
  v1::HelloReply hello;
  auto status = co_await exchange(request, [&](v1::Reply& reply) -> Status {
    hello = std::move(*reply.mutable_hello());
    return Ok{};
  });
  if (!status) {
    close();
    co_return Error{status.error()};
  }
  if (hello.major() != kMajor)
    co_return broken("the dataplane speaks protocol major " + std::to_string(hello.major()) +
                         ", this program " + std::to_string(kMajor),
                     "install the same release of both");
  co_return hello;
}

asio::awaitable<Status> DataplaneClient::read_message(std::string* bytes) {
  error_code error;
  std::array<unsigned char, 4> head;
  co_await asio::async_read(*connection_->socket, asio::buffer(head), awaiting(error));
  if (error) co_return broken("reading from the dataplane", error.message());
  std::size_t size = 0;
  for (unsigned char byte : head) size = size << 8 | byte;
  if (size > kMaxMessage)
    co_return broken("the dataplane announced a message of " + std::to_string(size) + " bytes",
                     "the limit is " + std::to_string(kMaxMessage));
  bytes->resize(size);
  co_await asio::async_read(*connection_->socket, asio::buffer(*bytes), awaiting(error));
  if (error) co_return broken("reading from the dataplane", error.message());
  co_return Ok{};
}

asio::awaitable<Status> DataplaneClient::send_and_receive(v1::Request& request,
                                                          const std::string& rest,
                                                          const Replies& replies) {
  request.set_id(next_id_++);
  const std::string frame = encode(request, rest);
  if (frame.size() - 4 > kMaxMessage) {
    refused_ = true;  // Nothing was sent: the connection stands.
    co_return Error{"a request of " + std::to_string(frame.size() - 4) +
                    " bytes is beyond the protocol's limit"};
  }
  connection_->expire_after(timeout_);
  error_code error;
  co_await asio::async_write(*connection_->socket, asio::buffer(frame), awaiting(error));
  if (error) co_return broken("writing to the dataplane", error.message());
  Status result = Ok{};
  std::string bytes;
  for (std::size_t count = 0; count < kMaxReplies; ++count) {
    if (auto status = co_await read_message(&bytes); !status) co_return status;
    Taken taken;
    taken.expected = request.id();
    taken.wanted = static_cast<bool>(result);
    if (replies.beside) {
      asio::awaitable<void> taking = take_beside(&bytes, &replies.take, &taken);
      co_await asio::co_spawn(*replies.beside, std::move(taking), asio::use_awaitable);
      // Closed meanwhile: nobody waits for the answer any more.
      if (!connected()) co_return broken("reading from the dataplane", "the connection was closed");
    } else {
      take(bytes, replies.take, &taken);
    }
    if (!taken.parsed)
      co_return broken("the dataplane sent a reply that does not parse",
                       std::to_string(bytes.size()) + " bytes");
    if (taken.id != request.id() && !taken.error.empty())
      co_return broken("the dataplane ended the conversation", taken.error);
    if (taken.id != request.id())
      co_return broken("the dataplane answered another request than the one sent",
                       "id " + std::to_string(taken.id));
    if (!taken.error.empty()) {
      refused_ = true;
      result = Error{taken.error};
    } else if (!taken.status) {
      result = taken.status;
    }
    if (!taken.more) co_return result;
  }
  co_return broken("the dataplane does not end its answer", "too many replies");
}

asio::awaitable<Status> DataplaneClient::exchange(v1::Request& request, OnReply on_reply) {
  return exchange_encoded(request, std::string(), Replies{std::move(on_reply), std::nullopt});
}

asio::awaitable<Status> DataplaneClient::exchange_encoded(v1::Request& request, std::string rest,
                                                          Replies replies) {
  refused_ = false;
  if (busy_) co_return Error{"the connection to the dataplane is in use"};
  if (!connected()) co_return broken("not connected to the dataplane", "connect first");
  busy_ = true;
  auto status = co_await send_and_receive(request, rest, replies);
  busy_ = false;
  if (connection_) connection_->deadline.cancel();
  co_return status;
}

template <typename T>
asio::awaitable<Result<T>> DataplaneClient::collect(v1::Request request,
                                                    const T& (v1::Reply::*part)() const) {
  T all;
  auto status = co_await exchange(request, [&](v1::Reply& reply) -> Status {
    all.MergeFrom((reply.*part)());
    return Ok{};
  });
  if (!status) co_return Error{status.error()};
  co_return all;
}

asio::awaitable<Result<v1::Report>> DataplaneClient::report(bool full) {
  v1::Request request;
  request.mutable_report()->set_full(full);
  return collect(std::move(request), &v1::Reply::report);
}

asio::awaitable<Status> DataplaneClient::read_report(OnReport on_report,
                                                     asio::any_io_executor beside) {
  v1::Request request;
  request.mutable_report()->set_full(true);
  OnReply on_reply = [&on_report](v1::Reply& reply) -> Status {
    on_report(std::move(*reply.mutable_report()));
    return Ok{};
  };
  Replies replies{std::move(on_reply), std::move(beside)};
  co_return co_await exchange_encoded(request, std::string(), std::move(replies));
}

asio::awaitable<Status> DataplaneClient::apply_step(v1::Request& request, std::string part,
                                                    v1::ApplyReply& reply) {
  std::string rest;
  if (!part.empty()) {
    append_frame(v1::Request::kApplyPartFieldNumber, part.size(), &rest);
    rest += part;
    part = {};
  }
  OnReply on_reply = [&reply](v1::Reply& r) -> Status {
    reply = r.apply();
    return Ok{};
  };
  Replies replies{std::move(on_reply), std::nullopt};
  co_return co_await exchange_encoded(request, std::move(rest), std::move(replies));
}

asio::awaitable<Result<v1::ApplyReply>> DataplaneClient::apply(v1::ApplyBegin begin,
                                                               std::vector<std::string> parts) {
  for (const std::string& part : parts) {
    if (part.size() > kMaxPart) {
      refused_ = true;
      co_return Error{"an apply part is larger than 1 MiB"};
    }
  }
  v1::ApplyReply reply;
  v1::Request first;
  *first.mutable_apply_begin() = std::move(begin);
  Status status = co_await apply_step(first, std::string(), reply);
  if (!status) co_return Error{status.error()};
  for (std::string& part : parts) {
    v1::Request request;
    std::string encoded = std::exchange(part, std::string());
    status = co_await apply_step(request, std::move(encoded), reply);
    if (!status) break;
  }
  if (status) {
    v1::Request commit;
    commit.mutable_apply_commit();
    status = co_await apply_step(commit, std::string(), reply);
    if (status) co_return reply;
  }
  // Whether the dataplane already dropped the transaction or not, none is open afterwards.
  if (connected()) {
    v1::Request abort;
    abort.mutable_apply_abort();
    v1::ApplyReply ignored;
    (void)co_await apply_step(abort, std::string(), ignored);
    if (connected()) refused_ = true;
  }
  co_return Error{status.error()};
}

asio::awaitable<Result<v1::Statistics>> DataplaneClient::statistics(v1::StatisticsRequest what) {
  v1::Request request;
  *request.mutable_statistics() = std::move(what);
  return collect(std::move(request), &v1::Reply::statistics);
}

asio::awaitable<Result<v1::Flows>> DataplaneClient::flows(v1::FlowsRequest what) {
  v1::Request request;
  *request.mutable_flows() = std::move(what);
  return collect(std::move(request), &v1::Reply::flows);
}

asio::awaitable<Result<v1::Trace>> DataplaneClient::trace(v1::TraceRequest what) {
  v1::Request request;
  *request.mutable_trace() = std::move(what);
  return collect(std::move(request), &v1::Reply::trace);
}

asio::awaitable<Result<v1::Ports>> DataplaneClient::ports() {
  v1::Request request;
  request.mutable_ports();
  return collect(std::move(request), &v1::Reply::ports);
}

}  // namespace sluice
