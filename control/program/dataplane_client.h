// DataplaneClient: one connection to sluice-dataplane's Unix socket (proto/dataplane.proto).
// Ownership: the caller's; it must outlive every awaitable it gave out.
// Thread: the executor's; one request at a time, a second one while the first runs is refused.
// Units: time-outs cover a whole request with all its replies.
// Errors: a sentence. After a refusal by the dataplane (`refused()` is true) the connection still
// stands; after any other error it is closed and the caller connects again.
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "dataplane.pb.h"
#include "proto/result.h"

namespace sluice {

class DataplaneClient {
 public:
  explicit DataplaneClient(boost::asio::any_io_executor executor,
                           std::chrono::milliseconds timeout = std::chrono::seconds(10));
  ~DataplaneClient();
  DataplaneClient(const DataplaneClient&) = delete;
  DataplaneClient& operator=(const DataplaneClient&) = delete;

  // Connects and says hello; another protocol major is refused.
  boost::asio::awaitable<Result<v1::HelloReply>> connect(std::string path, std::string client);
  bool connected() const;
  void close();
  // Whether the last error was the dataplane's own answer: asking the same again gives the same.
  bool refused() const;

  // `full`: with VIPs, backends and addresses, the replies put together.
  boost::asio::awaitable<Result<v1::Report>> report(bool full);
  // The same in full, reply by reply: a large state need not be in memory as one message. Replies
  // are decoded and handed over on `beside`, one after the other, and the executor is free
  // meanwhile.
  using OnReport = std::function<void(v1::Report)>;
  boost::asio::awaitable<Status> read_report(OnReport on_report,
                                             boost::asio::any_io_executor beside);
  // One transaction: begin, every part, commit. A refusal anywhere leaves the dataplane as it was.
  // Each part is an encoded v1::ApplyPart.
  boost::asio::awaitable<Result<v1::ApplyReply>> apply(v1::ApplyBegin begin,
                                                       std::vector<std::string> parts);
  boost::asio::awaitable<Result<v1::Statistics>> statistics(v1::StatisticsRequest request);
  boost::asio::awaitable<Result<v1::Flows>> flows(v1::FlowsRequest request);
  boost::asio::awaitable<Result<v1::Trace>> trace(v1::TraceRequest request);
  boost::asio::awaitable<Result<v1::Ports>> ports();

 private:
  struct Connection;
  using OnReply = std::function<Status(v1::Reply&)>;
  struct Replies;

  // Sends one request and gives every reply to it to `on_reply`.
  boost::asio::awaitable<Status> exchange(v1::Request& request, OnReply on_reply);
  // `rest`: more of the request, encoded.
  boost::asio::awaitable<Status> exchange_encoded(v1::Request& request, std::string rest,
                                                  Replies replies);
  boost::asio::awaitable<Status> send_and_receive(v1::Request& request, const std::string& rest,
                                                  const Replies& replies);
  boost::asio::awaitable<Status> read_message(std::string* bytes);
  // All replies to one request, the parts of them that `part` names put together.
  template <typename T>
  boost::asio::awaitable<Result<T>> collect(v1::Request request,
                                            const T& (v1::Reply::*part)() const);
  boost::asio::awaitable<Status> apply_step(v1::Request& request, std::string part,
                                            v1::ApplyReply& reply);
  // The error text of a broken exchange: what happened and what to check.
  Error broken(const std::string& what, const std::string& reason);

  boost::asio::any_io_executor executor_;
  std::chrono::milliseconds timeout_;
  std::unique_ptr<Connection> connection_;
  std::string path_;
  std::uint64_t next_id_ = 1;
  bool busy_ = false;
  bool refused_ = false;
};

}  // namespace sluice
